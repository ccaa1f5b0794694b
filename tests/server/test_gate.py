import threading
import time

from hot.server.gate import Gate, MachineLock


class Log:
    """Who was inside when, and whether ever a forbidden mix."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = {True: 0, False: 0}
        self.count = {True: 0, False: 0}
        self.most = 0
        self.is_broken = False

    def visit(self, is_alone, seconds):
        with self.lock:
            self.inside[is_alone] += 1
            self.count[is_alone] += 1
            self.most = max(self.most, self.inside[False])
            self.is_broken |= self.inside[True] > 1 or all(self.inside.values())
        time.sleep(seconds)
        with self.lock:
            self.inside[is_alone] -= 1


def test_one_alone_or_many_together_and_neither_side_starves():
    gate, log = Gate(turn_s=0.05), Log()
    end = time.monotonic() + 1.5

    def work(is_alone):
        while time.monotonic() < end:
            with gate.enter(is_alone) as is_in:
                assert is_in
                log.visit(is_alone, 0.005)

    threads = [threading.Thread(target=work, args=(a,)) for a in (True, True, False, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not log.is_broken
    assert log.most >= 2
    assert log.count[True] >= 10 and log.count[False] >= 10


def test_who_no_longer_wants_in_stays_out_and_blocks_nobody():
    gate = Gate()
    with gate.enter(True) as first:
        assert first
        with gate.enter(False, lambda: False) as second:
            assert not second
    with gate.enter(False) as third:
        assert third


def test_servers_of_one_machine_take_turns_and_those_of_others_do_not(tmp_path):
    name = f"test-{tmp_path.name}-{time.monotonic_ns()}"
    one, two, other = MachineLock(name), MachineLock(name), MachineLock(f"{name}-other")
    with one.hold(True, lambda: True) as is_held:
        assert is_held
        with two.hold(False, lambda: False) as is_second:
            assert not is_second
        with other.hold(True, lambda: False) as is_other:
            assert is_other
    with one.hold(False, lambda: True) as first, two.hold(False, lambda: False) as second:
        assert first and second
