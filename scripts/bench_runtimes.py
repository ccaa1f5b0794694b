"""LUTs of this machine's runtimes, fp32 and int8, each checked on networks it has not seen.

    python scripts/bench_runtimes.py --out scripts/results/runtimes.json   # half an hour

A LUT of each runtime and precision is built by the runtime's own method and held against whole
networks. Then the int8 LUT of a runtime is compared with its fp32 one, choice by choice. Resumable:
with --folder, run the same command again. With --devices, the file keeps its rows of other devices.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from hot.devices import make_device
from hot.files import read_json, write_json
from hot.lut import build_lut, check_lut, compare_luts
from hot.records import Lut, provenance, to_document
from hot.space import Space, load_space

DEVICES, PRECISIONS = ("cpu", "litert", "openvino"), ("fp32", "int8")
LARGEST_ERROR = 0.05


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    space = load_space(options.space, width=options.width, resolution=options.resolution)
    with tempfile.TemporaryDirectory(prefix="hot-runtimes-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows, comparisons = [], []
        for name in options.devices:
            luts = []
            for precision in PRECISIONS:
                row, lut = build_and_check(space, name, precision, folder, options)
                rows.append(row)
                luts.append(lut)
            comparisons.append(compare(name, space, *luts))
    if options.out:
        old = read_json(options.out, "results") if options.out.is_file() else {}
        rows = [*_others(old, "results", options.devices), *rows]
        comparisons = [*_others(old, "int8_against_fp32", options.devices), *comparisons]
        document = {
            "command": "python scripts/bench_runtimes.py --out scripts/results/runtimes.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "space": space.key,
            "provenance": to_document(provenance()),
            "results": rows,
            "int8_against_fp32": comparisons,
        }
        write_json(options.out, document)


def _others(old: dict[str, Any], part: str, devices: list[str]) -> list[dict[str, Any]]:
    """The rows of an earlier file that are not of these devices."""
    return [row for row in old.get(part, []) if row["name"] not in devices]


def build_and_check(
    space: Space, name: str, precision: str, folder: Path, options: argparse.Namespace
) -> tuple[dict[str, Any], Lut]:
    """The figures of one LUT, and the LUT."""
    device = make_device(name)
    start = time.perf_counter()
    lut = build_lut(space, device, precision, store=folder / "luts.db", seed=options.seed)
    seconds = time.perf_counter() - start
    check = check_lut(lut, space, device, options.networks, options.seed + 1)
    row = {
        "device": lut.device.key,
        "name": name,
        "precision": precision,
        "method": lut.method,
        "build_s": round(seconds, 1),
        "n_entries": len(lut.entries),
        "n_networks": options.networks,
        "mean_error": round(check.mean_error, 4),
        "worst_error": round(check.worst_error, 4),
        "bias": round(check.bias, 4),
        "spearman": round(check.spearman, 4),
        "date": check.date,
    }
    is_good = check.mean_error <= LARGEST_ERROR
    print(f"{name} {precision}: {check}{'' if is_good else ' (MISSED)'}", flush=True)
    return row, lut


def compare(name: str, space: Space, plain: Lut, quantised: Lut) -> dict[str, Any]:
    """What int8 does to the latencies of a runtime."""
    found = compare_luts(plain, quantised, space)
    known = [r for slot in found.slots for r in slot.ratios.values() if r is not None]
    row = {
        "name": name,
        "original_ms": found.original_ms,
        "median_ratio": found.median_ratio,
        "least_ratio": min(known),
        "largest_ratio": max(known),
        "spearman": round(found.spearman, 4),
        "other_fastest": sum(len(set(slot.fastest)) > 1 for slot in found.slots),
        "n_slots": len(found.slots),
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES))
    parser.add_argument("--space", default="mobilenetv2_32")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--networks", type=int, default=30, help="held-out networks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep what was measured, to go on from it")
    parser.add_argument("--out", type=Path, help="JSON with the figures and where they come from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
