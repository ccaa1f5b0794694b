import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from hot.devices import Settings, make_device, needs, remake_device
from hot.errors import DeviceError, InputError

if needs("tvm", "tvm", "psutil")() is not None and os.environ.get("CI") != "true":
    pytest.skip(str(needs("tvm", "tvm", "psutil")()), allow_module_level=True)

QUICK = Settings(warmup=0, repetitions=3, best_of=1, max_remeasure=0, memory=False)
FLOPS_UNTUNED = 1e7  # no processor and no code of TVM is as slow


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tvm"


def test_untuned_code_says_so_in_fingerprint_and_notes():
    info = make_device("tvm").describe()
    assert info.fingerprint["tuning"] == "untuned"
    assert [note for note in info.notes if note.startswith("untuned")]
    tuned = make_device("tvm", trials=8).describe()
    assert tuned.notes == ()
    assert "trials: 0 | 8" in info.difference(tuned)
    assert info.method == "isolated"


def test_a_convolution_runs_in_a_time_that_a_processor_may_take(one_convolution):
    result = make_device("tvm").measure(one_convolution, QUICK)
    assert result.failure is None
    assert len(result.samples_ms) == 3
    assert 0.0005 < result.latency_ms < 1e3 * 2 * 115_200 / FLOPS_UNTUNED


def test_the_device_is_made_anew_from_its_fingerprint():
    info = make_device("tvm", trials=3).describe()
    assert remake_device(info).describe() == info


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": -1}, "'trials' of the device 'tvm' is -1"),
        ({"target": "a processor"}, "is no target of TVM"),
        ({"target": '{"kind": "abacus"}'}, "is no target of TVM"),
        ({"tracker": "here:9190"}, "needs the options tracker"),
        ({"board": "pi"}, "needs the options tracker"),
        ({"tracker": "here", "board": "pi", "target": '{"kind": "llvm"}'}, "must be host:port"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        make_device("tvm", **options)


def test_a_tracker_that_does_not_answer_is_an_error_of_the_device(one_convolution):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = '{"kind": "llvm", "num-cores": 1}'
    device = make_device("tvm", tracker=f"127.0.0.1:{port}", board="none", target=target)
    with pytest.raises(DeviceError, match="no board 'none' from the tracker"):
        device.measure(one_convolution, QUICK)


def test_records_of_other_numbers_of_trials_are_of_other_folders():
    folders = {make_device("tvm", trials=n).records for n in (2, 4, 4)}
    assert len(folders) == 2


@pytest.mark.slow
def test_records_of_tuned_operators_are_kept_and_used_again_and_made_anew_when_lost(
    one_convolution, cache
):
    device = make_device("tvm", trials=4)
    first = device.measure(one_convolution, QUICK)
    assert first.failure is None
    (folder,) = cache.iterdir()
    records = (folder / "database_tuning_record.json").read_text().splitlines()
    assert 1 <= len(records) <= 4
    again = make_device("tvm", trials=4).measure(one_convolution, QUICK)
    assert again.failure is None
    assert (folder / "database_tuning_record.json").read_text().splitlines() == records
    (folder / "database_tuning_record.json").write_text("")  # trials.json is still there
    assert make_device("tvm", trials=4).measure(one_convolution, QUICK).failure is None
    assert (folder / "database_tuning_record.json").read_text().strip()


def test_the_folder_of_records_is_locked_while_they_are_used(tmp_path):
    import fcntl

    import tvm

    from hot.devices.tvm_tune import tuned

    target = tvm.target.Target({"kind": "llvm"})
    with (
        tuned(tvm.IRModule({}), target, 1, tmp_path),
        open(tmp_path / "lock") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(tmp_path / "lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.fixture
def desk():
    """A tracker's address, and the server of this machine that it has under the key `desk`."""
    if needs("dev", "tornado")() is not None:
        pytest.skip("TVM's tracker needs tornado")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = [sys.executable, "-m", "tvm.exec.rpc_tracker", "--host", "127.0.0.1"]
    tracker = subprocess.Popen(
        [*run, "--port", str(port), "--port-end", str(port + 1)], start_new_session=True
    )
    serve = [sys.executable, "-m", "tvm.exec.rpc_server", "--host", "127.0.0.1"]
    serve += ["--tracker", f"127.0.0.1:{port}", "--key", "desk"]
    server = subprocess.Popen(serve, start_new_session=True)
    try:
        yield f"127.0.0.1:{port}", server
    finally:
        for process in (server, tracker):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # with the workers that it started
            process.wait(20)


@pytest.fixture
def board(desk):
    """The address of the tracker."""
    return desk[0]


@pytest.mark.slow
def test_a_board_behind_a_tracker_runs_artifacts(board, one_convolution):
    await_board(board)
    target = '{"kind": "llvm", "num-cores": 1}'
    device = make_device("tvm", tracker=board, board="desk", target=target)
    result = device.measure(one_convolution, QUICK)
    assert result.failure is None
    assert 0.0005 < result.latency_ms < 1e3 * 2 * 115_200 / FLOPS_UNTUNED
    assert device.describe().fingerprint["board"] == "desk"


@pytest.mark.slow
def test_two_artifacts_share_one_session_that_ends_with_them(board, artifacts):
    await_board(board)
    target = '{"kind": "llvm", "num-cores": 1}'
    device = make_device("tvm", tracker=board, board="desk", target=target)
    for _ in range(2):  # the server takes the second session when the first is given back
        results = device.measure_all(artifacts(2), QUICK)
        assert [result.failure for result in results] == [None, None]
        assert [len(result.samples_ms) for result in results] == [3, 3]


@pytest.mark.slow
def test_a_board_that_is_lost_is_an_error_of_the_device(desk, one_convolution):
    import onnx
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    from hot.devices.tvm_board import Board

    address, server = desk
    await_board(address)
    executable = tvm.compile(
        from_onnx(onnx.load(one_convolution.path), keep_params_in_input=False),
        tvm.target.Target({"kind": "llvm"}),
    )
    image = np.zeros(one_convolution.input_shape, np.float32)
    run = Board(address, "desk", "").open(executable, image)
    assert run() > 0
    os.killpg(server.pid, signal.SIGKILL)
    with pytest.raises(DeviceError, match=r"the board 'desk' of the tracker .* was lost"):
        run()


def await_board(address):
    """Wait until the tracker answers and has the board to lend."""
    from tvm import rpc

    host, port = address.split(":")
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), 5).close()
            with contextlib.closing(rpc.connect_tracker(host, int(port))) as tracker:
                if "desk" in tracker.summary()["queue_info"]:
                    return
        except ConnectionRefusedError:
            pass
        time.sleep(1)
    pytest.fail("the tracker got no board within two minutes")
