"""The ways to fill a look-up table: what to measure, and how entries follow from it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hot.devices import Settings
from hot.errors import LutError, unknown_name
from hot.lut.attribute import PartTime
from hot.lut.calibrate import NetworkTime, calibrate
from hot.lut.plan import Job, Work, covering_networks, isolated_jobs, network_job, unique_work
from hot.lut.store import JobResult
from hot.records import ESTIMATES, MEASURES, STEM, LutEntry
from hot.space import Space

log = logging.getLogger(__name__)

# More networks tell more than more samples of each: a network's own context moves its parts by some
# percent, and no repetition averages that out. Eight samples of the fastest of three runs are
# steady to 1 or 2 % on a quiet machine, and are extended where they are not.
REPEATS = 4
SETTINGS = Settings(
    warmup=2, repetitions=8, best_of=3, node_repetitions=4, max_remeasure=2, memory=False
)


@dataclass(frozen=True)
class Method:
    """A row of `METHODS`.

    Attributes:
        plan: the jobs of a space, for a seed.
        entries: the entries by work key that follow from what was measured of these jobs.
        per_node: whether jobs are measured node by node too.
    """

    plan: Callable[[Space, int], list[Job]]
    entries: Callable[[Space, str, Sequence[JobResult]], dict[str, LutEntry]]
    per_node: bool


def find_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        LutError: there is none; names the near match and all known ones.
    """
    if name not in METHODS:
        raise LutError(unknown_name("method", name, METHODS))
    return METHODS[name]


def _plan_networks(space: Space, seed: int) -> list[Job]:
    return [network_job(space, a) for a in covering_networks(space, REPEATS, seed)]


def _plan_isolated(space: Space, seed: int) -> list[Job]:
    jobs = isolated_jobs(space)
    return [jobs[index] for index in np.random.default_rng(seed).permutation(len(jobs))]


def _entries_in_context(
    space: Space, precision: str, results: Sequence[JobResult]
) -> dict[str, LutEntry]:
    works = unique_work(space)
    networks = [
        NetworkTime(result.latency_ms, result.parts, result.energy_mj)
        for result in results
        if result.latency_ms is not None
    ]
    if not networks:
        raise _incomplete(space, works, results)
    weight_bytes = {key: work.counts.weight_bytes(precision) for key, work in works.items()}
    return _complete(space, works, calibrate(networks, weight_bytes), results)


def _plan_both(space: Space, seed: int) -> list[Job]:
    return [*_plan_isolated(space, seed), *_plan_networks(space, seed)]


def _entries_fitted(
    space: Space, precision: str, results: Sequence[JobResult]
) -> dict[str, LutEntry]:
    works = unique_work(space)
    alone = _entries_isolated(space, precision, [r for r in results if r.key in works])
    networks = [
        NetworkTime(
            result.latency_ms,
            tuple(
                PartTime(part, key, alone[key].latency_ms, 0)
                for part, key in network_job(space, space.parse(result.key)).parts
                if not works[key].is_empty
            ),
            result.energy_mj,
        )
        for result in results
        if result.key not in works and result.latency_ms is not None
    ]
    if not networks:
        raise _incomplete(space, works, results)
    weight_bytes = {key: work.counts.weight_bytes(precision) for key, work in works.items()}
    fitted = calibrate(networks, weight_bytes)
    return {
        key: replace(entry, latency_ms=fitted[key].latency_ms, energy_mj=fitted[key].energy_mj)
        if key in fitted
        else entry
        for key, entry in alone.items()
    }


def _entries_isolated(
    space: Space, precision: str, results: Sequence[JobResult]
) -> dict[str, LutEntry]:
    found = {
        result.key: LutEntry(result.latency_ms, result.spread, 1, result.energy_mj)
        for result in results
        if result.latency_ms is not None
    }
    works = unique_work(space)
    if space.backbone is not None and STEM in found:
        blocks = [found.get(key) for _, key in network_job(space, space.original).parts[1:]]
        if None not in blocks:
            found[STEM] = _without(found[STEM], [entry for entry in blocks if entry is not None])
    return _complete(space, works, found, results)


def _without(whole: LutEntry, blocks: list[LutEntry]) -> LutEntry:
    """What a whole network takes beside its blocks, which were measured alone.

    Assumption: blocks cost alone what they cost in the network. Alone they run from warm caches, so
    the rest may come out too large; where it comes out below nothing, it is nothing.
    """
    latency_ms = whole.latency_ms - sum(entry.latency_ms for entry in blocks)
    energies = [entry.energy_mj for entry in (whole, *blocks) if entry.energy_mj is not None]
    if latency_ms < 0:
        log.warning(
            "the original blocks measured alone take %.3f ms more than their whole network "
            "(%.3f ms); the rest of it counts as nothing: choose the method in-context",
            -latency_ms,
            whole.latency_ms,
        )
    energy_mj = None if len(energies) <= len(blocks) else 2 * energies[0] - sum(energies)
    return LutEntry(
        max(0.0, latency_ms),
        whole.spread,
        whole.n_samples,
        None if energy_mj is None else max(0.0, energy_mj),
    )


def _complete(
    space: Space,
    works: dict[str, Work],
    found: dict[str, LutEntry],
    results: Sequence[JobResult],
) -> dict[str, LutEntry]:
    """`found` in the order of the space, with zero for work that computes nothing."""
    has_energy = all(entry.energy_mj is not None for entry in found.values())
    nothing = LutEntry(0.0, energy_mj=0.0 if has_energy else None)
    entries = {key: nothing if work.is_empty else found.get(key) for key, work in works.items()}
    complete = {key: entry for key, entry in entries.items() if entry is not None}
    if len(complete) < len(works):
        missing = {key: work for key, work in works.items() if key not in complete}
        raise _incomplete(space, missing, results)
    return complete


def _incomplete(space: Space, missing: dict[str, Work], results: Sequence[JobResult]) -> LutError:
    reasons = [result.failure for result in results if result.failure]
    reason = f"; the first of {len(reasons)} failures: {reasons[0]}" if reasons else ""
    return LutError(
        f"{len(missing)} entries of {space.name!r} could not be measured, {next(iter(missing))!r} "
        f"among them{reason}. Choose a smaller width or resolution, another device or method"
    )


METHODS: dict[str, Method] = {
    # Whole networks that hold every choice several times, profiled node by node and calibrated.
    "in-context": Method(_plan_networks, _entries_in_context, per_node=True),
    # Every operator alone, as in HOT (Ozcinar et al. 2022).
    "isolated": Method(_plan_isolated, _entries_isolated, per_node=False),
    # Every operator alone, then corrected by whole networks that hold every choice several times:
    # for runtimes that tell no times of nodes and are slower, or faster, in a network than alone.
    "fitted": Method(_plan_both, _entries_fitted, per_node=False),
}

# A runtime fuses and caches across blocks, so only whole networks tell what a block costs in one.
# An estimate of a network is the sum over its nodes: blocks alone tell the same, in less time.
DEFAULT_METHODS = {MEASURES: "in-context", ESTIMATES: "isolated"}
