"""The process that opens foreign models: one line of JSON in, one line out, until its server ends.

What holds: memory by RLIMIT_AS, on top of what the device itself takes, for every process alone;
processor time by RLIMIT_CPU and the server's clock; written files by RLIMIT_FSIZE; processes and
threads by RLIMIT_NPROC, which the system does not apply to root. All that the worker starts is in
its process group, which is killed as a whole; a device that leaves the group is not held.
"""

import base64
import json
import os
import queue
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

_MEMORY = re.compile(r"bad.?alloc|(?:allocat|out of|not enough)\w* memory|failed to allocate", re.I)
_FILE_BYTES = 4 * 2**30
_N_PROCESSES = 512  # besides those that its user has already
_CPU_SLACK_S = 30
Message = dict[str, Any]


def main() -> None:
    """Answer the messages on stdin; end with the server."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, messages), daemon=True).start()
    _limit_files_and_processes()
    desk = _Desk()
    while True:
        channel.write(json.dumps(desk.answer(messages.get()), allow_nan=False).encode() + b"\n")
        channel.flush()


def _listen(source: BinaryIO, messages: "queue.SimpleQueue[Message]") -> None:
    for line in source:
        messages.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)  # the server is gone, and with it all that this process started


class _Desk:
    """Answers messages; devices stay warm between them."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[Any, Any]] = {}
        self._tasks: dict[str, Callable[[Message], Message]] = {
            "describe": self._describe,
            "measure": self._measure,
            "compile": self._compile,
            "inspect": self._inspect,
        }

    def answer(self, message: Message) -> Message:
        """What the task says, `failed` with the reason, or `out_of_memory`."""
        from hot.errors import HotError

        try:
            if message["cores"]:
                os.sched_setaffinity(0, message["cores"])
            return self._tasks[message["task"]](message)
        except MemoryError:
            return {"out_of_memory": "it needs more memory than a job may take"}
        except HotError as error:
            return {"failed": str(error)}
        except Exception as error:  # whatever a device's library raises is this job's end alone
            return {"failed": f"{type(error).__name__}: {error}"[:2000]}

    def _device(self, name: str) -> tuple[Any, Any]:
        if name not in self._devices:
            from hot.devices import make_device
            from hot.server.config import parse_device

            import_module("hot.devices.quiet")  # its lock stays in the machine's own folder
            os.environ["TMPDIR"] = tempfile.tempdir = str(Path.cwd())  # what is left goes with us
            plain, options = parse_device(name)
            device = make_device(plain, **options)
            self._devices[name] = (device, device.describe())
        return self._devices[name]

    def _describe(self, message: Message) -> Message:
        from hot.devices import Compiler
        from hot.records import to_document

        device, info = self._device(message["device"])
        return {"info": to_document(info), "compiles": isinstance(device, Compiler)}

    def _device_of(self, message: Message) -> Any:
        """The device of a job, if it is still the one that the job was accepted for."""
        from hot.errors import DeviceError

        device, info = self._device(message["device"])
        if info.key != message["device_key"]:
            raise DeviceError(f"the device is another now: {info.key}, not {message['device_key']}")
        return device

    def _measure(self, message: Message) -> Message:
        from hot.devices import Settings
        from hot.records import to_document

        device = self._device_of(message)
        settings, artifact = Settings(**message["settings"]), _artifact(message)
        with _Limits(message):
            measurement = device.measure(artifact, settings)
        if measurement.failure is not None:
            if _MEMORY.search(measurement.failure):
                return {"out_of_memory": measurement.failure.replace(message["path"], "the model")}
            measurement = _without_path(measurement, message["path"])
        return {"measurement": to_document(measurement)}

    def _compile(self, message: Message) -> Message:
        from hot.errors import DeployError

        device = self._device_of(message)
        folder = Path(tempfile.mkdtemp(prefix="compiled-"))
        try:
            with _Limits(message):
                paths = device.compile(_artifact(message), folder)
            return {"files": [_packed(path) for path in paths]}
        except DeployError as error:
            return {"failed": _nameless(str(error), message["path"])}
        finally:
            shutil.rmtree(folder)

    def _inspect(self, message: Message) -> Message:
        from hot.server.inspect import ModelRefused, inspect_model

        with _Limits(message):
            try:
                facts = inspect_model(Path(message["path"]).read_bytes())
            except ModelRefused as refused:
                return {"refused": str(refused)}
        return {"format": facts.format, "input_shape": list(facts.input_shape)}


def _artifact(message: Message) -> Any:
    from hot.records import Artifact

    return Artifact(Path(message["path"]), message["precision"], tuple(message["input_shape"]))


def _packed(path: Path) -> Message:
    return {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()}


def _without_path(measurement: Any, path: str) -> Any:
    """The same without the name of the server's temporary file."""
    from dataclasses import replace

    return replace(measurement, failure=_nameless(measurement.failure, path))


def _nameless(text: str, path: str) -> str:
    """A text without the name of the server's temporary file, which is different every time."""
    return text.replace(path, "the model").replace(Path(path).name, "the model")


class _Limits:
    """Inside, memory and processor time are limited, from what the process has used so far."""

    def __init__(self, message: Message) -> None:
        self._memory_bytes: int | None = message["memory_bytes"]
        self._time_s: float = message["time_limit_s"]

    def __enter__(self) -> None:
        if self._memory_bytes is not None and Path("/proc/self/statm").exists():
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            _set_soft(resource.RLIMIT_AS, pages * resource.getpagesize() + self._memory_bytes)
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime + _CPU_SLACK_S
        _set_soft(resource.RLIMIT_CPU, int(seconds + self._time_s * (os.cpu_count() or 1)))

    def __exit__(self, *error: object) -> None:
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
            _set_soft(limit, resource.getrlimit(limit)[1])


def _set_soft(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (hard if value == resource.RLIM_INFINITY else soft, hard))


def _limit_files_and_processes() -> None:
    _set_soft(resource.RLIMIT_CORE, 0)
    _set_soft(resource.RLIMIT_FSIZE, _FILE_BYTES)
    if hasattr(resource, "RLIMIT_NPROC"):
        _set_soft(resource.RLIMIT_NPROC, _own_threads() + _N_PROCESSES)


def _own_threads() -> int:
    """Threads of this user, by which RLIMIT_NPROC counts."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid():
                count += len(list((folder / "task").iterdir()))
        except OSError:  # it has just ended
            continue
    return count


if __name__ == "__main__":
    main()
