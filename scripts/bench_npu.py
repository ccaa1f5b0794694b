"""Operator replacement on the NPU: what other operators than MobileNetV2's save on Ethos-U.

    python scripts/bench_npu.py replacement [--verify]
    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_npu.py accuracy [--quick]

`replacement`: the network of least latency with no fewer MACs than MobileNetV2's, at 96x96 and
192x192, and which slots turned to what; --verify has Vela estimate both networks as a whole.
Latencies are the shipped look-up tables': estimates of Arm's compiler, with 1000 classes.

`accuracy`: networks of the 32x32 space that take 40 to 60 % of the original's latency, of most
quality by several scores, and the original itself, all trained from scratch by one recipe on
CIFAR-10, over seeds. Resumable: run the same command again. Both write to one file of results.
"""

import argparse
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench_cifar import find_data
from bench_search import RECIPE

from hot.autosearch import Tables, autosearch
from hot.devices import Settings
from hot.devices.registry import remake_device
from hot.files import read_json, write_json
from hot.lut import find_lut, load_lut
from hot.lut.artifacts import make_artifact
from hot.lut.plan import network_job, unique_work
from hot.nn import Library, build
from hot.quality import Evidence, score
from hot.records import (
    Budget,
    DistillSettings,
    Lut,
    QualityTable,
    TrainResult,
    load_record,
    provenance,
    save_record,
    to_document,
)
from hot.space import Architecture, Space, load_space
from hot.tasks import ImageData, load_images
from hot.training import fit, load_weights

NPUS = ("ethos-u55-128", "ethos-u65-512", "ethos-u85-256")
RESOLUTIONS = (96, 192)
SHARES = (0.4, 0.5, 0.6)  # of the original's latency
QUALITIES = ("distill", "params", "macs")
ORIGINAL = "original"
Row = dict[str, Any]


# Least latency at the original's MACs ----------------------------------------------------------


def replacement(npus: Sequence[str], resolution: int, is_verifying: bool) -> list[Row]:
    """A row for each NPU: the original against the fastest of no fewer MACs."""
    space = load_space("mobilenetv2", resolution=resolution)
    rows = []
    for npu in npus:
        lut = load_lut(find_lut(npu, space), space)
        table = lut.table(space)
        tables = Tables(space, table, precision=lut.precision)
        base = tables.predict(space.original)
        (pick,) = autosearch(space, table, Budget(), "latency", min_quality=base.quality, k=1)
        best = space.parse(pick.architecture)
        row: Row = {
            "npu": npu,
            "resolution": resolution,
            "lut": lut.space,
            "device": lut.device.key,
            "original_ms": base.latency_ms,
            "least_ms": pick.predicted.latency_ms,
            "reduction": 1 - pick.predicted.latency_ms / base.latency_ms,
            "fixed_ms": table.fixed_ms,
            "reduction_of_blocks": 1
            - (pick.predicted.latency_ms - table.fixed_ms) / (base.latency_ms - table.fixed_ms),
            "original_macs": base.macs,
            "macs": pick.predicted.macs,
            "original_params": base.params,
            "params": pick.predicted.params,
            "slots": {
                slot.name: choice.key
                for slot, choice in zip(space.slots, best.choices, strict=True)
            },
        }
        if is_verifying:
            estimates = [_estimate(lut, space, one) for one in (space.original, best)]
            row |= {"original_whole_ms": estimates[0], "least_whole_ms": estimates[1]}
            row["reduction_whole"] = 1 - estimates[1] / estimates[0]
        rows.append(row)
        print(
            f"{npu} {resolution}x{resolution}: {row['original_ms']:.2f} -> {row['least_ms']:.2f} ms"
            f" ({-row['reduction']:+.0%}; blocks {-row['reduction_of_blocks']:+.0%}),"
            f" {row['params'] / 1e6:.2f} M parameters of {row['original_params'] / 1e6:.2f} M;"
            f" {', '.join(f'{slot} {key}' for slot, key in row['slots'].items())}",
            flush=True,
        )
    return rows


def _estimate(lut: Lut, space: Space, architecture: Architecture) -> float:
    """Vela's estimate of the whole network in ms."""
    with tempfile.TemporaryDirectory(prefix="hot-npu-") as folder:
        job = network_job(space, architecture)
        form = lut.device.formats[0]
        works = unique_work(space)
        artifact = make_artifact(space, job, works, lut.precision, Path(folder), 0, form)
        measured = remake_device(lut.device).measure(artifact, Settings())
    if measured.latency_ms is None:
        raise SystemExit(measured.failure)
    return measured.latency_ms


# Trained accuracy at 40 to 60 % of the latency -------------------------------------------------


@dataclass(frozen=True)
class Contest:
    """The trainings of all picks.

    Attributes:
        folder: of all that is kept between runs.
        epochs: of every training, `n_train` images each.
        steps, n_measure: of every distilled choice, and images it is measured on.
    """

    source: Path
    folder: Path
    npus: tuple[str, ...]
    shares: tuple[float, ...]
    qualities: tuple[str, ...]
    seeds: int
    epochs: int
    n_train: int
    n_val: int
    steps: int
    n_measure: int

    @cached_property
    def space(self) -> Space:
        """The 32x32 space."""
        return load_space("mobilenetv2_32")

    @cached_property
    def data(self) -> ImageData:
        """The images."""
        shape = self.space.stem_input
        return load_images(str(self.source), shape, n_train=self.n_train, n_val=self.n_val)

    def train(self, architecture: Architecture, seed: int) -> TrainResult:
        """One training from scratch; a finished one is read."""
        return fit(
            self.space,
            architecture,
            self.data,
            replace(RECIPE, epochs=self.epochs, seed=seed),
            self.folder / "training" / f"{architecture.short}-{seed}",
            n_threads=1,
        )

    def quality(self, name: str) -> QualityTable:
        """The score of every choice; `distill` learns from the original of the first seed."""
        file = self.folder / f"quality-{name}.json"
        if not file.is_file():
            library = None
            if name == "distill":
                library = Library(self.folder / "library", self.space)
                if not library.has_original():
                    result = self.train(self.space.original, 0)
                    network = build(self.space, self.space.original)
                    place = f"{self.space.original.short}-0"
                    load_weights(self.folder / "training" / place / result.checkpoint, network)
                    library.save_original(network, result.val_metric)
            evidence = Evidence(
                data=self.data,
                library=library,
                folder=self.folder / name,
                n_threads=1,
                distill=DistillSettings(steps=self.steps, n_measure=self.n_measure),
            )
            save_record(file, score(self.space, name, evidence))
        return load_record(file, QualityTable)

    def picks(self) -> dict[str, Architecture]:
        """The network of most quality, by NPU, share of the latency and score; and the original."""
        found = {ORIGINAL: self.space.original}
        for npu in self.npus:
            table = self.table(npu)
            base = table.predict_ms(self.space, self.space.original)
            for share in self.shares:
                for name in self.qualities:
                    budget = Budget(latency_ms=share * base)
                    quality = self.quality(name)
                    (pick,) = autosearch(self.space, table, budget, quality=quality, k=1)
                    found[f"{npu} {share:.0%} {name}"] = self.space.parse(pick.architecture)
        return found

    def table(self, npu: str) -> Any:
        """Its latencies."""
        return load_lut(find_lut(npu, self.space), self.space).table(self.space)


def train_one(contest: Contest, architecture: Architecture, seed: int) -> float:
    """The test accuracy of one training."""
    result = contest.train(architecture, seed)
    print(f"{architecture.short} seed {seed}: {result.test_metric:.2%}", flush=True)
    return result.test_metric


def accuracy(contest: Contest, workers: int) -> Row:
    """A row for every pick, against the original's."""
    picks = contest.picks()
    networks = list(dict.fromkeys(picks.values()))  # a network picked twice is trained once
    jobs = [(one, seed) for seed in range(contest.seeds) for one in networks]
    with ProcessPoolExecutor(workers) as pool:
        pending = {job: pool.submit(train_one, contest, *job) for job in jobs}
        tests = {job: one.result() for job, one in pending.items()}
    space = contest.space
    base = statistics.mean(tests[space.original, seed] for seed in range(contest.seeds))
    rows = []
    for name, one in picks.items():
        mine = [tests[one, seed] for seed in range(contest.seeds)]
        reductions = {
            npu: 1
            - contest.table(npu).predict_ms(space, one)
            / contest.table(npu).predict_ms(space, space.original)
            for npu in contest.npus
        }
        rows.append(
            {
                "pick": name,
                "architecture": one.key,
                "operators": dict(Counter(choice.operator for choice in one.choices)),
                "macs": space.counts(one).macs,
                "params": space.counts(one).params,
                "reduction": reductions,
                "accuracy": mine,
                "mean": statistics.mean(mine),
                "deviation": statistics.stdev(mine) if len(mine) > 1 else 0.0,
                "gain": statistics.mean(mine) - base,
            }
        )
        print(
            f"{name}: {rows[-1]['mean']:.2%} ({rows[-1]['gain']:+.2%}), "
            + ", ".join(f"{npu} {-share:+.0%}" for npu, share in reductions.items()),
            flush=True,
        )
    return {"settings": _settings(contest), "best": _best(contest, rows), "rows": rows}


def _settings(contest: Contest) -> Row:
    names = ("epochs", "n_train", "n_val", "seeds", "shares", "qualities", "steps", "n_measure")
    return {name: getattr(contest, name) for name in names} | {"recipe": to_document(RECIPE)}


def _best(contest: Contest, rows: list[Row]) -> dict[str, Row | None]:
    """Of every NPU, the pick of least latency that is no less accurate than the original."""
    found: dict[str, Row | None] = {}
    for npu in contest.npus:
        good = [row for row in rows if row["gain"] >= 0 and row["pick"] != ORIGINAL]
        best = max(good, key=lambda row: row["reduction"][npu], default=None)
        found[npu] = best and {
            "pick": best["pick"],
            "reduction": best["reduction"][npu],
            "gain": best["gain"],
        }
        print(f"{npu}: at no lower accuracy {found[npu] or 'none'}", flush=True)
    return found


# Command line ------------------------------------------------------------------------------------


def main() -> None:
    options = _options()
    if options.part == "replacement":
        found: Any = [
            row
            for resolution in options.resolutions
            for row in replacement(options.npus, resolution, options.verify)
        ]
    else:
        found = accuracy(_contest(options), options.workers)
    document = read_json(options.out, "results") if options.out.is_file() else {}
    document[options.part] = {
        "command": _command(options),
        "provenance": to_document(provenance()),
        "results": found,
    }
    write_json(options.out, document)


def _command(options: argparse.Namespace) -> str:
    words = ["python scripts/bench_npu.py", options.part]
    if options.part == "replacement" and options.verify:
        words.append("--verify")
    if options.part == "accuracy":
        for name in ("npus", "shares", "qualities"):
            words += [f"--{name}", *map(str, getattr(options, name))]
        words += ["--epochs", str(options.epochs), "--seeds", str(options.seeds)]
    return " ".join(words)


def _contest(options: argparse.Namespace) -> Contest:
    quick = options.quick
    return Contest(
        source=find_data(options.folder),
        folder=options.folder / ("quick" if quick else "full"),
        npus=tuple(options.npus),
        shares=SHARES[-1:] if quick else tuple(options.shares),
        qualities=tuple(options.qualities),
        seeds=1 if quick else options.seeds,
        epochs=1 if quick else options.epochs,
        n_train=512 if quick else options.n_train,
        n_val=256 if quick else 2_000,
        steps=1 if quick else options.steps,
        n_measure=16 if quick else 128,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("replacement", "accuracy"))
    parser.add_argument("--npus", nargs="+", choices=NPUS, default=list(NPUS))
    parser.add_argument("--resolutions", nargs="+", type=int, default=list(RESOLUTIONS))
    parser.add_argument("--verify", action="store_true", help="estimate whole networks, too")
    parser.add_argument("--folder", type=Path, default=Path("runs/npu"))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--qualities", nargs="+", default=list(QUALITIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--n-train", type=int, default=16_000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a trial of minutes, not for figures")
    parser.add_argument("--out", type=Path, default=Path("scripts/results/npu.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
