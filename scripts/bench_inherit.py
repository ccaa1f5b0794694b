"""How many epochs inheritance saves: one pick of the 32x32 space on CIFAR-10, over seeds.

The pick of most distilled quality at the original's latency is trained from scratch, and again from
distilled blocks, taught by the original network, in a quarter of the epochs. Run bench_ranking.py
first: its folder has the distilled blocks. Resumable.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_inherit.py --lut LUT
"""

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_cifar import find_data
from bench_ranking import N_TRAIN, N_VAL, RECIPE

from hot.autosearch import autosearch
from hot.files import write_json
from hot.lut import load_lut
from hot.nn import Library
from hot.records import Budget, QualityTable, RunFolder, load_record, provenance, to_document
from hot.tasks import load_images
from hot.training import fit

EPOCHS = 8
WAYS = {
    "from scratch": replace(RECIPE, epochs=EPOCHS),
    "from scratch, a quarter": replace(RECIPE, epochs=EPOCHS // 4),
    "inherited": replace(RECIPE, epochs=EPOCHS // 4, inherit=True),
    "inherited and taught": replace(RECIPE, epochs=EPOCHS // 4, inherit=True, distill_logits=0.5),
}


def train(folder: Path, way: str, architecture: str, seed: int) -> float:
    """The test accuracy of one training."""
    job = RunFolder.open(folder)
    space = job.space()
    recipe = replace(WAYS[way], seed=seed)
    result = fit(
        space,
        space.parse(architecture),
        load_images(str(find_data(folder)), space.stem_input, n_train=N_TRAIN, n_val=N_VAL),
        recipe,
        folder / "inherit" / way.replace(", ", "-").replace(" ", "-") / f"seed-{seed}",
        n_threads=1,
        library=Library(job.file("library"), space) if recipe.needs_library else None,
    )
    print(f"{way}, seed {seed}: {result.test_metric:.2%}", flush=True)
    return result.test_metric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lut", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/inherit.json"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    job = RunFolder.open(options.folder)
    space = job.space()
    latency = load_lut(options.lut, space).table(space)
    quality = load_record(job.file("quality", "distill.json"), QualityTable)
    limit = latency.predict_ms(space, space.original)
    budget = Budget(latency_ms=limit)
    picks = autosearch(space, latency, budget, quality=quality, k=2)
    pick = next(one for one in picks if one.architecture != space.original.key)
    with ProcessPoolExecutor(options.workers) as pool:
        pending = {
            way: [
                pool.submit(train, options.folder, way, pick.architecture, seed)
                for seed in range(options.seeds)
            ]
            for way in WAYS
        }
        found = {way: [job.result() for job in jobs] for way, jobs in pending.items()}
    rows: list[dict[str, Any]] = [
        {
            "way": way,
            "epochs": WAYS[way].epochs,
            "accuracies": accuracies,
            "mean": statistics.mean(accuracies),
            "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        }
        for way, accuracies in found.items()
    ]
    document = {
        "command": "python scripts/bench_inherit.py",
        "provenance": to_document(provenance()),
        "architecture": pick.architecture,
        "n_train": N_TRAIN,
        "original_metric": Library(job.file("library"), space).original_metric,
        "rows": rows,
    }
    write_json(options.out, document)


if __name__ == "__main__":
    main()
