"""Profiling servers as processes of their own, for the benchmarks of servers; loopback only."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hot.records import Artifact

HOT = [sys.executable, "-c", "from hot.cli import main; main()"]
_READY_S = 120.0
_STOP_S = 30.0


def plug_in(folder: Path) -> dict[str, str]:
    """An environment whose processes know the device `waiting`, as if a package brought it."""
    package = folder / "waiting_device-1.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting-device\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[hot.devices]\nwaiting = waiting_device:ROW\n")
    here = [str(Path(__file__).resolve().parent), str(folder)]
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*here, *([before] if before else [])])}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One `hot serve`, which may be killed and started again at the same port."""

    def __init__(
        self,
        folder: Path,
        devices: Sequence[str],
        environment: dict[str, str],
        store: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Make a token; `start` runs the server, whose words go to `server.log` in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self._environment = environment
        tokens, self.token_file = folder / "tokens.yaml", folder / "token"
        made = subprocess.run(
            [*HOT, "token", "bench", "--role", "admin", "--tokens", tokens],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        self.token = made.stdout.split()[-1]
        self.token_file.write_text(self.token)
        self._command = [*HOT, "serve", "--port", str(self.port), "--tokens", str(tokens)]
        self._command += ["--store", store or str(folder / "server.db"), *options]
        for device in devices:
            self._command += ["--device", device]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Of a request that may do everything."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self, is_awaited: bool = True) -> None:
        """Run it, and wait until it answers."""
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        if is_awaited:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with its last words.
        """
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and self.is_alive:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.base}/health", timeout=5, trust_env=False)
                if answer.status_code == 200:
                    return
            time.sleep(0.05)
        words = (self.folder / "server.log").read_text()[-2000:]
        raise RuntimeError(f"the server at {self.base} does not answer:\n{words}")

    def kill(self) -> None:
        """End it by SIGKILL, as a crash or a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def workers(self) -> list[int]:
        """Process numbers of the workers it runs now."""
        if self.process is None:
            return []
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        numbers = []
        for path in listed:
            with contextlib.suppress(OSError):
                numbers += [int(number) for number in path.read_text().split()]
        return [number for number in numbers if b"hot.server.worker" in _command_line(number)]

    def memory_bytes(self) -> int:
        """Resident memory of the server's own process."""
        assert self.process is not None
        rows = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmRSS"))


def _command_line(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """All of them started, and ended at the end."""
    try:
        for server in servers:
            server.start(is_awaited=False)
        for server in servers:
            server.wait_ready()
        yield
    finally:
        for server in servers:
            server.stop()


def make_models(
    folder: Path, n: int, seed: int = 0, side: int = 16, channels: int = 8, depth: int = 2
) -> list[Artifact]:
    """`n` small convolutional networks of one size, each with weights of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        path = folder / f"{index}.onnx"
        path.write_bytes(small_model(rng, side, channels, depth).SerializeToString())
        made.append(Artifact(path, "fp32", (1, channels, side, side)))
    return made


def small_model(rng: np.random.Generator, side: int, channels: int, depth: int) -> onnx.ModelProto:
    """Convolutions of 3x3 and ReLUs, one after the other."""
    nodes, weights = [], []
    for layer in range(depth):
        values = rng.standard_normal((channels, channels, 3, 3)).astype(np.float32) / 9 / channels
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        source, target = "x" if layer == 0 else f"r{layer - 1}", f"c{layer}"
        name = f"/b{layer}/conv"
        nodes.append(helper.make_node("Conv", [source, f"w{layer}"], [target], name, pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [target], [f"r{layer}"], f"/b{layer}/relu"))
    shape = [1, channels, side, side]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"r{depth - 1}", TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
