import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hot.server.process import WorkerLimits, WorkerLost, WorkerProcess, WorkerStopped


def measure(key="waits-", **more):
    return {
        "task": "measure", "device": "waits", "device_key": key, "precision": "fp32",
        "input_shape": [1, 3, 8, 8], "settings": {}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def waits(installed_devices, tmp_path_factory):
    """A worker with the waiting device, and the device's key."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(installed_devices), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.setenv("HOT_TEST_LOG", str(tmp_path_factory.mktemp("log") / "log"))
        patch.setenv("MY_SECRET", "x")
        worker = WorkerProcess(WorkerLimits(2.0, 64 * 2**20))
        info = worker.ask({"task": "describe", "device": "waits"}, time_s=120)["info"]
        assert info["name"] == "waits"
        from hot.records import DeviceInfo, from_document

        yield worker, from_document(info, DeviceInfo, "the test").key
        worker.close()


def ask(waits, model):
    worker, key = waits
    worker.ask({"task": "describe", "device": "waits"}, time_s=120)
    return worker.ask(measure(key), ("onnx", model))


def test_a_worker_answers_and_keeps_no_model(waits, make_model):
    assert ask(waits, make_model())["measurement"]["latency_ms"] == 2.5
    assert not list(Path(waits[0]._folder).glob("model*"))


def test_errors_and_memory_limits_are_answers(waits, make_model):
    assert "on fire" in ask(waits, make_model("raise"))["failed"]
    assert "memory" in ask(waits, make_model(f"eat:{256 * 2**20}"))["out_of_memory"]
    assert "measurement" in ask(waits, make_model(f"eat:{2**20}"))
    assert (
        "another now" in waits[0].ask(measure("waits-00000000"), ("onnx", make_model()))["failed"]
    )


def test_a_crash_and_a_hang_cost_the_worker_which_starts_again(waits, make_model):
    with pytest.raises(WorkerLost, match="SIGSEGV") as lost:
        ask(waits, make_model("crash"))
    assert not lost.value.is_outside
    began = time.monotonic()
    with pytest.raises(WorkerLost, match="longer than 2 s"):
        ask(waits, make_model("hang"))
    assert time.monotonic() - began < 60
    assert "measurement" in ask(waits, make_model())


def test_a_kill_from_outside_is_told_from_a_crash(waits, make_model):
    ask(waits, make_model())
    threading.Timer(0.3, waits[0]._process.send_signal, [signal.SIGKILL]).start()
    with pytest.raises(WorkerLost) as lost:
        ask(waits, make_model("wait:1.5"))
    assert lost.value.is_outside


def test_what_is_no_longer_wanted_is_stopped_with_all_that_it_started(waits, make_model):
    ask(waits, make_model("fork"))
    group = waits[0]._process.pid
    assert len(in_group(group)) == 2
    with pytest.raises(WorkerStopped):
        waits[0].ask(measure(waits[1]), ("onnx", make_model("hang")), lambda: False)
    end = time.monotonic() + 10
    while in_group(group) and time.monotonic() < end:
        time.sleep(0.05)
    assert not in_group(group)


def test_a_worker_knows_no_secret_of_the_server(waits, make_model):
    ask(waits, make_model())
    environment = Path(f"/proc/{waits[0]._process.pid}/environ").read_bytes()
    assert b"HOT_TEST_LOG" in environment and b"MY_SECRET" not in environment


def in_group(group):
    """Processes of a group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(stat.parent.name)
    return found
