import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

# Real devices that only wait. What a model does to them stands in its producer's name, and every
# measurement leaves a line in the file that HOT_TEST_LOG names.
DEVICES = """
import ctypes, hashlib, json, os, signal, time
import onnx
from hot.devices import DeviceRow
from hot.errors import DeployError
from hot.records import ESTIMATES, MEASURES, DeviceInfo, Measurement

class Waits:
    def __init__(self, name, kind, wait_ms):
        self._info = DeviceInfo(name, kind, ("fp32", "int8"), {"wait_ms": str(wait_ms)})
        self._wait_s = wait_ms / 1e3

    def describe(self):
        return self._info

    def measure(self, artifact, settings):
        data = artifact.path.read_bytes()
        deed, _, value = onnx.load_from_string(data).producer_name.partition(":")
        began = time.monotonic()
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "hang":
            while True: pass
        elif deed == "eat":
            block = bytearray(int(value))
        elif deed == "fork":
            if os.fork() == 0:
                time.sleep(1000)
        elif deed == "raise":
            raise RuntimeError("the device is on fire")
        elif deed == "misfit":
            return Measurement(None, failure="it does not fit")
        time.sleep(float(value) if deed == "wait" else self._wait_s)
        row = [self._info.name, began, time.monotonic(), hashlib.sha256(data).hexdigest()]
        log = os.open(os.environ["HOT_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, (json.dumps(row) + "\\n").encode())
        os.close(log)
        return Measurement(latency_ms=2.5, samples_ms=(2.5, 2.5))

    def measure_all(self, artifacts, settings):
        return [self.measure(artifact, settings) for artifact in artifacts]

class Compiles(Waits):
    def compile(self, artifact, folder):
        data = artifact.path.read_bytes()
        deed, _, value = onnx.load_from_string(data).producer_name.partition(":")
        if deed == "misfit":
            raise DeployError(f"{artifact.path}: it does not fit")
        elif deed == "wait":
            time.sleep(float(value))
        path = folder / f"{artifact.path.stem}_compiled.bin"
        path.write_bytes(data[::-1])
        other = folder / f"{artifact.path.stem}_about.txt"
        other.write_text(artifact.precision)
        return path, other

def _waits(wait_ms: float = 5.0):
    return Waits("waits", MEASURES, wait_ms)

def _thinks(wait_ms: float = 5.0):
    return Compiles("thinks", ESTIMATES, wait_ms)

waits = DeviceRow(_waits, MEASURES, "only waits")
thinks = DeviceRow(_thinks, ESTIMATES, "only waits")
"""


@pytest.fixture(scope="session")
def installed_devices(tmp_path_factory):
    """A folder that, on the path, makes the devices `waits` and `thinks` known."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "waiting_devices.py").write_text(DEVICES)
    about = folder / "waiting_devices-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting-devices\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[hot.devices]\nwaits = waiting_devices:waits\nthinks = waiting_devices:thinks\n"
    )
    return folder


def build_model(deed="", seed=0, side=8):
    """A valid model of one convolution; what it does to a waiting device is its deed."""
    weights = np.random.default_rng(seed).normal(size=(4, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["input", "w"], ["output"], name="conv", pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, side, side])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, producer_name=deed, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def make_model():
    """A function that makes a model, see `build_model`."""
    return build_model


def digest(data):
    return hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


OPEN = []


@pytest.fixture(scope="session", autouse=True)
def no_open_clients():
    """All connections of clients end with the tests."""
    yield
    for http in OPEN:
        http.close()


@dataclass
class Client:
    """The HTTP interface as a client uses it."""

    url: str
    token: str | None = None
    http: httpx.Client = field(init=False)

    def __post_init__(self):
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=70)
        OPEN.append(self.http)

    def put(self, data, **more):
        return self.http.put(f"/v1/artifacts/{digest(data)}", content=data, **more)

    def post(self, data, device="waits", **more):
        side = 8
        body = {
            "device": device,
            "artifact": digest(data),
            "precision": "fp32",
            "input_shape": [1, 3, side, side],
            **more,
        }
        return self.http.post("/v1/jobs", json=body)

    def submit(self, data, device="waits", **more):
        """Upload if needed, ask, and return the job."""
        answer = self.post(data, device, **more)
        if answer.status_code == 404:
            assert answer.json()["error"]["code"] == "artifact_unknown", answer.text
            put = self.put(data)
            assert put.status_code in (200, 201), put.text
            answer = self.post(data, device, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def get(self, job, wait_s=0):
        answer = self.http.get(f"/v1/jobs/{job['id']}", params={"wait_s": wait_s})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finish(self, job, within_s=120):
        end = time.monotonic() + within_s
        while (job := self.get(job, 30))["status"] in ("queued", "running"):
            assert time.monotonic() < end, job
        return job

    def until(self, is_met, within_s=120):
        """What `is_met` returns once it is true."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            found = is_met()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("it did not happen in time")


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen
    url: str
    log: Path

    def client(self, token=None):
        return Client(self.url, token)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode


@pytest.fixture
def measured_log(tmp_path, monkeypatch):
    """A function that returns the measurements done so far: device, begin, end, digest."""
    path = tmp_path / "measured.jsonl"
    monkeypatch.setenv("HOT_TEST_LOG", str(path))

    def read():
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return read


@pytest.fixture
def serve(tmp_path, installed_devices, measured_log):
    """A function that starts `hot serve` with options and returns it running."""
    started = []

    def start(*options, store=None, devices=("waits", "thinks"), machine=None, ca=None, by=()):
        port = free_port()
        log = tmp_path / f"server-{len(started)}.log"
        command = [*by, sys.executable, "-c", "from hot.cli import main; main()", "serve"]
        for device in devices:
            command += ["--device", device]
        command += ["--store", str(store or tmp_path / "jobs.db"), "--port", str(port)]
        command += ["--machine", machine or f"test-{os.getpid()}", "--workers", "2", *options]
        paths = [str(installed_devices), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, env=environment, cwd=tmp_path
            )
        scheme = "http" if ca is None else "https"
        running = Running(process, f"{scheme}://127.0.0.1:{port}", log)
        started.append(running)
        _await(lambda: process.poll() is not None or _answers(running.url, ca), 180)
        assert process.poll() is None, log.read_text()
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.kill()


def _await(is_met, within_s):
    end = time.monotonic() + within_s
    while not is_met():
        assert time.monotonic() < end, "the server did not start in time"
        time.sleep(0.05)


def _trust(ca):
    return True if ca is None else ssl.create_default_context(cafile=str(ca))


def _answers(url, ca):
    try:
        return httpx.get(f"{url}/v1/server", verify=_trust(ca)).status_code in (200, 401)
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def in_process(no_open_clients, installed_devices, tmp_path_factory):
    """A function that starts a server in a thread of this process; quicker than a process."""
    from hot.server import ServerConfig, create_app

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(installed_devices), before]))
    os.environ["HOT_TEST_LOG"] = str(tmp_path_factory.mktemp("log") / "measured.jsonl")
    ends = []

    def start(**settings):
        folder = tmp_path_factory.mktemp("server")
        config = ServerConfig(
            devices=("waits", "thinks"),
            store=str(folder / "jobs.db"),
            port=free_port(),
            machine=f"in-process-{folder.name}",
            n_workers=2,
            job_time_limit_s=3.0,
            worker_memory_bytes=256 * 2**20,
            check_time_limit_s=20.0,
        )
        config = replace(config, **settings)
        app = create_app(config)
        server = uvicorn.Server(
            uvicorn.Config(app, port=config.port, log_level="error", ws="none", access_log=False)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        _await(lambda: server.started or not thread.is_alive(), 180)
        assert server.started

        def end():
            app.state.service.is_stopping = True
            server.should_exit = True
            thread.join()

        ends.append(end)
        return Client(f"http://127.0.0.1:{config.port}"), app

    yield start
    for end in ends:
        end()
    if before is None:
        os.environ.pop("PYTHONPATH")
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def shared(in_process):
    """A server that many tests use."""
    return in_process()[0]


def as_postgres(*command):
    """The command, run by a user that PostgreSQL accepts (it refuses root)."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *command], check=True, capture_output=True, text=True)


@dataclass
class Postgres:
    """A cluster of its own that can be stopped and started."""

    binaries: Path
    folder: Path
    port: int

    @property
    def url(self):
        return f"postgresql://hot@127.0.0.1:{self.port}/postgres"

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.folder / "log"
        command = ("-D", self.folder / "data", "-l", log, "-o", options, "-w", "start")
        as_postgres(self.binaries / "pg_ctl", *command)

    def stop(self):
        command = ("-D", self.folder / "data", "-m", "immediate", "stop")
        as_postgres(self.binaries / "pg_ctl", *command)


@pytest.fixture(scope="session")
def postgres_cluster(skip_unless_ci):
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        skip_unless_ci("no PostgreSQL under /usr/lib/postgresql")
    folder = Path(as_postgres("mktemp", "-d", "/tmp/hot-postgres-XXXXXX").stdout.strip())
    cluster = Postgres(found[-1].parent, folder, free_port())
    try:
        as_postgres(
            cluster.binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "hot",
            "--no-sync",
        )  # fmt: skip
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_cluster):
    """PostgreSQL without the server's tables."""
    from hot.server.database import Database
    from hot.server.schema import Base

    database = Database(postgres_cluster.url)
    Base.metadata.drop_all(database.engine)
    database.close()
    return postgres_cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    return request.getfixturevalue("postgres").url
