"""How well quality scores rank trained networks: the 32x32 space on CIFAR-10, at two kinds of pick.

Trains networks of any latency and networks of one latency, all from scratch by one recipe, scores
them with every scorer and writes Spearman's correlations. Resumable: run the same command again.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_ranking.py --lut LUT
"""

import argparse
from pathlib import Path

import numpy as np
from bench_cifar import find_data

from hot.autosearch import Tables
from hot.lut import load_lut
from hot.pipeline import start
from hot.records import Candidate, LatencyTable, Recipe, RunFolder, TrainResult
from hot.space import Architecture, Space, load_space
from hot.tasks import DataOptions
from hot.training import HpoSettings, optimise

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


def pick_networks(space: Space, table: LatencyTable, n: int) -> dict[str, list[Architecture]]:
    """The two groups: latencies from a third to twice the baseline's, and within 3 % of it."""
    base = table.predict_ms(space, space.original)
    return {
        "any": spread_over_latency(space, table, n, (base / 3, 2 * base), seed=0),
        "similar": spread_over_latency(space, table, n, (0.97 * base, 1.03 * base), seed=1),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lut", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--networks", type=int, default=24, help="of each group")
    options = parser.parse_args()
    space = load_space("mobilenetv2_32")
    table = load_lut(options.lut, space).table(space)
    groups = pick_networks(space, table, options.networks)
    job = start(options.folder, space.spec, f"# bench_ranking {options.networks}\n")
    results = train_groups(job, groups)
    print([round(result.test_metric, 4) for result in results])


if __name__ == "__main__":
    main()
