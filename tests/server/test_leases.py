import json

import pytest

from hot.records import MEASURES, DeviceInfo
from hot.server.artifacts import Artifacts
from hot.server.compiled import CompiledFile
from hot.server.database import Database
from hot.server.facts import ModelFacts
from hot.server.jobs import Jobs, Refusal
from hot.server.leases import Leases
from hot.server.models import JobRequest
from hot.server.schema import COMPILE, MEASURE

INFO = DeviceInfo("waits", MEASURES, ("fp32",), {"a": "b"})
MAX_FILES_BYTES = 100
OFFERS = ((INFO.key, MEASURE),)
ART = "a" * 64


@pytest.fixture
def database(store):
    made = Database(store)
    yield made
    made.close()


@pytest.fixture
def jobs(database):
    Artifacts(database, 10**6).add(ART, ModelFacts("onnx", (1, 3, 8, 8)), b"model")
    return Jobs(database, 100)


def ask(jobs, seed=0, **more):
    request = {"device": "waits", "artifact": ART, "precision": "fp32", "input_shape": [1, 3, 8, 8]}
    return jobs.submit(JobRequest(**{**request, **more}, settings={"seed": seed}), INFO)


def server(database, patience=3, max_attempts=2, place=""):
    made = Leases(database, "test", patience, max_attempts, MAX_FILES_BYTES)
    if place:  # as one on another machine: only its signs of life tell that it lives
        row = made._row
        made._row = lambda: _elsewhere(row(), place)
    made.enter()
    return made


def _elsewhere(row, place):
    row.place = place
    return row


def test_a_job_is_claimed_by_one_and_finished_once(database, jobs):
    job = ask(jobs)
    one, two = server(database, place="one"), server(database, place="two")
    lease = one.claim(OFFERS)
    assert (lease.job, two.claim(OFFERS)) == (job["id"], None)
    assert one.claim((("other-key", MEASURE),)) is None
    assert not two.finish(lease, '{"x": 1}')
    assert one.finish(lease, '{"x": 1}')
    assert not one.finish(lease, '{"x": 2}')
    assert jobs.get(job["id"])["measurement"] == {"x": 1}
    assert ask(jobs)["cached"]


def test_a_server_without_signs_of_life_loses_its_jobs_by_counts_and_not_by_a_clock(
    database, jobs, monkeypatch
):
    job = ask(jobs)
    one, two = server(database, place="one"), server(database, place="two")
    lease = one.claim(OFFERS)
    monkeypatch.setattr("time.time", lambda: 0.0)  # clocks may say what they want
    for _ in range(10):
        assert one.beat(frozenset({job["id"]})).lost == frozenset()
        assert two.beat(frozenset()).taken_over == ()
    taken = [two.beat(frozenset()).taken_over for _ in range(3)]
    assert taken == [(), (), (job["id"],)]
    again = two.claim(OFFERS)
    assert (again.job, again.attempt) == (job["id"], 2)
    assert one.beat(frozenset({job["id"]})).lost == {job["id"]}
    assert not one.finish(lease, "{}")
    assert two.finish(again, "{}")


def test_a_job_that_its_server_does_not_know_of_waits_again_after_two_beats(database, jobs):
    job = ask(jobs)
    one = server(database, place="one")
    lost = one.claim(OFFERS)  # as where the answer to it never came
    assert one.beat(frozenset()).orphaned == ()
    assert one.beat(frozenset({job["id"]})).orphaned == ()  # it was about to be noted
    assert one.beat(frozenset()).orphaned == ()
    assert one.beat(frozenset()).orphaned == (job["id"],)
    again = one.claim(OFFERS)
    assert (again.job, again.attempt) == (job["id"], 2)
    assert not one.finish(lost, '{"x": 1}')
    assert one.finish(again, '{"x": 2}')


def test_a_job_that_its_server_does_not_know_of_is_cancelled_where_asked(database, jobs):
    job = ask(jobs)
    one = server(database, place="one")
    one.claim(OFFERS)
    jobs.cancel(job["id"])
    for _ in range(2):
        one.beat(frozenset())
    assert jobs.get(job["id"])["status"] == "cancelled"


def test_a_job_whose_servers_keep_dying_fails_at_last(database, jobs):
    job = ask(jobs)
    watcher = server(database, patience=1, place="watcher")
    for name in ("one", "two"):
        assert server(database, place=name).claim(OFFERS) is not None
        for _ in range(2):
            watcher.beat(frozenset())
    failed = jobs.get(job["id"])
    assert failed["status"] == "failed" and "2 attempts" in failed["error"]
    assert jobs.retry(job["id"])["status"] == "queued"


def test_giving_back_does_not_count_and_leaving_gives_all_back(database, jobs):
    job = ask(jobs)
    one = server(database, place="one")
    one.give_back(one.claim(OFFERS), is_counted=False)
    assert jobs.get(job["id"])["attempts"] == 0
    one.claim(OFFERS)
    one.leave()
    kept = jobs.get(job["id"])
    assert (kept["status"], kept["attempts"]) == ("queued", 0)


def test_a_cancelled_running_job_is_told_to_its_server(database, jobs):
    job = ask(jobs)
    one = server(database, place="one")
    lease = one.claim(OFFERS)
    assert jobs.cancel(job["id"])["status"] == "running"
    assert one.beat(frozenset({job["id"]})).cancelled == {job["id"]}
    assert one.cancel(lease)
    assert jobs.get(job["id"])["status"] == "cancelled"


def test_a_reason_may_hold_what_a_database_keeps_not(database, jobs):
    job = ask(jobs)
    one = server(database, place="one")
    assert one.fail(one.claim(OFFERS), "half \ud800 and \0 zero")
    assert "half" in jobs.get(job["id"])["error"]


def test_an_answer_given_before_needs_no_database(database, jobs):
    request = JobRequest(device="waits", artifact=ART, precision="fp32", input_shape=[1, 3, 8, 8])
    assert jobs.remembered(request, INFO) is None
    jobs.submit(request, INFO)
    one = server(database, place="one")
    one.finish(one.claim(OFFERS), '{"x": 1}')
    assert jobs.remembered(request, INFO) is None
    answer = jobs.submit(request, INFO)
    assert answer["cached"] and jobs.remembered(request, INFO) == answer


def test_jobs_come_by_priority_then_by_age(database, jobs):
    first, second, urgent = ask(jobs, 1), ask(jobs, 2), ask(jobs, 3, priority=7)
    one = server(database, place="one")
    order = [one.claim(OFFERS).job for _ in range(3)]
    assert order == [urgent["id"], first["id"], second["id"]]


def test_an_unknown_artifact_and_a_full_queue_are_refused(database, jobs):
    with pytest.raises(Refusal) as refused:
        Jobs(database, 0).submit(
            JobRequest(device="waits", artifact=ART, precision="fp32", input_shape=[1, 3, 8, 8]),
            INFO,
        )
    assert refused.value.code == "queue_full"
    with pytest.raises(Refusal) as refused:
        request = {"artifact": "b" * 64, "precision": "fp32", "input_shape": [1, 3, 8, 8]}
        jobs.submit(JobRequest(device="waits", **request), INFO)
    assert refused.value.code == "artifact_unknown"


def test_a_job_for_a_device_that_no_server_has_says_so(database, jobs):
    job = ask(jobs)
    assert jobs.get(job["id"])["servers"] == 0
    one, two = server(database, place="one"), server(database, place="two")
    one.offer((INFO.key, "other-key"))
    two.offer((INFO.key,))
    assert jobs.get(job["id"])["servers"] == 2
    two.leave()
    assert jobs.get(job["id"])["servers"] == 1
    one.claim(OFFERS)
    assert jobs.get(job["id"])["servers"] is None


def test_compile_jobs_are_others_than_measurements_of_the_same(database, jobs):
    measured, compiled = ask(jobs), ask(jobs, task=COMPILE)
    assert measured["id"] != compiled["id"]
    assert (measured["position"], compiled["position"]) == (1, 1)  # neither waits for the other
    assert ask(jobs, seed=5, task=COMPILE)["id"] == compiled["id"]  # settings are of measurements
    one = server(database)
    assert one.claim(((INFO.key, COMPILE),)).job == compiled["id"]
    assert one.claim(((INFO.key, COMPILE),)) is None
    assert one.claim(OFFERS).job == measured["id"]


def compile_one(jobs, one, data, **more):
    """A finished job of one file."""
    job = ask(jobs, task=COMPILE, **more)
    file = CompiledFile("model.bin", data)
    assert one.finish(one.claim(((INFO.key, COMPILE),)), json.dumps([file.document()]), [file])
    return job["id"]


def test_files_of_the_oldest_results_make_room_and_are_made_again(database, jobs):
    one = server(database)
    Artifacts(database, 10**6).add("b" * 64, ModelFacts("onnx", (1, 3, 8, 8)), b"model")
    first = compile_one(jobs, one, b"x" * 60)
    assert (jobs.file(first, "model.bin"), jobs.file(first, "other.bin")) == (b"x" * 60, None)
    assert ask(jobs, task=COMPILE)["cached"]
    second = compile_one(jobs, one, b"y" * 60, artifact="b" * 64)
    assert (jobs.file(first, "model.bin"), jobs.get(first)["files"]) == (None, None)
    assert jobs.file(second, "model.bin") == b"y" * 60
    again = compile_one(jobs, one, b"x" * 60)
    assert again != first
    assert jobs.file(again, "model.bin") == b"x" * 60
