import gc
import os
import subprocess
import sys

from hot.devices.quiet import _LOCK, allowed_cores, pinned, undisturbed

HOLD = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except BlockingIOError:
    print("taken")
"""


def is_taken():
    done = subprocess.run([sys.executable, "-c", HOLD, str(_LOCK)], capture_output=True, text=True)
    return done.stdout.strip() == "taken"


def test_inside_the_thread_stays_on_its_cores_and_after_it_is_as_before():
    before = os.sched_getaffinity(0)
    core = allowed_cores()[-1]
    with pinned([core]):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_one_measurement_at_a_time_and_everything_given_back():
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with undisturbed():
        assert not gc.isenabled()
        assert is_taken()
    assert gc.isenabled()
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice


def test_an_error_gives_everything_back_too():
    try:
        with undisturbed():
            raise KeyError
    except KeyError:
        pass
    assert gc.isenabled()
