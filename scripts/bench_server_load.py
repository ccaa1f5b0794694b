"""Many clients on one profiling server: nothing lost, nothing measured twice, quick answers.

    python scripts/bench_server_load.py --out scripts/results/server_load.json   # minutes
    python scripts/bench_server_load.py --quick

16 clients send 2,000 requests to a server whose device is this machine's processor, 30 % of them
for models that it has never seen, 70 % for ones that were asked for before. As clients are usually
other machines, these leave the core on which the server measures alone. The load comes in rounds,
as a machine's own speed may move by a tenth within half a minute: after each round, some of the
models that were measured in it are measured twice more, by one client that waits for each.
Latencies under load are compared with the first of these quiet ones, and the second with the first,
which says how far the machine itself moves.
"""

import argparse
import collections
import os
import random
import statistics
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from serving import Server, make_models, plug_in, running

from hot.devices import Settings
from hot.devices.remote import Remote, Ticket, make_remote
from hot.files import write_json
from hot.records import Artifact, provenance

CACHED_P99_S, MEDIAN_LIMIT = 0.050, 0.03
SHARE_NEW = 0.3
_COMING_S = 0.25  # after a pause clients do not come all at one moment
# No limit of the spread: what is not steady a client would have measured again.
SETTINGS = Settings(warmup=2, repetitions=8, best_of=3, spread_limit=100.0, memory=False)


@dataclass
class Load:
    """What the clients share: models still unseen, those asked for, and what they saw."""

    unseen: list[Artifact]
    n_left: int
    rng: random.Random
    n_left_of_round: int = 0
    asked: list[Artifact] = field(default_factory=list)
    answered: set[Path] = field(default_factory=set)
    cached_s: list[float] = field(default_factory=list)
    latencies_ms: dict[Path, set[float]] = field(
        default_factory=lambda: collections.defaultdict(set)
    )
    failures: list[str] = field(default_factory=list)
    n_answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> tuple[Artifact, bool] | None:
        """A model, and whether its answer is in the database by now; None as the round ends."""
        with self.lock:
            if self.n_left_of_round == 0:
                return None
            self.n_left_of_round -= 1
            self.n_left -= 1
            # So many new ones are left to be spread over so many requests.
            is_new = self.rng.random() * (self.n_left + 1) < len(self.unseen)
            if is_new or not self.asked:
                self.asked.append(self.unseen.pop())
                return self.asked[-1], False
            artifact = self.rng.choice(self.asked)
            return artifact, artifact.path in self.answered

    def note(self, ticket: Ticket, is_known: bool, seconds: float) -> None:
        """Keep an answer; `seconds` of one that came from the database."""
        assert ticket.result is not None
        with self.lock:
            self.n_answers += 1
            if ticket.result.latency_ms is None:
                self.failures.append(str(ticket.result.failure))
                return
            self.answered.add(ticket.artifact.path)
            self.latencies_ms[ticket.artifact.path].add(ticket.result.latency_ms)
            if is_known:
                self.cached_s.append(seconds)


def work(load: Load, remote: Remote, delay_s: float) -> None:
    """One client: come after `delay_s`, then ask, wait for the answer, ask again."""
    time.sleep(delay_s)
    while (chosen := load.next()) is not None:
        artifact, is_known = chosen
        try:
            ticket = remote.ticket(artifact, SETTINGS)
            start = time.perf_counter()
            remote.send(ticket)
            seconds = time.perf_counter() - start
            while ticket.result is None:
                remote.poll(ticket, 30.0)
        except Exception as error:  # a client that ends early must not look like a slow one
            load.failures.append(repr(error))
            raise
        load.note(ticket, is_known, seconds)


def connect(server: Server) -> Remote:
    """The server's device."""
    return make_remote(f"{server.base}/cpu", token_file=str(server.token_file))


def measure_quietly(server: Server, models: list[Artifact], seed: int) -> list[float]:
    """Latencies that one client gets which waits for each; measured anew for every seed."""
    remote = connect(server)
    found = [remote.measure(model, replace(SETTINGS, seed=seed)) for model in models]
    return [result.latency_ms or float("nan") for result in found]


def count_jobs(server: Server) -> tuple[int, int, int]:
    """Jobs of the load by the server's own list: all, distinct ones, and times one was started."""
    n, keys, n_started = 0, set(), 0
    after: dict[str, str] = {}
    while True:
        page = httpx.get(
            f"{server.base}/v1/jobs",
            params={"limit": "500", **after},
            headers=server.headers,
            trust_env=False,
            timeout=60,
        ).json()
        for job in page["jobs"]:
            if job["settings"]["seed"] == SETTINGS.seed:
                n += 1
                keys.add(job["artifact"])
                n_started += job["attempts"]
        if page["next"] is None:
            return n, len(keys), n_started
        after = {"after": page["next"]}


def main() -> None:
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)
    with tempfile.TemporaryDirectory(prefix="hot-load-") as name:
        folder = Path(name)
        n_new = round(SHARE_NEW * options.requests)
        models = [
            model
            for index, side in enumerate(options.sides)
            for model in make_models(
                folder / f"models-{side}",
                n_new // len(options.sides) + (index < n_new % len(options.sides)),
                seed=index,
                side=side,
                channels=32,
                depth=4,
            )
        ]
        random.Random(options.seed).shuffle(models)
        # All cores, so that the server takes the one it would.
        os.sched_setaffinity(0, cores)
        server = Server(
            folder / "server", ["cpu"], plug_in(folder / "plug"), options=["--rate", "100000"]
        )
        with running(server):
            os.sched_setaffinity(0, cores[:-1] or cores)
            result = _bench(options, server, models)
    _tell(result)
    if options.out:
        document = {
            "command": "python scripts/bench_server_load.py --out scripts/results/server_load.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "settings": asdict(SETTINGS),
            "provenance": asdict(provenance()),
            **result,
        }
        write_json(options.out, document)
    if not result["is_good"]:
        raise SystemExit(1)


def _bench(options: argparse.Namespace, server: Server, models: list[Artifact]) -> dict[str, Any]:
    measure_quietly(server, models[-2:], seed=9)  # the worker starts with its first job
    load = Load(list(models), options.requests, random.Random(options.seed))
    clients = [connect(server) for _ in range(options.clients)]
    under: list[float] = []
    first: list[float] = []
    second: list[float] = []
    seconds = 0.0
    for _ in range(options.rounds):
        known = len(load.asked)
        seconds += _round(load, clients, -(-options.requests // options.rounds))
        watched = load.asked[known:][: options.watched]
        under += [next(iter(load.latencies_ms[model.path]), float("nan")) for model in watched]
        first += measure_quietly(server, watched, seed=1)
        second += measure_quietly(server, watched, seed=2)
    n_jobs, n_distinct, n_started = count_jobs(server)
    cached = np.quantile(load.cached_s or [float("inf")], (0.5, 0.99, 1.0))
    shift = _median_ratio(under, first)
    n_differing = sum(len(values) > 1 for values in load.latencies_ms.values())
    result = {
        "requests": options.requests,
        "answers": load.n_answers,
        "failures": load.failures[:5],
        "distinct": len(models),
        "jobs": n_jobs,
        "started": n_started,
        "answers_that_differ": n_differing,
        "seconds": round(seconds, 1),
        "cached": len(load.cached_s),
        "cached_median_s": round(float(cached[0]), 5),
        "cached_p99_s": round(float(cached[1]), 5),
        "cached_worst_s": round(float(cached[2]), 5),
        "rounds": options.rounds,
        "watched": len(under),
        "latency_ms": {"quiet": statistics.median(first), "load": statistics.median(under)},
        "load_against_quiet": round(shift, 5),
        "quiet_against_quiet": round(_median_ratio(second, first), 5),
    }
    is_whole = load.n_answers == options.requests and not load.failures
    is_once = n_jobs == n_distinct == n_started == len(models) and n_differing == 0
    is_quick = result["cached_p99_s"] < CACHED_P99_S
    return {
        **result,
        "is_nothing_lost": is_whole,
        "is_nothing_twice": is_once,
        "is_quick": is_quick,
        "is_undisturbed": abs(shift - 1) < MEDIAN_LIMIT,
        "is_good": is_whole and is_once and is_quick and abs(shift - 1) < MEDIAN_LIMIT,
    }


def _round(load: Load, clients: list[Remote], n_requests: int) -> float:
    """So many requests of all clients, that come one by one; the seconds they took."""
    load.n_left_of_round = min(n_requests, load.n_left)
    threads = [
        threading.Thread(target=work, args=(load, client, load.rng.uniform(0, _COMING_S)))
        for client in clients
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def _median_ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))


def _tell(result: dict[str, Any]) -> None:
    print(
        f"{result['answers']} of {result['requests']} answered in {result['seconds']} s, "
        f"{result['distinct']} models measured {result['started']} times; cached answers: median "
        f"{1e3 * result['cached_median_s']:.1f} ms, p99 {1e3 * result['cached_p99_s']:.1f} ms; "
        f"latencies under load {100 * (result['load_against_quiet'] - 1):+.2f} % "
        f"(the machine itself {100 * (result['quiet_against_quiet'] - 1):+.2f} %)"
    )
    for name in ("is_nothing_lost", "is_nothing_twice", "is_quick", "is_undisturbed"):
        print(f"  {name[3:].replace('_', ' ')}: {'yes' if result[name] else 'NO'}")
    for failure in result["failures"]:
        print(f"  {failure}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--watched", type=int, default=20, help="models of a round measured quietly, too"
    )
    parser.add_argument(
        "--sides", type=int, nargs="+", default=(24, 32, 40, 48), help="of the models' maps"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="100 requests of 4 clients")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.requests, options.rounds = 4, 100, 2
    return options


if __name__ == "__main__":
    main()
