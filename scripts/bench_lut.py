"""Both LUT methods of a space on this machine, built and checked in one run.

Example: python scripts/bench_lut.py --space mobilenetv2 --resolution 96 --out lut.json
"""

import argparse
import logging
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from hot.devices import make_device
from hot.files import write_json
from hot.lut import METHODS, build_lut, check_luts, save_lut
from hot.lut.methods import SETTINGS
from hot.records import provenance, to_document
from hot.space import load_space


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    space = load_space(options.space, width=options.width, resolution=options.resolution)
    device = make_device(options.device)
    settings = replace(SETTINGS, repetitions=options.repetitions)
    rows, luts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for method in METHODS:
            start = time.perf_counter()
            luts.append(
                build_lut(
                    space,
                    device,
                    options.precision,
                    method,
                    store=Path(folder) / "luts.db",
                    settings=settings,
                    seed=options.seed,
                )
            )
            rows.append({"method": method, "build_s": round(time.perf_counter() - start, 1)})
        checks = check_luts(luts, space, device, options.networks, options.seed + 1)
    for row, lut, check in zip(rows, luts, checks, strict=True):
        row |= {
            "n_entries": len(lut.entries),
            "n_jobs": len(lut.jobs),
            "unnamed_share": round(lut.unnamed_share, 5),
            "mean_error": round(check.mean_error, 4),
            "worst_error": round(check.worst_error, 4),
            "bias": round(check.bias, 4),
            "spearman": round(check.spearman, 4),
        }
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if options.out:
        document = {
            "command": "python scripts/bench_lut.py --out scripts/results/lut.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "space": space.key,
            "device": asdict(device.describe()),
            "settings": asdict(settings),
            "provenance": asdict(provenance()),
            "results": rows,
            "checks": [to_document(check) for check in checks],
        }
        write_json(options.out, document)
    if options.luts:
        for lut, check in zip(luts, checks, strict=True):
            print(save_lut(replace(lut, check=check), options.luts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobilenetv2")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", type=int, default=30, help="held-out networks")
    parser.add_argument("--repetitions", type=int, default=SETTINGS.repetitions)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON with the figures and where they come from")
    parser.add_argument("--luts", type=Path, help="folder to save both LUTs in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
