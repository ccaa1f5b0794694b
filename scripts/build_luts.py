"""The look-up tables that ship with hot, in luts/: built, checked, and compared with those there.

    python scripts/build_luts.py                     build what is missing
    python scripts/build_luts.py --check             build all anew; fail where a file differs
    python scripts/build_luts.py --only mobilenetv2-96 --devices ethos-u55-128

Every device here estimates, so a LUT is the same on every machine, bit for bit, dates aside. A
file is what `hot build-lut --check-networks 30 --out luts` writes for that space and device (with
`--correct` for an NPU, whose blocks add up nearly but not quite), but each artifact is converted
once for all devices that take its format. What was measured is kept in `--store`: a build that was
stopped goes on.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hot.devices import Device, Settings, make_device
from hot.lut import LutStore, build_lut, correct_lut, load_lut, lut_file_name, save_lut
from hot.lut.artifacts import make_artifacts
from hot.lut.attribute import PartTime
from hot.lut.check import compare
from hot.lut.methods import SETTINGS
from hot.lut.plan import Job, held_out, isolated_jobs, network_job, sentinel_networks, unique_work
from hot.lut.store import JobResult, LutKey
from hot.records import Artifact, Lut, Measurement
from hot.space import Architecture, Space, load_space

NPUS = ("ethos-u55-128", "ethos-u65-512", "ethos-u85-256")
CHIPS = ("stm32h743", "gap8")
FOLDER = Path(__file__).resolve().parent.parent / "luts"
PRECISION, METHOD = "int8", "isolated"
SEED, N_NETWORKS = 0, 30
GROUP = 16  # jobs between two commits to the store
log = logging.getLogger("build_luts")


@dataclass(frozen=True)
class Row:
    """A space at one size, and the devices that a LUT of it ships for.

    Attributes:
        external: devices whose own memory does not hold every choice of the space.
    """

    space: dict[str, Any]
    devices: tuple[str, ...]
    external: tuple[str, ...] = ()


SHIPPED: dict[str, Row] = {
    "mobilenetv2-96": Row(
        {"name_or_path": "mobilenetv2", "resolution": 96}, NPUS + CHIPS, ("stm32h743",)
    ),
    "mobilenetv2_32": Row({"name_or_path": "mobilenetv2_32"}, NPUS + CHIPS),
    "mobilenetv2-192": Row({"name_or_path": "mobilenetv2", "resolution": 192}, NPUS),
    "resnet18-96": Row(
        {"name_or_path": "resnet18", "resolution": 96, "width": 0.5}, NPUS + CHIPS, ("stm32h743",)
    ),
    "digits": Row({"name_or_path": "digits"}, CHIPS),
}


@dataclass(frozen=True)
class Bench:
    """Devices that take the same artifacts, each with the number of its unfinished LUT."""

    space: Space
    store: LutStore
    devices: dict[str, Device]
    numbers: dict[str, int]

    @property
    def format(self) -> str:
        """Of the artifacts."""
        return next(iter(self.devices.values())).describe().formats[0]

    def artifacts(self, jobs: Sequence[Job], folder: str, seed: int) -> list[Artifact]:
        """The artifacts of some jobs."""
        works = unique_work(self.space)
        return make_artifacts(self.space, jobs, works, PRECISION, Path(folder), seed, self.format)


def build(name: str, wanted: Sequence[str], store: LutStore) -> list[Lut]:
    """The checked LUTs of one row of `SHIPPED`, for those of its devices that are wanted."""
    row = SHIPPED[name]
    space = load_space(**row.space)
    devices = {d: _make(d, row) for d in row.devices if d in wanted}
    keys = {
        d: LutKey(space.key, device.describe().key, PRECISION, METHOD)
        for d, device in devices.items()
    }
    built: dict[str, Lut] = {}
    for fmt in sorted({device.describe().formats[0] for device in devices.values()}):
        same = {d: one for d, one in devices.items() if one.describe().formats[0] == fmt}
        numbers = {
            d: store.open_lut(keys[d], one.describe(), space, SEED) for d, one in same.items()
        }
        bench = Bench(space, store, same, numbers)
        _measure_blocks(bench, name)
        _time_sentinels(bench)
        for d, device in same.items():  # nothing is left to measure: the entries are worked out
            built[d] = build_lut(space, device, PRECISION, METHOD, store=store, seed=SEED)
        unchecked = {d: built[d] for d in same if built[d].check is None}
        for d, lut in _check(bench, unchecked, name).items():
            store.add_check(keys[d], lut.check)  # type: ignore[arg-type]
            built[d] = lut
    return [correct_lut(lut, space) if d in NPUS else lut for d, lut in built.items()]


def _make(name: str, row: Row) -> Device:
    return make_device(name, **({"external_memory": True} if name in row.external else {}))


def _measure_blocks(bench: Bench, name: str) -> None:
    jobs = isolated_jobs(bench.space)
    done = {d: set(bench.store.results(number)) for d, number in bench.numbers.items()}
    missing = [job for job in jobs if any(job.key not in keys for keys in done.values())]
    start = time.perf_counter()
    for first in range(0, len(missing), GROUP):
        group = missing[first : first + GROUP]
        with tempfile.TemporaryDirectory(prefix="hot-luts-") as folder:
            artifacts = bench.artifacts(group, folder, SEED)
            for d, device in bench.devices.items():
                measured = device.measure_all(artifacts, replace(SETTINGS, per_node=False))
                new = [
                    _result(job.key, one)
                    for job, one in zip(group, measured, strict=True)
                    if job.key not in done[d]
                ]
                bench.store.add_results(bench.numbers[d], 0, new)
        elapsed = time.perf_counter() - start
        log.info("%s: %d of %d blocks, %.0f s", name, first + len(group), len(missing), elapsed)


def _result(key: str, measured: Measurement) -> JobResult:
    if measured.latency_ms is None:
        raise SystemExit(f"{key}: {measured.failure}")
    part = PartTime(key, key, measured.latency_ms, 0)
    return JobResult(key, measured.latency_ms, measured.spread, (part,), measured.energy_mj)


def _time_sentinels(bench: Bench) -> None:
    """The whole networks that tell whether a device still is as it was; an estimate is."""
    untimed = {d: n for d, n in bench.numbers.items() if not bench.store.timings(n)}
    if not untimed:
        return
    networks = sentinel_networks(bench.space, SEED)
    found = _estimate(bench, networks, SEED, tuple(untimed))
    for d, number in untimed.items():
        pairs = zip(networks, found[d], strict=True)
        bench.store.add_timing(number, {a.key: ms for a, ms in pairs if ms is not None})


def _check(bench: Bench, luts: dict[str, Lut], name: str) -> dict[str, Lut]:
    """The LUTs, each compared with the same held-out networks, which none of them has seen."""
    if not luts:
        return {}
    seen = {key for lut in luts.values() for key in (*lut.jobs, *lut.sentinels)}
    networks = held_out(bench.space, N_NETWORKS, SEED + 1, seen)
    log.info("%s: %d whole networks for %s", name, len(networks), ", ".join(luts))
    found = _estimate(bench, networks, SEED + 1, tuple(luts))
    checked = {}
    for d, lut in luts.items():
        table = lut.table(bench.space)
        pairs = zip(networks, found[d], strict=True)
        kept, truth = zip(*[(a, ms) for a, ms in pairs if ms is not None], strict=True)
        predicted = [table.predict_ms(bench.space, a) for a in kept]
        checked[d] = replace(lut, check=compare(kept, predicted, truth, SEED + 1))
    return checked


def _estimate(
    bench: Bench, networks: Sequence[Architecture], seed: int, devices: tuple[str, ...]
) -> dict[str, list[float | None]]:
    """Latency of whole networks in ms by device; None where one does not run there."""
    found: dict[str, list[float | None]] = {d: [] for d in devices}
    for network in networks:
        with tempfile.TemporaryDirectory(prefix="hot-luts-") as folder:
            job = network_job(bench.space, network)
            (artifact,) = bench.artifacts([job], folder, seed)
            for d in devices:
                found[d].append(bench.devices[d].measure(artifact, Settings()).latency_ms)
        log.info("%s: %d of %d networks", bench.space.key, len(found[devices[0]]), len(networks))
    return found


def undated(lut: Lut) -> Lut:
    """The LUT without times, and without what other versions of numpy may round otherwise.

    What is left decides the rest: a correction follows from the entries and the measured networks.
    """
    check = lut.check
    if check is not None:
        check = replace(check, date="", mean_error=0, worst_error=0, bias=0, spearman=0)
        if lut.corrected is not None:
            check = replace(check, predicted_ms=())
    return replace(lut, created="", check=check, corrected=None)


def is_same(lut: Lut, other: Lut) -> bool:
    """Whether two LUTs say the same, dates aside."""
    is_alike = (lut.corrected is None) == (other.corrected is None)
    return is_alike and undated(lut) == undated(other)


def write(lut: Lut, is_checking: bool) -> bool:
    """Write a LUT's file unless the one there is equal but for its dates; whether it was equal."""
    path = FOLDER / lut_file_name(lut)
    is_equal = path.is_file() and is_same(load_lut(path), lut)
    said = "as it was" if is_equal else "DIFFERS" if is_checking else "written"
    if not is_equal and not is_checking:
        save_lut(lut, FOLDER)
    print(f"{path.relative_to(FOLDER)}: {said}; {lut.check}", flush=True)
    return is_equal


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    wanted = options.devices or (*NPUS, *CHIPS)
    with tempfile.TemporaryDirectory() as scratch:
        store = LutStore(Path(scratch) / "luts.db" if options.check else options.store)
        try:
            names = options.only or list(SHIPPED)
            luts = (lut for name in names for lut in build(name, wanted, store))
            equal = [write(lut, options.check) for lut in luts]
        finally:
            store.close()
    if options.check and not all(equal):
        sys.exit(f"{equal.count(False)} of {len(equal)} LUTs differ from those in {FOLDER}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SHIPPED, help="spaces; by default all")
    parser.add_argument("--devices", nargs="+", choices=(*NPUS, *CHIPS), help="by default all")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--store", type=Path, default=Path("runs/shipped_luts.db"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
