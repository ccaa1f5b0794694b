"""How well quality scores rank trained networks: the 32x32 space on CIFAR-10, at two kinds of pick.

Trains networks of any latency and networks of one latency, all from scratch by one recipe, scores
them with every scorer and writes Spearman's correlations. Resumable: run the same command again.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_ranking.py --lut LUT
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_cifar import find_data
from scipy.stats import spearmanr

from hot.autosearch import Tables
from hot.files import write_json
from hot.lut import load_lut
from hot.nn import Library, build
from hot.pipeline import start
from hot.quality import (
    SCORERS,
    Evidence,
    correct_quality,
    measure_plugged,
    score,
    score_network,
)
from hot.records import (
    Candidate,
    DistillSettings,
    LatencyTable,
    QualityTable,
    Recipe,
    RunFolder,
    TrainResult,
    load_record,
    provenance,
    save_record,
    to_document,
)
from hot.space import Architecture, Space, load_space
from hot.tasks import DataOptions, ImageData, load_images
from hot.training import HpoSettings, fit, load_weights, optimise

RECIPE = Recipe(
    epochs=4,
    batch_size=64,
    learning_rate=0.05,
    weight_decay=5e-4,
    horizontal_flip=True,
    crop_padding=2,
    precision="bf16",
)
N_TRAIN, N_VAL = 12_000, 1_000
N_TAUGHT, STEPS = 24_000, 100  # images of the original's training, steps of every distilled choice
N_CORRECTING = 48  # networks of distilled blocks that correct the table, without training
WHOLE = ("synflow", "naswot", "zico", "distill")  # also scored network by network


def draw(space: Space, table: LatencyTable, tilt: float, rng: np.random.Generator) -> Architecture:
    """A random architecture whose choices have weights exp(-tilt x their latency in the slot)."""
    picked = []
    for row in table.latency_ms:
        spread = (np.array(row) - np.mean(row)) / (np.std(row) or 1.0)
        weights = np.exp(-tilt * spread)
        picked.append(int(rng.choice(len(row), p=weights / weights.sum())))
    return space.architecture(tuple(picked))


def spread_over_latency(
    space: Space, table: LatencyTable, n: int, limits: tuple[float, float], seed: int
) -> list[Architecture]:
    """`n` random architectures, one in each of `n` equal steps of predicted latency in ms."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(*limits, n + 1)
    found: dict[int, Architecture] = {}
    while len(found) < n:
        one = draw(space, table, rng.uniform(-1.5, 3.0), rng)
        step = int(np.searchsorted(steps, table.predict_ms(space, one))) - 1
        if 0 <= step < n:
            found.setdefault(step, one)
    return [found[step] for step in range(n)]


def pick_networks(
    space: Space, table: LatencyTable, n: int, seed: int = 0
) -> dict[str, list[Architecture]]:
    """The two groups: latencies from a third to twice the baseline's, and within 3 % of it."""
    base = table.predict_ms(space, space.original)
    return {
        "any": spread_over_latency(space, table, n, (base / 3, 2 * base), seed),
        "similar": spread_over_latency(space, table, n, (0.97 * base, 1.03 * base), seed + 1),
    }


def train_groups(job: RunFolder, groups: dict[str, list[Architecture]]) -> list[TrainResult]:
    """Every network, from scratch, in the order of the groups."""
    space = job.space()
    tables = Tables(space)
    candidates = [
        Candidate(f"{group}-{i:02d}", space.key, a.key, 0, "none", 0, 0, False, tables.predict(a))
        for group, networks in groups.items()
        for i, a in enumerate(networks)
    ]
    for candidate in candidates:
        job.save(candidate, "candidates", f"{candidate.name}.json")
    data = DataOptions(n_train=N_TRAIN, n_val=N_VAL)
    source = str(find_data(job.path))
    return optimise(job, candidates, source, RECIPE, HpoSettings(), 2, 0, data)


def prepare_library(job: RunFolder, data: ImageData) -> Library:
    """The original network, trained once: what `distill` learns from."""
    space = job.space()
    library = Library(job.file("library"), space)
    if not library.has_original():
        folder = job.file("original")
        result = fit(space, space.original, data, RECIPE, folder, n_threads=1)
        network = build(space, space.original)
        load_weights(folder / result.checkpoint, network)
        library.save_original(network, result.val_metric)
    return library


def correct(
    job: RunFolder, table: QualityTable, latency: LatencyTable, evidence: Evidence
) -> QualityTable:
    """The table corrected by other networks than those that are ranked, drawn as these were."""
    space = job.space()
    groups = pick_networks(space, latency, N_CORRECTING // 2, seed=100)
    networks = [one for group in groups.values() for one in group]
    values = measure_plugged(space, networks, evidence)
    measured = {one.key: value for one, value in zip(networks, values, strict=True)}
    return correct_quality(table, space, measured)


def rank(
    name: str,
    scores: dict[str, list[float]],
    accuracies: dict[str, list[float]],
    seconds: float,
    n_images: int,
) -> dict[str, Any]:
    """A row of the results: Spearman of scores and accuracies in every group."""
    found = {
        group: float(spearmanr(scores[group], accuracies[group]).statistic) for group in scores
    }
    print(name, found, f"{seconds:.0f} s", flush=True)
    return {"scorer": name, "spearman": found, "seconds": seconds, "n_images": n_images}


def score_all(
    job: RunFolder,
    groups: dict[str, list[Architecture]],
    accuracies: dict[str, list[float]],
    latency: LatencyTable,
) -> list[dict[str, Any]]:
    """Every scorer: the sum over its table, and the whole network where it can score one."""
    space = job.space()
    source = str(find_data(job.path))
    data = load_images(source, space.stem_input, n_train=N_TAUGHT, n_val=2000)
    evidence = Evidence(
        data=data,
        library=prepare_library(job, data),
        folder=job.file("quality"),
        distill=DistillSettings(steps=STEPS),
    )
    rows = []
    for name in SCORERS:
        file = job.file("quality", f"{name}.json")
        if not file.is_file():
            save_record(file, score(space, name, evidence))
        table = load_record(file, QualityTable)
        tables = {name: table}
        if name == "distill":
            tables["distill, corrected"] = correct(job, table, latency, evidence)
        for label, one in tables.items():
            scores = {
                group: [one.predict(space.indices(a)) for a in networks]
                for group, networks in groups.items()
            }
            rows.append(rank(label, scores, accuracies, table.seconds, table.n_images))
        if name in WHOLE:
            start = time.perf_counter()
            scores = {
                group: [score_network(name, space, a, evidence) for a in networks]
                for group, networks in groups.items()
            }
            seconds = time.perf_counter() - start
            rows.append(rank(f"{name}, whole networks", scores, accuracies, seconds, 0))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lut", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/ranking.json"))
    parser.add_argument("--networks", type=int, default=24, help="of each group")
    options = parser.parse_args()
    space = load_space("mobilenetv2_32")
    table = load_lut(options.lut, space).table(space)
    groups = pick_networks(space, table, options.networks)
    job = start(options.folder, space.spec, f"# bench_ranking {options.networks}\n")
    results = train_groups(job, groups)
    n, accuracies = 0, {}
    for group, networks in groups.items():
        accuracies[group] = [result.test_metric for result in results[n : n + len(networks)]]
        n += len(networks)
    rows = score_all(job, groups, accuracies, table)
    document = {
        "command": "python scripts/bench_ranking.py",
        "provenance": to_document(provenance()),
        "epochs": RECIPE.epochs,
        "n_train": N_TRAIN,
        "n_networks": options.networks,
        "steps": STEPS,
        "n_correcting": N_CORRECTING,
        "accuracies": {
            group: {"least": min(found), "most": max(found)} for group, found in accuracies.items()
        },
        "rows": rows,
    }
    write_json(options.out, document)


if __name__ == "__main__":
    main()
