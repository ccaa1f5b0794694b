"""Throughput of a farm of two servers against one, on a device whose measurement only waits.

    python scripts/bench_farm.py --out scripts/results/farm.json      # about a minute
    python scripts/bench_farm.py --quick

Both servers run here, which is why the device (waiting_device.py) leaves the cores alone for as
long as a measurement would take. All artifacts are new to the servers: each is uploaded, checked,
kept and measured.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from serving import Server, make_models, plug_in, running

from hot.devices import Device, Settings
from hot.devices.farm import load_farm
from hot.devices.remote import make_remote
from hot.files import write_json
from hot.records import Artifact, provenance

TARGET = 1.8
SETTINGS = Settings(memory=False)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hot-farm-") as name:
        rows = _bench(options, Path(name))
    ratios = [row["one_s"] / row["two_s"] for row in rows]
    ratio = statistics.median(ratios)
    verdict = "reached" if ratio >= TARGET else "NOT reached"
    print(f"throughput of two servers: {ratio:.3f} times that of one (target {TARGET}: {verdict})")
    if options.out:
        document = {
            "command": "python scripts/bench_farm.py --out scripts/results/farm.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "settings": asdict(SETTINGS),
            "provenance": asdict(provenance()),
            "rounds": rows,
            "ratio": round(ratio, 4),
            "target": TARGET,
        }
        write_json(options.out, document)


def _bench(options: argparse.Namespace, folder: Path) -> list[dict[str, float]]:
    environment = plug_in(folder / "plug")
    device = f"waiting?wait_ms={options.wait_ms}"
    servers = [
        # Of two names of machines: those of one would take turns.
        Server(folder / name, [device], environment, options=["--machine", name])
        for name in ("a", "b")
    ]
    farm_file = folder / "farm.yaml"
    listed = [
        {"url": f"{server.base}/waiting", "token_file": str(server.token_file)}
        for server in servers
    ]
    farm_file.write_text(json.dumps({"servers": listed}))
    rows = []
    with running(*servers):
        alone = [
            make_remote(f"{server.base}/waiting", token_file=str(server.token_file))
            for server in servers
        ]
        for server in alone:  # workers start with the first job
            _time(server, make_models(folder / "warm", 2, seed=10**6))
        one, two = alone[0], load_farm(farm_file)
        for index in range(options.rounds):
            row = {}
            for name, target in (("one", one), ("two", two)):
                seed = 2 * index + (name == "two")
                models = make_models(folder / f"{name}-{index}", options.artifacts, seed)
                row[f"{name}_s"] = round(_time(target, models), 3)
            rows.append(row)
            print(
                f"round {index}: {options.artifacts} artifacts of {options.wait_ms} ms: "
                f"one server {row['one_s']} s, two {row['two_s']} s"
            )
    return rows


def _time(device: Device, models: list[Artifact]) -> float:
    start = time.perf_counter()
    results = device.measure_all(models, SETTINGS)
    seconds = time.perf_counter() - start
    failed = [result.failure for result in results if result.failure is not None]
    if failed:
        raise SystemExit(f"{len(failed)} measurements failed: {failed[0]}")
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--artifacts", type=int, default=40)
    parser.add_argument("--wait-ms", type=float, default=300.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of ten artifacts")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    if options.quick:
        options.artifacts, options.rounds = 10, 1
    return options


if __name__ == "__main__":
    main()
