"""How well MACs rank trained networks: random architectures of the 32x32 space on CIFAR-10.

The paper reports a correlation of 0.90 between FLOPs and quality (pose estimation). Resumable.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_quality.py
"""

import argparse
from pathlib import Path

import numpy as np
from bench_cifar import find_data
from scipy.stats import pearsonr, spearmanr

from hot.autosearch import Tables
from hot.files import write_json
from hot.pipeline import start
from hot.records import Candidate, Recipe, provenance, to_document
from hot.space import Architecture, Space, load_space
from hot.tasks import DataOptions
from hot.training import HpoSettings, optimise


def spread_architectures(space: Space, n: int, seed: int) -> list[Architecture]:
    """`n` random architectures whose MACs spread evenly, in logarithm, over those of many."""
    rng = np.random.default_rng(seed)
    drawn = sorted((space.sample(rng) for _ in range(50 * n)), key=lambda a: space.counts(a).macs)
    logs = np.log([space.counts(a).macs for a in drawn])
    wanted = np.linspace(logs[0], logs[-1], n)
    return [drawn[i] for i in sorted({int(np.abs(logs - w).argmin()) for w in wanted})]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/quality.json"))
    parser.add_argument("--networks", type=int, default=18)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--n-train", type=int, default=12000)
    options = parser.parse_args()
    space = load_space("mobilenetv2_32")
    tables = Tables(space)
    job = start(options.folder, space.spec, f"# bench_quality {options.networks}\n")
    candidates = [
        Candidate(f"random-{i:02d}", space.key, a.key, 0, "none", 0, 0, False, tables.predict(a))
        for i, a in enumerate(spread_architectures(space, options.networks, seed=0))
    ]
    for candidate in candidates:
        job.save(candidate, "candidates", f"{candidate.name}.json")
    recipe = Recipe(
        epochs=options.epochs,
        learning_rate=0.1,
        weight_decay=5e-4,
        horizontal_flip=True,
        crop_padding=2,
        precision="bf16",
    )
    data = DataOptions(n_train=options.n_train, n_val=1000)
    source = str(find_data(options.folder))
    results = optimise(job, candidates, source, recipe, HpoSettings(), 2, 0, data)
    macs = [c.predicted.macs for c in candidates]
    params = [c.predicted.params for c in candidates]
    accuracy = [result.test_metric for result in results]
    document = {
        "command": "python scripts/bench_quality.py",
        "provenance": to_document(provenance()),
        "epochs": options.epochs,
        "n_train": options.n_train,
        "n_networks": len(candidates),
        "pearson_macs": float(pearsonr(macs, accuracy).statistic),
        "pearson_log_macs": float(pearsonr(np.log(macs), accuracy).statistic),
        "spearman_macs": float(spearmanr(macs, accuracy).statistic),
        "spearman_params": float(spearmanr(params, accuracy).statistic),
        "rows": [
            {"architecture": c.architecture, "macs": m, "params": p, "test_accuracy": a}
            for c, m, p, a in zip(candidates, macs, params, accuracy, strict=True)
        ],
    }
    write_json(options.out, document)
    print({key: value for key, value in document.items() if key.startswith(("pear", "spear"))})


if __name__ == "__main__":
    main()
