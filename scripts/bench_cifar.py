"""CIFAR-10 on this machine: the picks of both objectives against the baseline, over seeds.

Runs the whole chain on the 32x32 space at int8 with one recipe for all, then writes the mean and
the spread over the seeds of every pick. Resumable: run the same command again.

    HOT_DATA=<folder that holds cifar10_jpeg/> python scripts/bench_cifar.py --folder runs/cifar

The pixels come from a JPEG copy of CIFAR-10, so accuracies are somewhat below those of the
original; the trainings are short, so they are far below what long ones reach. Only the comparison
at equal recipe and budget counts.
"""

import argparse
import io
import itertools
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hot.config import Config
from hot.deploy import load_bundle
from hot.devices import Settings, make_device
from hot.errors import DataError
from hot.files import atomic_path, validate, write_json
from hot.pipeline import run
from hot.records import (
    Measurement,
    Provenance,
    RunFolder,
    TrainResult,
    load_record,
    to_document,
)
from hot.report import Findings, gather

Row = dict[str, Any]


def decode(root: Path, target: Path) -> None:
    """Write the JPEG copy as arrays, official split."""
    source = root / "cifar10_jpeg" / "cifar10_jpeg.npz"
    if not source.is_file():
        raise DataError(f"no {source}; set HOT_DATA to the folder that holds cifar10_jpeg/")
    arrays = {}
    with np.load(source) as packed:
        for split in ("train", "test"):
            offsets, data = packed[f"{split}_offsets"], packed[f"{split}_jpeg"]
            images = [
                np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB"))
                for a, b in itertools.pairwise(offsets)
            ]
            arrays[f"{split}_x"] = np.stack(images)
            arrays[f"{split}_y"] = packed[f"{split}_labels"].astype(np.int64)
        arrays["class_names"] = packed["class_names"]
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def find_data(folder: Path) -> Path:
    """CIFAR-10 as arrays beside `folder`, decoded there from HOT_DATA at the first use."""
    root = Path(os.environ.get("HOT_DATA") or Path.home() / ".cache" / "hot")
    data = folder.resolve().parent / "cifar10_arrays.npz"
    if not data.is_file():
        decode(root, data)
    return data


def make_config(data: Path, options: argparse.Namespace) -> Config:
    """The run: most MACs at the baseline's latency and at 55 % of it, least latency at its MACs."""
    searches = [
        {"objective": "accuracy", "latency_budget": "100%", "top_k": options.top_k},
        {"objective": "latency", "min_quality": "100%", "top_k": options.top_k},
        {"name": "fast", "objective": "accuracy", "latency_budget": "55%", "top_k": 2},
    ]
    recipe = {
        "epochs": options.epochs,
        "batch_size": 128,
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "label_smoothing": 0.05,
        "horizontal_flip": True,
        "crop_padding": 2,
        "precision": "bf16",
    }
    document = {
        "space": {"name": "mobilenetv2_32"},
        "device": {"name": "cpu", "threads": 1},
        "lut": {"precision": "int8", "check_networks": 30},
        "search": searches,
        "training": {
            "data": str(data),
            "n_train": options.n_train,
            "n_val": 2500,
            "recipe": recipe,
            "hpo": {"trials": options.seeds, "workers": 2},
        },
        "deployment": {"precisions": ["int8", "fp32"]},
    }
    return validate(Config, document, "bench_cifar")


def measure(job: RunFolder, findings: Findings) -> dict[tuple[str, str], Measurement]:
    """The latencies of all bundles, interleaved, so that whatever drifts hits all alike."""
    keys = [(d.candidate, d.precision) for d in findings.deployments]
    artifacts = [load_bundle(job.file(d.bundle)).artifact for d in findings.deployments]
    settings = Settings(repetitions=40, memory=False)
    device = make_device("cpu", threads=1)
    return dict(zip(keys, device.measure_all(artifacts, settings), strict=True))


def summarise(findings: Findings, measured: dict[tuple[str, str], Measurement]) -> list[Row]:
    """One row a candidate: seeds, spread, deployment, and both against the baseline."""
    rows: list[Row] = []
    base = findings.candidates[0]
    for candidate in findings.candidates:
        paths = findings.run.file("training", candidate.name).glob("trial-*/result.json")
        tests = [load_record(path, TrainResult).test_metric for path in sorted(paths)]
        rows.append(
            {
                "candidate": candidate.name,
                "architecture": candidate.architecture,
                "macs": candidate.predicted.macs,
                "params": candidate.predicted.params,
                "predicted_ms": candidate.predicted.latency_ms,
                "test_accuracy": tests,
                "mean": statistics.mean(tests),
                "stdev": statistics.stdev(tests) if len(tests) > 1 else None,
                "deployed": {
                    d.precision: {
                        "accuracy": d.metric_value,
                        "measured_ms": measured[candidate.name, d.precision].latency_ms,
                        "spread": measured[candidate.name, d.precision].spread,
                        "times_faster": measured[base.name, d.precision].latency_ms
                        / measured[candidate.name, d.precision].latency_ms,
                    }
                    for d in findings.deployments_of(candidate)
                },
            }
        )
    return rows


def print_table(rows: list[Row]) -> None:
    for row in rows:
        deployed = row["deployed"]["int8"]
        print(
            f"{row['candidate']:12s} {row['macs'] / 1e6:6.2f} M MACs {row['params'] / 1e3:6.1f} k  "
            f"{row['mean']:.2%} +- {row['stdev'] or 0:.2%}  int8 {deployed['accuracy']:.2%} "
            f"{deployed['measured_ms']:.3f} ms ({deployed['times_faster']:.2f} x)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/cifar"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/cifar.json"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--top-k", type=int, default=4)
    parser.add_argument("--n-train", type=int, default=32000)
    options = parser.parse_args()
    data = find_data(options.folder)
    job: RunFolder = run(make_config(data, options), options.folder)
    findings = gather(job)
    rows = summarise(findings, measure(job, findings))
    document = {
        "what": "CIFAR-10 (JPEG copy), mobilenetv2_32, int8, picks against the baseline",
        "command": f"python scripts/bench_cifar.py --epochs {options.epochs} "
        f"--n-train {options.n_train} --seeds {options.seeds} --top-k {options.top_k}",
        "epochs": options.epochs,
        "n_train": options.n_train,
        "provenance": to_document(job.load(Provenance, "provenance.json")),
        "lut_check": to_document(findings.lut.check),
        "rows": rows,
    }
    write_json(options.out, document)
    print_table(rows)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
