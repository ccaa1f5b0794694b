import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from hot.devices import make_device
from hot.lut import LutStore, build_lut
from hot.space import load_space

# Two slots, small maps: a space whose LUT the analytic device fills in about a second.
TINY = """
schema: 1
name: tiny
description: A tiny space for tests
in_channels: 1
resolution: 8
n_classes: 4
round_to: 4
stem: {channels: 8, stride: 1}
head: {}
menus:
  all:
    - {operator: ir, expansion: [1, 2], kernel: [3]}
    - {operator: fused, expansion: [2], kernel: [3, 5]}
  same:
    - {operator: ir, expansion: [2], kernel: [3]}
    - {operator: skip}
slots:
  - {name: a, channels: 8, repeats: 2, choices: all, original: ir-e2-k3}
  - {name: b, channels: 16, stride: 2, choices: all, original: ir-e2-k3}
  - {name: c, channels: 16, choices: same, original: skip}
"""


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_file):
    return load_space(str(tiny_file))


@pytest.fixture(scope="session")
def reference():
    return make_device("reference")


@pytest.fixture(scope="session")
def tiny_lut(tiny, reference, tmp_path_factory):
    return build_lut(
        tiny, reference, method="in-context", store=tmp_path_factory.mktemp("lut") / "luts.db"
    )


def _as_postgres(*command):
    """The command, run by a user that PostgreSQL accepts (it refuses root)."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *command], check=True, capture_output=True, text=True)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgres_url(skip_unless_ci, tmp_path_factory):
    """A database: `HOT_TEST_POSTGRES`, or a cluster of its own that ends with the tests."""
    if os.environ.get("HOT_TEST_POSTGRES"):
        yield os.environ["HOT_TEST_POSTGRES"]
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        skip_unless_ci("no PostgreSQL under /usr/lib/postgresql, and HOT_TEST_POSTGRES is not set")
    binaries = found[-1].parent
    folder = Path(_as_postgres("mktemp", "-d", "/tmp/hot-postgres-XXXXXX").stdout.strip())
    data, port = folder / "data", _free_port()
    try:
        _as_postgres(binaries / "initdb", "-D", data, "-A", "trust", "-U", "hot", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = folder / "log"
        _as_postgres(binaries / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        yield f"postgresql://hot@127.0.0.1:{port}/postgres"
        _as_postgres(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """An empty store on each database."""
    if request.param == "sqlite":
        made = LutStore(tmp_path / "luts.db")
    else:
        made = LutStore(request.getfixturevalue("postgres_url"))
        from hot.lut.schema import Base

        Base.metadata.drop_all(made.engine)
        Base.metadata.create_all(made.engine)
    yield made
    made.close()
