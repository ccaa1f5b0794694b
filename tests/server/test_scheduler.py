import json
import os
from pathlib import Path

from hot.server.schema import MEASURE


def rows():
    path = Path(os.environ["HOT_TEST_LOG"])
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_measurement_runs_alone_and_estimates_run_side_by_side(in_process, make_model):
    client, _ = in_process()
    models = [make_model("wait:0.1", seed=200 + index) for index in range(8)]
    jobs = [client.submit(model, device) for model in models for device in ("waits", "thinks")]
    assert all(client.finish(job)["status"] == "done" for job in jobs)
    mine = {job["artifact"] for job in jobs}
    spans = [(name, begin, end) for name, begin, end, sha in rows() if sha in mine]
    assert len(spans) == 16

    def overlap(one, two):
        return one is not two and one[1] < two[2] and two[1] < one[2]

    for span in spans:
        if span[0] == "waits":
            assert not any(overlap(span, other) for other in spans)
    thinking = [span for span in spans if span[0] == "thinks"]
    assert any(overlap(one, two) for one in thinking for two in thinking)


def test_a_model_that_crashes_hangs_or_eats_memory_costs_its_own_job_alone(shared, make_model):
    bad = {
        "crash": "SIGSEGV",
        "hang": "longer than 3 s",
        f"eat:{2**30}": "memory limit",
        "raise": "on fire",
    }
    for device in ("waits", "thinks"):
        jobs = {
            reason: shared.submit(make_model(deed, seed=300), device)
            for deed, reason in bad.items()
        }
        good = shared.submit(make_model(seed=301), device)
        for reason, job in jobs.items():
            failed = shared.finish(job)
            assert (failed["status"], failed["attempts"]) == ("failed", 1)
            assert reason in failed["error"], failed["error"]
            assert failed["measurement"] is None
        assert shared.finish(good)["status"] == "done"
    again = shared.post(make_model("raise", seed=300))
    assert (again.status_code, again.json()["attempts"]) == (202, 0)  # a new job, none from before
    shared.finish(again.json())


def test_a_claim_whose_answer_was_lost_is_run_in_the_end(in_process, make_model):
    client, app = in_process(heartbeat_s=0.2)
    service = app.state.service
    blocker = client.submit(make_model("wait:1.0", seed=310))
    client.until(lambda: client.get(blocker)["status"] == "running")
    job = client.submit(make_model(seed=311))
    key = service.scheduler.infos["waits"].key
    assert service._leases.claim(((key, MEASURE),)).job == job["id"]  # no lane hears of it
    assert client.finish(job, within_s=20)["status"] == "done"
    client.finish(blocker)
