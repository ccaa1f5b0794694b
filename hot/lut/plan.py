"""What has to be measured for a look-up table: unique work, and networks that hold all of it."""

from dataclasses import dataclass

import numpy as np

from hot.errors import LutError
from hot.records import HEAD, STEM
from hot.space import Architecture, Block, Counts, Foreign, Shape, Space, count_body

_TRIES = 10_000


@dataclass(frozen=True)
class Work:
    """One piece of work: equal keys cost the same wherever they stand in a space.

    Attributes:
        key: the key of the LUT entry.
        block: the block to build; None for the head, and for the stem of a backbone, which is all
            that stands outside of the slots.
        input: the map that comes in.
        counts: analytic counts.
    """

    key: str
    block: Block | Foreign | None
    input: Shape
    counts: Counts

    @property
    def is_empty(self) -> bool:
        """Whether nothing is computed (the operator `skip`), so that the cost is zero."""
        block = self.block
        return isinstance(block, Block) and not (
            block.convs or block.shortcut or block.has_final_activation or block.pool_stride > 1
        )


@dataclass(frozen=True)
class Job:
    """One artifact to measure: a whole network, or one piece of work alone.

    Attributes:
        key: stable name: the architecture's key, or the work's.
        parts: part of the network (`stem`, `<slot>.<layer>`, `head`) to work key, in order.
        architecture: the network; None for work alone.
    """

    key: str
    parts: tuple[tuple[str, str], ...]
    architecture: Architecture | None = None


def unique_work(space: Space) -> dict[str, Work]:
    """All work of the space by key: the stem, every choice at every layer once, the head.

    With a backbone, the stem is all that stands outside of the slots, and the head is empty.
    """
    work = {STEM: _stem(space)}
    for slot in space.slots:
        for choice in slot.choices:
            for layer in slot.layers:
                key = choice.work_key(layer)
                if key not in work:
                    block = choice.block(layer, space.rules)
                    work[key] = Work(key, block, layer.input, count_body(block, layer.input))
    work[HEAD] = _head(space)
    return work


def _stem(space: Space) -> Work:
    if space.backbone is not None:
        return Work(STEM, None, space.stem_input, space.backbone.counts)
    return Work(STEM, space.stem, space.stem_input, count_body(space.stem, space.stem_input))


def _head(space: Space) -> Work:
    if space.backbone is not None:
        return Work(HEAD, Block(()), space.head.input, Counts())
    return Work(HEAD, None, space.head.input, space.head.counts)


def network_job(space: Space, architecture: Architecture) -> Job:
    """The job of measuring a whole architecture."""
    parts = [(STEM, STEM)]
    for slot, choice in zip(space.slots, architecture.choices, strict=True):
        for name, layer in zip(slot.parts, slot.layers, strict=True):
            parts.append((name, choice.work_key(layer)))
    if space.backbone is None:
        parts.append((HEAD, HEAD))
    return Job(architecture.key, tuple(parts), architecture)


def isolated_jobs(space: Space) -> list[Job]:
    """One job for each piece of unique work that computes anything."""
    works = unique_work(space).values()
    return [Job(work.key, ((work.key, work.key),)) for work in works if not work.is_empty]


def covering_networks(space: Space, repeats: int, seed: int) -> list[Architecture]:
    """Distinct architectures in which every choice of every slot occurs at least `repeats` times.

    Fewer times only where the same network is drawn twice, as happens in a space of a few hundred.

    As in a Latin square, each of `repeats` rounds has as many networks as the largest slot has
    choices, and takes every choice of that slot once. The order of a slot's choices is drawn anew
    for every slot and round, so that a choice meets other neighbours each time.
    """
    rng = np.random.default_rng(seed)
    longest = max(len(slot.choices) for slot in space.slots)
    found: dict[str, Architecture] = {}
    for _ in range(repeats):
        columns = []
        for slot in space.slots:
            n = len(slot.choices)
            turns = [rng.permutation(n) for _ in range(-(-longest // n))]
            columns.append(np.concatenate(turns)[:longest])
        for row in zip(*columns, strict=True):
            architecture = space.architecture(tuple(int(index) for index in row))
            found.setdefault(architecture.key, architecture)
    return list(found.values())


def held_out(space: Space, n: int, seed: int, used: set[str]) -> list[Architecture]:
    """`n` distinct random architectures whose keys are not in `used`.

    Raises:
        LutError: the space does not hold as many others.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Architecture] = {}
    for _ in range(_TRIES):
        if len(found) == n:
            break
        architecture = space.sample(rng)
        if architecture.key not in used:
            found.setdefault(architecture.key, architecture)
    if len(found) < n:
        raise LutError(
            f"{space.name!r} has {space.size} architectures and {len(used)} were used to build "
            f"the LUT: {n} others were asked for, {len(found)} found; ask for fewer"
        )
    return list(found.values())


def sentinel_networks(space: Space, seed: int) -> list[Architecture]:
    """The networks that watch for drift: the original and two random ones."""
    rng = np.random.default_rng((seed, 1))
    drawn = {space.original.key: space.original}
    while len(drawn) < min(3, space.size):
        architecture = space.sample(rng)
        drawn[architecture.key] = architecture
    return list(drawn.values())
