"""Ways to search at equal compute and equal latency: the 32x32 space on CIFAR-10, three seeds.

Every way may see as many images, all stages counted: training the original network that is
distilled from, distilling and measuring blocks, trying networks, the last training. Every network
must take at most 60 % of the original's latency by the look-up table, but for the original itself,
which stands for comparison. Resumable.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_search.py --lut LUT

An image through a training step counts once. A block's training step counts as its share of the
original network's MACs, and a pass without gradients as a third (`QualityTable.n_images`).
"""

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from bench_cifar import find_data

from hot.autosearch import autosearch
from hot.files import read_json, write_json
from hot.lut import load_lut
from hot.nn import Library, build
from hot.quality import Evidence, score
from hot.records import (
    Budget,
    DistillSettings,
    QualityTable,
    Recipe,
    TrainResult,
    load_record,
    provenance,
    save_record,
    to_document,
)
from hot.space import Architecture, load_space
from hot.tasks import ImageData, load_images
from hot.training import fit, load_weights

SHARE = 0.6  # of the original's latency
N_TRAIN, N_VAL, N_SHORT = 16_000, 2_000, 8_000
STEPS, N_MEASURE = 8, 128  # of every distilled choice, and images it is measured on
N_TRIED = 8  # networks that the searches without a score train for N_SHORT images each
RECIPE = Recipe(
    batch_size=64,
    learning_rate=0.05,
    weight_decay=5e-4,
    horizontal_flip=True,
    crop_padding=2,
    precision="bf16",
)
INHERIT = replace(RECIPE, inherit=True)


@dataclass(frozen=True)
class Contest:
    """One seed of the comparison.

    Attributes:
        images: what every way may see.
        original_epochs: of them, for training the original network where a way needs one.
    """

    lut: Path
    source: Path
    folder: Path
    seed: int
    images: int
    original_epochs: int = 2

    @cached_property
    def space(self) -> Any:
        """The 32x32 space."""
        return load_space("mobilenetv2_32")

    @cached_property
    def table(self) -> Any:
        """Its latencies."""
        return load_lut(self.lut, self.space).table(self.space)

    def data(self, n_train: int) -> ImageData:
        """The first `n_train` images of a fixed order, class by class."""
        shape = self.space.stem_input
        return load_images(str(self.source), shape, n_train=n_train, n_val=N_VAL)

    @property
    def limit_ms(self) -> float:
        """The latency budget."""
        return SHARE * float(self.table.predict_ms(self.space, self.space.original))

    def fits(self, architecture: Architecture) -> bool:
        """Whether a network is within the budget."""
        return bool(self.table.predict_ms(self.space, architecture) <= self.limit_ms)

    def best(self, quality: QualityTable | None) -> Architecture:
        """The network of most quality within the budget."""
        budget = Budget(latency_ms=self.limit_ms)
        pick = autosearch(self.space, self.table, budget, quality=quality, k=1)[0]
        return self.space.parse(pick.architecture)

    def train(
        self,
        name: str,
        architecture: Architecture,
        images: int,
        recipe: Recipe = RECIPE,
        library: Library | None = None,
    ) -> TrainResult:
        """A training of whole epochs that sees at most `images` images."""
        n_train = min(images, N_TRAIN)
        return fit(
            self.space,
            architecture,
            self.data(n_train),
            replace(recipe, epochs=images // n_train, seed=self.seed),
            self.folder / name,
            n_threads=1,
            library=library,
        )

    @cached_property
    def library(self) -> Library:
        """The original network, trained."""
        library = Library(self.folder / "library", self.space)
        if not library.has_original():
            images = self.original_epochs * N_TRAIN
            result = self.train("original", self.space.original, images)
            network = build(self.space, self.space.original)
            load_weights(self.folder / "original" / result.checkpoint, network)
            library.save_original(network, result.val_metric)
        return library

    def distilled(self) -> QualityTable:
        """The quality table by `distill`."""
        file = self.folder / "quality.json"
        if not file.is_file():
            evidence = Evidence(
                data=self.data(N_TRAIN),
                library=self.library,
                folder=self.folder / "distill",
                seed=self.seed,
                n_threads=1,
                distill=DistillSettings(steps=STEPS, n_measure=N_MEASURE),
            )
            save_record(file, score(self.space, "distill", evidence))
        return load_record(file, QualityTable)


def by_distill(contest: Contest) -> tuple[TrainResult, int]:
    """Distilled scores, the program's best, its distilled blocks trained on."""
    table = contest.distilled()
    spent = table.n_images + contest.original_epochs * N_TRAIN
    result = contest.train(
        "distill", contest.best(table), contest.images - spent, INHERIT, contest.library
    )
    return result, spent


def by_macs(contest: Contest) -> tuple[TrainResult, int]:
    """The program's best by MACs, trained from scratch with all images."""
    return contest.train("macs", contest.best(None), contest.images), 0


def by_baseline(contest: Contest) -> tuple[TrainResult, int]:
    """The original network, trained on from the weights that the choices are distilled from."""
    library, spent = contest.library, contest.original_epochs * N_TRAIN
    original = contest.space.original
    return contest.train("baseline", original, contest.images - spent, INHERIT, library), spent


def by_random(contest: Contest) -> tuple[TrainResult, int]:
    """The best of some random networks after a short training of each."""
    rng = np.random.default_rng(contest.seed)
    found: dict[Architecture, None] = {}  # in the order drawn
    while len(found) < N_TRIED:
        one = contest.space.sample(rng)
        if contest.fits(one):
            found[one] = None
    return _train_best(contest, "random", {a: _try(contest, "random", a) for a in found})


def by_optuna(name: str) -> Callable[[Contest], tuple[TrainResult, int]]:
    """Optuna's sampler of that name over the choices of all slots, the latency as a constraint."""
    samplers: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
        "tpe": lambda **options: optuna.samplers.TPESampler(n_startup_trials=4, **options),
        "nsga2": lambda **options: optuna.samplers.NSGAIISampler(population_size=4, **options),
    }

    def search(contest: Contest) -> tuple[TrainResult, int]:
        space = contest.space
        sampler = samplers[name](
            seed=contest.seed, constraints_func=lambda trial: (trial.user_attrs["over"],)
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        tried: dict[Architecture, float] = {}
        while len(tried) < N_TRIED:
            trial = study.ask()
            picked = tuple(
                trial.suggest_categorical(slot.name, range(len(slot.choices)))
                for slot in space.slots
            )
            one = space.architecture(picked)
            over = float(contest.table.predict_ms(space, one)) - contest.limit_ms
            trial.set_user_attr("over", over)
            if over > 0:  # known from the look-up table: no image is spent
                study.tell(trial, 0.0)
                continue
            if one not in tried:  # one that comes again costs nothing
                tried[one] = _try(contest, name, one)
            study.tell(trial, tried[one])
        return _train_best(contest, name, tried)

    return search


def _try(contest: Contest, way: str, architecture: Architecture) -> float:
    name = f"{way}-tried/{architecture.short}"
    return contest.train(name, architecture, N_SHORT).val_metric


def _train_best(
    contest: Contest, way: str, tried: dict[Architecture, float]
) -> tuple[TrainResult, int]:
    spent = len(tried) * N_SHORT
    best = max(tried, key=lambda one: tried[one])
    return contest.train(way, best, contest.images - spent), spent


WAYS: dict[str, Callable[[Contest], tuple[TrainResult, int]]] = {
    "distill": by_distill,
    "macs": by_macs,
    "baseline": by_baseline,
    "random": by_random,
    "tpe": by_optuna("tpe"),
    "nsga2": by_optuna("nsga2"),
}


def prepare(contest: Contest) -> float:
    """Train the original network; its validation metric."""
    return contest.library.original_metric


def run_way(contest: Contest, way: str) -> dict[str, Any]:
    """One way at one seed, as a row of the results."""
    file = contest.folder / f"{way}.json"
    if not file.is_file():
        result, spent = WAYS[way](contest)
        trained = len(result.history) * result.n_images
        architecture = contest.space.parse(result.architecture)
        row = {
            "way": way,
            "seed": contest.seed,
            "accuracy": result.test_metric,
            "images": spent + trained,
            "images_before_last_training": spent,
            "architecture": result.architecture,
            "predicted_ms": contest.table.predict_ms(contest.space, architecture),
        }
        write_json(file, row)
    row = read_json(file)
    print(
        f"seed {contest.seed} {way}: {row['accuracy']:.2%} of {row['images']:,} images", flush=True
    )
    return dict(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lut", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/search"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/search.json"))
    parser.add_argument("--images", type=int, default=15 * N_TRAIN, help="that each way may see")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    source = find_data(options.folder)
    contests = [
        Contest(options.lut, source, options.folder / f"seed-{seed}", seed, options.images)
        for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(options.workers) as pool:
        list(pool.map(prepare, contests))  # two ways share the trained original
        pending = [
            pool.submit(run_way, contest, way) for contest in contests for way in options.ways
        ]
        rows = [job.result() for job in pending]
    summary = {}
    for way in options.ways:
        accuracies = [row["accuracy"] for row in rows if row["way"] == way]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        summary[way] = {"mean": statistics.mean(accuracies), "deviation": spread}
    document = {
        "command": "python scripts/bench_search.py",
        "provenance": to_document(provenance()),
        "images": options.images,
        "n_train": N_TRAIN,
        "n_tried": N_TRIED,
        "images_per_try": N_SHORT,
        "summary": summary,
        "rows": rows,
    }
    write_json(options.out, document)


if __name__ == "__main__":
    main()
