import gc
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from hot.interrupt import check_interrupt, interruptible
from hot.progress import progress


class Finalised:
    """Ctrl-C reaches it when it is finalised, where Python drops the exception."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def lose_in_a_finaliser():
    Finalised()
    gc.collect()


def lose_in_a_weakref_callback():
    thing = set()
    watcher = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    assert watcher() is None


def lose_in_a_broad_except():
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        assert isinstance(error, KeyboardInterrupt)


LOSSES = [lose_in_a_finaliser, lose_in_a_weakref_callback, lose_in_a_broad_except]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_interrupt_is_raised_at_the_next_step(lose):
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible(), progress("work", 3) as advance:
        advance()
        lose()
        done.append("lost")
        advance()
        done.append("went on")
    assert done == ["lost"]


@pytest.mark.parametrize("lose", LOSSES)
def test_an_interrupt_lost_after_the_last_step_is_raised_at_the_end(lose):
    with pytest.raises(KeyboardInterrupt), interruptible():
        lose()


def test_an_interrupt_is_raised_at_once_where_it_can_be_and_only_once():
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # a second Ctrl-C, while the first is handled
        with pytest.raises(KeyboardInterrupt):
            check_interrupt()
        check_interrupt()
    check_interrupt()


def test_afterwards_everything_is_as_it_was():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
    check_interrupt()


def test_a_caller_that_ignores_or_handles_interrupts_keeps_doing_so():
    seen = []
    for handler in (signal.SIG_IGN, lambda number, frame: seen.append(number)):
        before = signal.signal(signal.SIGINT, handler)
        try:
            with interruptible():
                signal.raise_signal(signal.SIGINT)
                check_interrupt()
            assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_other_threads_neither_install_nor_take_an_interrupt():
    errors = []

    def work():
        try:
            with interruptible():
                check_interrupt()
        except BaseException as error:
            errors.append(error)

    with pytest.raises(KeyboardInterrupt), interruptible():
        lose_in_a_broad_except()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not errors
        check_interrupt()


COMMAND = """
import sys
sys.path.insert(0, {folder!r})
from test_interrupt import lose_in_a_finaliser
from hot.cli import hot, main
from hot.progress import progress

@hot.command()
def work():
    with progress("work", 3) as advance:
        for step in range(3):
            if step == 1:
                lose_in_a_finaliser()
            advance()
            print(step, flush=True)

main(["work"])
"""


def test_a_command_whose_interrupt_was_lost_exits_130_without_a_traceback(request):
    code = COMMAND.format(folder=str(request.path.parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "0\n"), done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr
