import os
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
from sqlalchemy import select, update

from hot.errors import LutError, StorageError
from hot.lut import LutKey, LutStore, build_lut, key_of
from hot.lut.attribute import PartTime
from hot.lut.schema import LutRow
from hot.lut.store import JobResult
from hot.records import CheckResult, DeviceInfo, LutEntry
from hot.space import load_space

DEVICE = DeviceInfo("toy", "estimated", ("fp32",), {"a": "1"})
SPACE = load_space("digits")
KEY = LutKey(SPACE.key, DEVICE.key, "fp32", "in-context")
CHECK = CheckResult(3, 0.01, 0.02, 0.0, 1.0, 0, "today", (1.0,), (1.0,), ("x",))


def results(*keys):
    parts = (PartTime("stem", "stem", 0.5, 2), PartTime("head", "head", 0.25, 1))
    return [JobResult(key, 1.0, 0.01, parts, 0.1, 0.02) for key in keys]


def test_what_is_stored_comes_back_in_order(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 7)
    store.add_results(number, 0, results("b", "a"))
    store.add_results(number, 1, [JobResult("c", None, 0.0, (), failure="too large")])
    found = store.results(number)
    assert list(found.values())[:2] == results("b", "a")
    assert found["c"].failure == "too large"
    assert store.segments(number) == {"b": 0, "a": 0, "c": 1}
    assert store.seed(number) == 7


def test_opening_again_gives_the_same_lut_with_its_first_seed(store):
    first = store.open_lut(KEY, DEVICE, SPACE, 7)
    assert store.open_lut(KEY, DEVICE, SPACE, 8) == first
    assert store.seed(first) == 7


def test_nothing_is_stored_twice_and_a_refused_group_leaves_no_part(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    store.add_results(number, 0, results("a"))
    with pytest.raises(StorageError):
        store.add_results(number, 0, results("b", "a"))
    assert list(store.results(number)) == ["a"]


def test_dropped_jobs_can_be_stored_again(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    store.add_results(number, 0, results("a", "b"))
    store.drop_jobs(number, ["a"])
    assert list(store.results(number)) == ["b"]
    store.add_results(number, 1, results("a"))
    assert store.segments(number) == {"b": 0, "a": 1}


def test_timings_are_numbered_from_zero(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    assert [store.add_timing(number, {"x": 1.0, "y": 2.0}) for _ in range(3)] == [0, 1, 2]
    assert store.timings(number)[2] == {"x": 1.0, "y": 2.0}


def test_an_unfinished_lut_is_not_given_out(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    store.add_results(number, 0, results("a"))
    with pytest.raises(LutError, match="unfinished"):
        store.load(KEY)
    assert store.keys() == []


def test_a_missing_lut_is_refused_with_the_command_that_makes_it(store):
    with pytest.raises(LutError, match="run hot build-lut"):
        store.load(KEY)


def test_a_finished_lut_has_entries_sentinels_and_its_check(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 3)
    store.add_results(number, 0, results("a"))
    entries = {"stem": LutEntry(0.5, 0.1, 2, 0.3), "head": LutEntry(0.1)}
    store.finish(number, entries, {"a": 1.5}, 0.02)
    store.add_check(KEY, CHECK)
    lut = store.load(KEY)
    assert lut.entries == entries
    assert list(lut.entries) == ["stem", "head"]
    assert (lut.sentinels, lut.unnamed_share, lut.seed, lut.jobs) == ({"a": 1.5}, 0.02, 3, ("a",))
    assert lut.check == CHECK
    assert (lut.spec, lut.resolution) == (SPACE.spec, 16)
    assert key_of(lut) == KEY
    assert store.keys() == [KEY]


def test_a_lut_that_was_built_elsewhere_is_kept_whole_and_not_replaced(store, tiny_lut):
    store.add_lut(tiny_lut)
    assert store.load(key_of(tiny_lut)) == tiny_lut
    with pytest.raises(LutError, match="holds a LUT"):
        store.add_lut(tiny_lut)


def test_forgetting_removes_everything(store, tiny_lut):
    store.add_lut(tiny_lut)
    number = store.find(key_of(tiny_lut))
    store.forget(number)
    assert store.find(key_of(tiny_lut)) is None
    assert store.results(number) == {}


def test_a_whole_build_works_on_each_database(store, tiny, reference, tiny_lut):
    built = build_lut(tiny, reference, method="in-context", store=store)
    assert built.entries == tiny_lut.entries


def test_a_builder_that_was_killed_is_no_obstacle(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait(60)
    _set_owner(store, number, dead.pid)
    with store.builder(number):
        pass


def test_a_builder_at_work_is_not_disturbed_and_lets_go_at_its_end(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    with store.builder(number):
        child = os.getppid()  # a process that lives, and is not this one
        _set_owner(store, number, child)
        refused = pytest.raises(LutError, match=f"{child} is building this LUT now")
        with refused, store.builder(number):
            pass
        _set_owner(store, number, os.getpid())
    with store.engine.connect() as connection:
        assert connection.execute(select(LutRow.owner)).scalar_one() == ""


def test_a_builder_that_has_not_reported_for_long_is_taken_for_dead(store):
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    _set_owner(store, number, os.getppid(), beat=time.time() - 3600)
    with store.builder(number):
        pass


def _set_owner(store, number, pid, beat=None):
    owner = f"{socket.gethostname()}:{pid}"
    with store.engine.begin() as connection:
        connection.execute(
            update(LutRow)
            .where(LutRow.id == number)
            .values(owner=owner, beat=time.time() if beat is None else beat)
        )


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    path = tmp_path / "luts.db"
    path.write_text("this is no database, but a longer text that SQLite can look at" * 20)
    with pytest.raises(StorageError, match=r"luts\.db"):
        LutStore(path)


def test_an_unreachable_server_is_refused():
    with pytest.raises(StorageError, match="cannot use the LUT database"):
        LutStore("postgresql://nobody@127.0.0.1:1/none")


def test_every_commit_is_on_the_disk(tmp_path):
    store = LutStore(tmp_path / "luts.db")
    number = store.open_lut(KEY, DEVICE, SPACE, 0)
    store.add_results(number, 0, results("a"))
    with sqlite3.connect(tmp_path / "luts.db") as other:
        assert other.execute("select count(*) from samples").fetchone() == (2,)
    other.close()
    store.close()
