"""LUTs over the network: real servers in processes of their own, some killed in the middle."""

import json
import os
import runpy
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from hot.cli import main
from hot.devices import Settings, make_device
from hot.devices.farm import load_farm
from hot.devices.remote import make_remote
from hot.errors import DeviceError
from hot.lut import LutStore, build_lut
from hot.records import Artifact
from hot.space import load_space

ROOT = Path(__file__).resolve().parents[2]
SERVING = runpy.run_path(str(ROOT / "scripts" / "serving.py"))
Server, plug_in, running = SERVING["Server"], SERVING["plug_in"], SERVING["running"]
make_models, HOT = SERVING["make_models"], SERVING["HOT"]
TINY = """
schema: 1
name: tiny
description: a test's own
in_channels: 1
resolution: 8
n_classes: 10
stem: {channels: 8, kernel: 3, stride: 1}
head: {}
menus:
  all:
    - {operator: ir, expansion: [1, 2], kernel: [3]}
    - {operator: fused, expansion: [2], kernel: [3, 5]}
slots:
  - {name: b1, channels: 8, stride: 1, choices: all, original: ir-e1-k3}
  - {name: b2, channels: 8, stride: 2, choices: all, original: ir-e2-k3}
"""
WAITING = "waiting?wait_ms=150"


@pytest.fixture(scope="module")
def servers(skip_unless_ci, tmp_path_factory):
    """Two servers, as if on two machines; a test that kills one starts it again."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        skip_unless_ci(f"{error.name} is not installed: pip install 'hot[server]'")
    folder = tmp_path_factory.mktemp("servers")
    environment = plug_in(folder / "plug")
    made = [
        Server(folder / name, [WAITING, "reference"], environment, options=["--machine", name])
        for name in ("a", "b")
    ]
    with running(*made):
        yield made


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("HOT_TOKEN", raising=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """The LUT that the analytic device gives on this machine; `waiting` tells the same figures."""
    store = tmp_path_factory.mktemp("here") / "luts.db"
    return build_lut(load_space(str(tiny)), make_device("reference"), "fp32", "in-context",
                     store=store)  # fmt: skip


def remote(server, name="waiting", **options):
    return make_remote(f"{server.base}/{name}", token_file=str(server.token_file), **options)


def farm_file(folder, servers):
    rows = [
        {"url": f"{s.base}/waiting", "token_file": str(s.token_file), "timeout_s": 2}
        for s in servers
    ]
    (folder / "farm.yaml").write_text(json.dumps({"servers": rows}))
    return folder / "farm.yaml"


def equal(lut, other):
    return (lut.entries, lut.jobs, list(lut.sentinels)) == (
        other.entries, other.jobs, list(other.sentinels),
    )  # fmt: skip


def n_measured(server):
    listed = httpx.get(f"{server.base}/v1/jobs?limit=500", headers=server.headers, trust_env=False)
    return sum(job["status"] == "done" for job in listed.json()["jobs"])


def when(is_time, deed):
    """A thread that does the deed once it is time."""

    def run():
        end = time.monotonic() + 120
        while not is_time() and time.monotonic() < end:
            time.sleep(0.05)
        deed()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_remote_device_says_what_the_device_says_there(servers, tmp_path):
    local, there = make_device("reference"), remote(servers[0], "reference")
    assert there.describe() == local.describe()
    models = make_models(tmp_path, 3)
    settings = Settings(per_node=True)
    assert there.measure_all(models, settings) == local.measure_all(models, settings)
    cut = Artifact(tmp_path / "cut.onnx", "fp32", models[0].input_shape)
    cut.path.write_bytes(models[0].path.read_bytes()[:100])
    other_shape = Artifact(models[0].path, "fp32", (1, 3, 4, 4))
    results = there.measure_all([cut, models[0], other_shape], settings)
    assert [result.failure is None for result in results] == [False, True, False]
    assert "cut.onnx" in results[0].failure


def test_a_token_without_the_role_is_refused_with_what_to_do(servers, tmp_path):
    tokens = servers[0].folder / "tokens.yaml"
    made = subprocess.run(
        [*HOT, "token", "reader", "--role", "read", "--tokens", tokens],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (tmp_path / "token").write_text(made.stdout)
    (model,) = make_models(tmp_path / "models", 1, seed=7)
    end = time.monotonic() + 20
    while True:  # until the server has seen the new token
        try:
            reader = make_remote(f"{servers[0].base}/reference", token_file=str(tmp_path / "token"))
            break
        except DeviceError:
            assert time.monotonic() < end
            time.sleep(0.2)
    with pytest.raises(DeviceError, match="role measure"):
        reader.measure(model, Settings())
    with pytest.raises(DeviceError, match="asks for a token"):
        make_remote(f"{servers[0].base}/reference")


def test_commands_take_the_address_for_a_device(servers, tiny, tmp_path, capsys, undisturbed):
    device = ["--device", f"{servers[0].base}/reference"]
    device += ["--device-option", f"token_file={servers[0].token_file}"]
    store = str(tmp_path / "luts.db")
    main(["build-lut", "--space", str(tiny), *device, "--method", "in-context", "--store", store,
          "--check-networks", "0", "--out", str(tmp_path / "luts"), "--json"])  # fmt: skip
    built = json.loads(capsys.readouterr().out)
    assert built["n_entries"] == len(undisturbed.entries)
    with LutStoreOf(store) as opened:
        (key,) = opened.keys()
        lut = opened.load(key)
    assert lut.device.key == make_device("reference").describe().key
    assert equal(lut, undisturbed)
    main(["check-lut", built["file"], *device, "--networks", "3", "--json"])
    checked = json.loads(capsys.readouterr().out)
    assert checked["check"]["mean_error"] < 0.01
    main(["autosearch", "--space", str(tiny), *device, "--method", "in-context", "--store", store,
          "--check-networks", "0", "--objective", "latency", "--top-k", "1", "--json"])  # fmt: skip
    assert json.loads(capsys.readouterr().out)["candidates"]


class LutStoreOf(LutStore):
    """A store that closes."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.slow
def test_a_server_killed_during_a_build_goes_on_where_it_was(servers, tiny, tmp_path, undisturbed):
    server = servers[0]

    def restart():
        server.kill()
        server.start(is_awaited=False)

    before = n_measured(server)
    thread = when(lambda: n_measured(server) >= before + 4, restart)
    lut = build_lut(
        load_space(str(tiny)), remote(server), method="in-context", store=tmp_path / "luts.db"
    )
    thread.join()
    server.wait_ready()
    assert equal(lut, undisturbed)


def test_a_killed_server_of_a_farm_leaves_its_jobs_to_the_other(
    servers, tiny, tmp_path, undisturbed, caplog
):
    farm = load_farm(farm_file(tmp_path, servers))
    before = n_measured(servers[1])
    thread = when(lambda: n_measured(servers[1]) >= before + 1, servers[1].kill)
    try:
        # Another seed of the settings, so that no server knows the answers yet.
        lut = build_lut(
            load_space(str(tiny)), farm, method="in-context", store=tmp_path / "luts.db",
            settings=Settings(memory=False, seed=1000),
        )  # fmt: skip
    finally:
        thread.join()
        servers[1].start()
    assert equal(lut, undisturbed)
    assert "is left out for now" in caplog.text


@pytest.mark.slow
def test_a_build_that_is_interrupted_leaves_no_queue_and_goes_on(
    servers, tiny, tmp_path, undisturbed
):
    server, store = servers[0], tmp_path / "luts.db"
    command = [
        *HOT, "build-lut", "--space", tiny, "--device", f"{server.base}/waiting", "--store", store,
        "--method", "in-context", "--check-networks", "0", "--precision", "int8",
        "--device-option", f"token_file={server.token_file}",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    before = n_measured(server)
    when(lambda: n_measured(server) >= before + 2, lambda: os.kill(child.pid, signal.SIGINT)).join()
    assert b"goes on where it stopped" in child.communicate(timeout=60)[1]
    assert child.returncode == 130
    end = time.monotonic() + 20
    while True:
        listed = httpx.get(f"{server.base}/v1/jobs", headers=server.headers, trust_env=False)
        if not [j for j in listed.json()["jobs"] if j["status"] in ("queued", "running")]:
            break
        assert time.monotonic() < end
        time.sleep(0.1)
    lut = build_lut(load_space(str(tiny)), remote(server), "int8", "in-context", store=store)
    assert lut.jobs == undisturbed.jobs
