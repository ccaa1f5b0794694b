"""Damaged models and requests against a profiling server: no 5xx, no crash, bounded memory.

    python scripts/bench_server_fuzz.py --out scripts/results/server_fuzz.json   # half an hour
    python scripts/bench_server_fuzz.py --quick

Two parts. Model files damaged by a seeded mutator (mutate.py) are uploaded; what the server takes
is run on the processor and on the analytic device. Then schemathesis reads the server's OpenAPI
document and sends requests that follow it, nearly follow it, or do not, and checks each answer
against the document. The server must be the same process at the end, its statuses below 500, and
its memory little above what it was once every page had been asked for.
"""

import argparse
import collections
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from mutate import mutate
from serving import Server, plug_in, running, small_model

from hot.errors import DeployError
from hot.export import export_tflite
from hot.files import read_json, write_json
from hot.nn import build
from hot.records import provenance
from hot.space import load_space

DEVICES = ("cpu", "reference")
_CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance",
)  # fmt: skip
_GROWTH_BYTES = 256 * 2**20  # of the server's resident memory that is still called bounded
_SETTINGS = {
    "warmup": 0, "repetitions": 1, "best_of": 1, "max_remeasure": 0, "memory": False,
}  # fmt: skip


def seeds(folder: Path) -> list[bytes]:
    """Whole models: small ones, one of a space, and TFLite where it can be made here."""
    rng = np.random.default_rng(0)
    found = [small_model(rng, 16, 8, depth).SerializeToString() for depth in (1, 2, 4)]
    space = load_space("digits")
    try:
        made = export_tflite(
            build(space, space.original), space.stem_input, folder / "digits.tflite"
        )
    except DeployError as error:
        print(f"no TFLite among the models: {error}")
    else:
        found += [made.path.read_bytes()] * 2
    return found


def warm_up(server: Server, sources: list[bytes]) -> int:
    """Ask for whatever needs no more than an address, run whole models; the memory after that."""
    paths = httpx.get(f"{server.base}/openapi.json", trust_env=False).json()["paths"]
    rng = random.Random(0)
    with _client(server) as client:
        for path in (path for path, ways in paths.items() if "get" in ways and "{" not in path):
            client.get(path)
        for data in sources:
            _try(client, data, rng)
    return server.memory_bytes()


def _client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.base, headers=server.headers, timeout=120, trust_env=False)


def fuzz_models(server: Server, sources: list[bytes], n: int, seed: int) -> dict[str, Any]:
    """How `n` damaged models fared."""
    rng = random.Random(seed)
    fates: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    statuses: collections.Counter[int] = collections.Counter()
    told = time.monotonic()
    with _client(server) as client:
        for index in range(n):
            kind, data = mutate(sources, rng)
            fate, seen = _try(client, data, rng)
            fates[kind][fate] += 1
            statuses.update(seen)
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(f"{index} models: {dict(statuses)}", flush=True)
    return {
        "n": n,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "fates": {kind: dict(sorted(fate.items())) for kind, fate in sorted(fates.items())},
    }


def _try(client: httpx.Client, data: bytes, rng: random.Random) -> tuple[str, list[int]]:
    """Upload a model and, where it is taken, run it; its fate and all statuses."""
    name = hashlib.sha256(data).hexdigest()
    answer = client.put(f"/v1/artifacts/{name}", content=data)
    seen = [answer.status_code]
    if answer.status_code not in (200, 201):
        return "refused", seen
    device = rng.choice(DEVICES)
    for shape in ([1, 8, 16, 16], [1, 1, 16, 16]):  # of the small models, of the digits space's
        request = {
            "device": device, "artifact": name, "precision": "fp32", "input_shape": shape,
            "settings": _SETTINGS,
        }  # fmt: skip
        answer = client.post("/v1/jobs", json=request)
        seen.append(answer.status_code)
        if answer.status_code != 400:
            break
    if answer.status_code not in (200, 202):
        return "request refused", seen
    job = answer.json()
    while job["status"] in ("queued", "running"):
        answer = client.get(f"/v1/jobs/{job['id']}", params={"wait_s": 30})
        seen.append(answer.status_code)
        job = answer.json()
    if job["status"] != "done":
        return f"worker ended: {job['error'][:40]}", seen
    return "cannot run" if job["measurement"]["failure"] else "runs", seen


def fuzz_requests(server: Server, n: int, seed: int, folder: Path) -> dict[str, Any]:
    """What schemathesis found in at most about `n` requests."""
    document = httpx.get(f"{server.base}/openapi.json", trust_env=False).json()
    n_operations = sum(len(path) for path in document["paths"].values())
    report = folder / "report.json"
    before = _count_requests(server)
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", f"{server.base}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--checks", ",".join(_CHECKS),
        "--max-examples", str(max(1, n // n_operations)), "--seed", str(seed),
        "--header", f"Authorization: {server.headers['Authorization']}",
        "--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "90",
        "--generation-database", "none", "--warnings", "off", "--no-color", "--no-shrink",
        "--exclude-path-regex", "/events$",
        "--report", "json", "--report-json-path", report,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_PROXY": "*"}
    )
    after = _count_requests(server)
    statuses = {status: after[status] - before.get(status, 0) for status in sorted(after)}
    (folder / "schemathesis.log").write_text(done.stdout + done.stderr)
    if done.returncode not in (0, 1):
        raise SystemExit(f"schemathesis ended with {done.returncode}:\n{done.stderr[-3000:]}")
    is_clean = done.returncode == 0
    if not is_clean:
        print(done.stdout[-6000:])
    return {
        "n": sum(statuses.values()),
        "operations": n_operations,
        "statuses": statuses,
        "is_clean": is_clean,
        "report": sorted(read_json(report)) if report.is_file() else [],
    }


def _count_requests(server: Server) -> dict[str, int]:
    """Requests by status, as the server itself counted them."""
    text = httpx.get(f"{server.base}/metrics", headers=server.headers, trust_env=False).text
    found: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        if line.startswith("hot_requests_total{"):
            labels, _, value = line.rpartition(" ")
            found[labels.split('status="')[1].split('"')[0]] += int(float(value))
    return dict(found)


def main() -> None:
    options = _options()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hot-fuzz-") as name:
        folder = Path(name)
        server = Server(
            folder / "server",
            DEVICES,
            plug_in(folder / "plug"),
            options=["--rate", "100000", "--job-time-limit", "10", "--worker-memory", "1GiB"],
        )
        with running(server):
            process = server.process
            sources = seeds(folder)
            warm_bytes = warm_up(server, sources)
            models = fuzz_models(server, sources, options.models, options.seed)
            requests = fuzz_requests(server, options.requests, options.seed, folder)
            is_same = server.is_alive and server.process is process
            end_bytes = server.memory_bytes() if is_same else 0
            n_refused = sum(int(_) >= 500 for _ in _statuses(models, requests))
        words = (folder / "server" / "server.log").read_text()
    result = {
        "models": models,
        "requests": requests,
        "n_5xx": n_refused,
        "n_tracebacks": words.count("Traceback"),
        "is_same_process": is_same,
        "warm_bytes": warm_bytes,
        "end_bytes": end_bytes,
        "seconds": round(time.monotonic() - start, 1),
    }
    is_good = (
        is_same
        and n_refused == 0
        and requests["is_clean"]
        and end_bytes - warm_bytes < _GROWTH_BYTES
    )
    print(
        f"{models['n']} models {models['statuses']}, {requests['n']} requests "
        f"{requests['statuses']}: {n_refused} statuses from 500 on, the server "
        f"{'lived' if is_same else 'DIED'}, memory {warm_bytes / 2**20:.0f} -> "
        f"{end_bytes / 2**20:.0f} MiB, {result['n_tracebacks']} tracebacks in its log: "
        f"{'good' if is_good else 'NOT good'}"
    )
    if options.out:
        document = {
            "command": "python scripts/bench_server_fuzz.py --out scripts/results/server_fuzz.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "provenance": asdict(provenance()),
            "is_good": is_good,
            **result,
        }
        write_json(options.out, document)
    if not is_good:
        raise SystemExit(1)


def _statuses(*parts: dict[str, Any]) -> list[str]:
    return [status for part in parts for status, n in part["statuses"].items() for _ in range(n)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=6000)
    parser.add_argument("--requests", type=int, default=7000, help="at most so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="60 models, 100 requests")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    if options.quick:
        options.models, options.requests = 60, 100
    return options


if __name__ == "__main__":
    main()
