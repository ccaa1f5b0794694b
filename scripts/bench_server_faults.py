"""Random kills of server, worker, database and client while a LUT is built over the network.

    python scripts/bench_server_faults.py --out scripts/results/server_faults.json  # half an hour
    python scripts/bench_server_faults.py --quick  # 6 kills

The client is `hot build-lut --device http://.../waiting`, run again whenever it ends early; the
server keeps its jobs in a PostgreSQL of its own. Server, worker and client are killed by SIGKILL,
the database by an immediate shutdown, which makes it recover from its log. The device waits as long
as a measurement would, and its figures are those of an analytic device: the LUTs must equal those
that were built without a network, in keys, in count, and in every digit. LUTs are built one after
the other, each of another layout, until all kills are done.
"""

import argparse
import collections
import os
import random
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from database import Postgres
from serving import HOT, Server, plug_in
from waiting_device import Waiting

from hot.files import write_json
from hot.lut import LutStore, build_lut
from hot.records import Lut, provenance
from hot.space import Space, load_space

VICTIMS = ("server", "worker", "database", "client")
_LIMIT_S = 3600.0


class Client:
    """`hot build-lut` over the network, one LUT after the other."""

    def __init__(self, options: argparse.Namespace, server: Server, folder: Path) -> None:
        """Begin the first LUT."""
        self._options, self._server, self._folder = options, server, folder
        self.seed, self.n_runs = 0, 0
        self._process: subprocess.Popen[bytes] | None = None

    def store(self, seed: int) -> Path:
        """The database of the LUT of that seed."""
        return self._folder / f"luts-{seed}.db"

    def start(self) -> None:
        """Run the command; it goes on where it was."""
        command = [
            *HOT, "build-lut", "--space", self._options.space, "--method", "in-context",
            "--device", f"{self._server.base}/waiting", "--check-networks", "0",
            "--device-option", f"token_file={self._server.token_file}",
            "--device-option", "timeout_s=30",
            "--store", str(self.store(self.seed)), "--seed", str(self.seed),
        ]  # fmt: skip
        self.n_runs += 1
        with open(self._folder / "client.log", "ab") as log:
            self._process = subprocess.Popen(
                command, env=plug_in(self._folder / "plug"), stdout=log, stderr=log
            )

    def is_done(self) -> bool:
        """Whether the LUT is finished; a client that ended early is started again.

        Raises:
            SystemExit: it ended by a bug.
        """
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return False
        if code == 0:
            return True
        if code not in (2, -signal.SIGKILL):
            words = (self._folder / "client.log").read_text()[-3000:]
            raise SystemExit(f"the client ended with code {code}:\n{words}")
        time.sleep(0.5)
        self.start()
        return False

    def kill(self) -> bool:
        """Kill it, if it runs."""
        assert self._process is not None
        if self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        return True


def strike(
    victim: str, server: Server, database: Postgres, client: Client, rng: random.Random
) -> bool:
    """Kill the victim and let it be started again; whether there was anything to kill."""
    if victim == "client":
        return client.kill()
    if victim == "worker":
        workers = server.workers()
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        return bool(workers)
    if victim == "database":
        database.crash()
        time.sleep(0.5)
        database.start()
        return True
    server.kill()
    server.start(is_awaited=False)
    return True


def revive(server: Server) -> None:
    """Start a server again that found no database when it was started; as a supervisor would.

    Raises:
        SystemExit: it ended for another reason.
    """
    assert server.process is not None
    words = (server.folder / "server.log").read_text()[-3000:]
    if server.process.returncode != 2 or "database" not in words:
        raise SystemExit(f"the server ended by itself:\n{words}")
    time.sleep(0.5)
    server.start(is_awaited=False)


def disturb(
    options: argparse.Namespace, server: Server, database: Postgres, client: Client
) -> dict[str, int]:
    """Build and kill until all kills are done and the last LUT is finished; kills by victim."""
    rng = random.Random(options.seed)
    kills: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + _LIMIT_S
    strike_at = time.monotonic() + rng.uniform(*options.pause_s)
    client.start()
    while time.monotonic() < end:
        if not server.is_alive:
            revive(server)
        if client.is_done():
            print(f"LUT {client.seed} finished after {client.n_runs} runs of the client, {kills}")
            if kills.total() >= options.kills:
                return dict(kills)
            client.seed += 1
            client.start()
        if kills.total() < options.kills and time.monotonic() > strike_at:
            victim = rng.choice(VICTIMS)
            kills[victim] += strike(victim, server, database, client, rng)
            strike_at = time.monotonic() + rng.uniform(*options.pause_s)
        time.sleep(0.05)
    raise SystemExit(f"not finished after {_LIMIT_S:.0f} s, {kills}")


def compare(space: Space, client: Client, folder: Path) -> list[dict[str, Any]]:
    """Every LUT against one that was built here, without server and without kills."""
    rows = []
    for seed in range(client.seed + 1):
        still = folder / f"still-{seed}.db"
        wanted = build_lut(space, Waiting(wait_ms=0), method="in-context", store=still, seed=seed)
        store = LutStore(client.store(seed))
        (key,) = store.keys()
        found: Lut = store.load(key)
        store.close()
        rows.append(
            {
                "seed": seed,
                "n_entries": len(found.entries),
                "n_jobs": len(found.jobs),
                "are_keys_equal": list(found.entries) == list(wanted.entries)
                and found.jobs == wanted.jobs
                and found.device.key == wanted.device.key,
                "are_figures_equal": found.entries == wanted.entries,
            }
        )
    return rows


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hot-faults-") as name:
        folder, database = Path(name), Postgres()
        server = Server(
            folder / "server",
            [f"waiting?wait_ms={options.wait_ms}"],
            plug_in(folder / "plug"),
            store=database.url,
        )
        try:
            server.start()
            client = Client(options, server, folder)
            start = time.monotonic()
            try:
                kills = disturb(options, server, database, client)
            finally:
                client.kill()
            seconds = time.monotonic() - start
            rows = compare(load_space(options.space), client, folder)
        finally:
            server.stop()
            database.close()
    is_good = all(row["are_keys_equal"] and row["are_figures_equal"] for row in rows)
    print(
        f"{sum(kills.values())} kills in {seconds:.0f} s ({kills}), {len(rows)} LUTs "
        f"{'all equal' if is_good else 'NOT all equal'} to those built undisturbed"
    )
    if options.out:
        document = {
            "command": "python scripts/bench_server_faults.py --out "
            "scripts/results/server_faults.json",
            "options": {k: v for k, v in vars(options).items() if not isinstance(v, Path)},
            "provenance": asdict(provenance()),
            "seconds": round(seconds, 1),
            "kills": kills,
            "client_runs": client.n_runs,
            "luts": rows,
            "is_equal": is_good,
        }
        write_json(options.out, document)
    if not is_good:
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--space", default="digits")
    parser.add_argument("--wait-ms", type=float, default=400.0, help="of one measurement")
    parser.add_argument(
        "--pause-s", type=float, nargs=2, default=(2.0, 8.0), help="between two kills, uniform"
    )
    parser.add_argument("--seed", type=int, default=0, help="of times and victims")
    parser.add_argument("--quick", action="store_true", help="six kills")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    if options.quick:
        options.kills = 6
    return options


if __name__ == "__main__":
    main()
