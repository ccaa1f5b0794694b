import hashlib
import json
import threading
import time


def test_a_measured_job_goes_from_upload_to_result_and_is_then_answered_from_the_database(
    shared, make_model
):
    model = make_model(seed=1)
    assert shared.post(model).json()["error"]["code"] == "artifact_unknown"
    put = shared.put(model)
    assert (put.status_code, put.json()["format"]) == (201, "onnx")
    assert shared.put(model).status_code == 200
    asked = shared.post(model)
    assert (asked.status_code, asked.json()["cached"]) == (202, False)
    done = shared.finish(asked.json())
    assert done["measurement"]["latency_ms"] == 2.5
    assert (done["status"], done["attempts"], done["error"]) == ("done", 1, None)
    again = shared.post(model)
    assert (again.status_code, again.json()["cached"]) == (200, True)
    assert again.json()["id"] == done["id"]


def test_other_settings_precision_or_device_are_another_job(shared, make_model):
    model = make_model(seed=2)
    first = shared.submit(model)
    others = [
        shared.submit(model, precision="int8"),
        shared.submit(model, settings={"repetitions": 3}),
        shared.submit(model, device="thinks"),
    ]
    assert len({job["id"] for job in (first, *others)}) == 4
    assert all(shared.finish(job)["status"] == "done" for job in (first, *others))


def test_equal_requests_in_flight_are_one_job(shared, make_model):
    model = make_model("wait:0.5", seed=3)
    shared.put(model)
    found = []

    def ask():
        found.append(shared.post(model).json()["id"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert shared.finish({"id": found[0]})["attempts"] == 1


def test_higher_priorities_run_first_and_positions_tell(shared, make_model):
    blocker = shared.submit(make_model("wait:1.0", seed=10))
    shared.until(lambda: shared.get(blocker)["status"] == "running")
    low = shared.submit(make_model(seed=11), priority=-5)
    plain = shared.submit(make_model(seed=12))
    high = shared.submit(make_model(seed=13), priority=5)
    assert [shared.get(job)["position"] for job in (high, plain, low)] == [1, 2, 3]
    assert shared.submit(make_model(seed=11), priority=9)["id"] == low["id"]
    assert [shared.get(job)["position"] for job in (low, high, plain)] == [1, 2, 3]
    assert all(shared.finish(job)["status"] == "done" for job in (low, high, plain))


def test_a_waiting_and_a_running_job_can_be_cancelled_and_retried(shared, make_model):
    running = shared.submit(make_model("wait:2.5", seed=20))
    waiting = shared.submit(make_model(seed=21))
    shared.until(lambda: shared.get(running)["status"] == "running")
    answer = shared.http.post(f"/v1/jobs/{waiting['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert shared.http.post(f"/v1/jobs/{running['id']}/cancel").status_code == 200
    assert shared.finish(running)["status"] == "cancelled"
    assert shared.http.post(f"/v1/jobs/{running['id']}/cancel").status_code == 409
    assert shared.http.post(f"/v1/jobs/{waiting['id']}/retry").json()["status"] == "queued"
    done = shared.finish(waiting)
    assert done["status"] == "done"
    refused = shared.http.post(f"/v1/jobs/{waiting['id']}/retry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_not_ended")


def test_a_retry_is_refused_where_another_job_asks_the_same(shared, make_model):
    model = make_model("wait:0.3", seed=22)
    blocker = shared.submit(make_model("wait:0.5", seed=23))
    first = shared.submit(model)
    shared.http.post(f"/v1/jobs/{first['id']}/cancel")
    second = shared.submit(model)
    assert second["id"] != first["id"]
    for _ in range(2):  # while the other waits or runs, and once it is done
        refused = shared.http.post(f"/v1/jobs/{first['id']}/retry")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_superseded")
        shared.finish(second)
    shared.finish(blocker)


def test_a_model_that_the_device_cannot_run_is_a_result_and_kept(shared, make_model):
    model = make_model("misfit", seed=30)
    done = shared.finish(shared.submit(model))
    assert (done["status"], done["measurement"]["failure"]) == ("done", "it does not fit")
    assert shared.post(model).json()["cached"]


def test_lists_are_newest_first_filtered_and_in_pages(shared, make_model):
    jobs = [shared.submit(make_model(seed=40 + index), device="thinks") for index in range(5)]
    for job in jobs:
        shared.finish(job)
    pages, after = [], None
    for _ in range(2):
        query = {"device": "thinks", "status": "done", "limit": 2}
        page = shared.http.get("/v1/jobs", params=query | ({"after": after} if after else {}))
        pages += [job["id"] for job in page.json()["jobs"]]
        after = page.json()["next"]
    assert pages == [job["id"] for job in jobs[:0:-1]]
    assert shared.http.get("/v1/jobs", params={"after": "0" * 32}).status_code == 404
    assert shared.http.get("/v1/jobs", params={"status": "lost"}).status_code == 422


def test_events_tell_every_status_and_comments_keep_the_line_open(in_process, make_model):
    client = in_process(keep_alive_s=0.2)[0]
    job = client.submit(make_model("wait:1.0", seed=50))
    seen, comments = [], 0
    with client.http.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            comments += line.startswith(": keep-alive")
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: "))["status"])
    assert comments >= 2
    assert seen[-1] == "done" and set(seen) <= {"queued", "running", "done"}
    assert client.http.get(f"/v1/jobs/{'0' * 32}/events").status_code == 404


def test_a_long_poll_answers_when_the_job_ends_or_after_its_time(shared, make_model):
    job = shared.submit(make_model("wait:1.0", seed=60))
    began = time.monotonic()
    assert shared.get(job, wait_s=0.3)["status"] in ("queued", "running")
    assert time.monotonic() - began < 0.9
    assert shared.get(job, wait_s=30)["status"] == "done"
    assert time.monotonic() - began < 15


def test_devices_server_health_and_metrics_tell_what_is_there(shared):
    devices = {row["info"]["name"]: row for row in shared.http.get("/v1/devices").json()["devices"]}
    assert {name: row["info"]["kind"] for name, row in devices.items()} == {
        "waits": "measured",
        "thinks": "estimated",
    }
    assert shared.http.get("/v1/server").json()["version"]
    assert shared.http.get("/health").json() == {"status": "ok", "database": "ok"}
    text = shared.http.get("/metrics").text
    assert 'hot_requests_total{method="GET",path="/health",status="200"}' in text
    for row in devices.values():  # those that never had a job, too
        assert f'hot_jobs_queued{{device="{row["key"]}"}}' in text


def test_metrics_of_a_device_fall_back_to_zero_after_its_last_job(in_process, make_model):
    client, app = in_process()
    key = app.state.service.scheduler.infos["waits"].key

    def gauges():
        lines = client.http.get("/metrics").text.splitlines()
        named = [line for line in lines if f'device="{key}"' in line]
        return [
            float(line.rpartition(" ")[2])
            for name in ("hot_jobs_queued{", "hot_devices_running{")
            for line in named
            if line.startswith(name)
        ]

    assert gauges() == [0, 0]
    jobs = [client.submit(make_model("wait:1.0", seed=80 + index)) for index in range(2)]
    client.until(lambda: client.get(jobs[0])["status"] == "running")
    assert gauges() == [1, 1]
    for job in jobs:
        client.finish(job)
    assert gauges() == [0, 0]


def test_many_questions_for_health_are_one_to_the_database(in_process):
    from sqlalchemy import event

    client, app = in_process(heartbeat_s=30.0)
    seen = []
    engine = app.state.service._database.engine
    event.listen(engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    assert all(client.http.get("/health").status_code == 200 for _ in range(20))
    n_asked = sum(text.startswith("SELECT 1") for text in seen)
    assert 1 <= n_asked <= 5, seen


def test_those_who_wait_for_jobs_are_a_bounded_number(in_process, make_model):
    client, _ = in_process(max_waiting=1)
    job = client.submit(make_model("wait:2.0", seed=90))
    path = f"/v1/jobs/{job['id']}"
    with client.http.stream("GET", f"{path}/events") as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines()
        next(lines)
        for refused in (client.http.get(f"{path}/events"), client.http.get(f"{path}?wait_s=5")):
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "crowd")
            assert int(refused.headers["Retry-After"]) >= 1
        assert client.http.get(path).status_code == 200
    client.until(lambda: client.http.get(f"{path}?wait_s=5").status_code == 200)


def test_what_is_not_there_is_told_as_such(shared, make_model):
    model = make_model(seed=70)
    shared.put(model)
    unknown = shared.post(model, device="wait")
    assert unknown.status_code == 404
    assert "did you mean 'waits'" in unknown.json()["error"]["message"]
    assert shared.http.get(f"/v1/jobs/{'a' * 32}").json()["error"]["code"] == "job_unknown"
    assert shared.http.get("/v1/nothing").json()["error"]["code"] == "path_unknown"
    assert shared.http.delete("/v1/jobs").status_code == 405
    wrong = shared.post(model, input_shape=[1, 3, 16, 16])
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "input_shape")


def test_malformed_requests_get_one_clear_error(shared):
    good = {
        "device": "waits", "artifact": hashlib.sha256(b"x").hexdigest(), "precision": "fp32",
        "input_shape": [1, 3, 8, 8],
    }  # fmt: skip
    bodies = [
        b"", b"{", b"[]", b"null", b"NaN", b"[" * 30_000, b'{"device": "\\ud800"}', b"\xff\xfe",
        *(json.dumps({**good, **bad}).encode() for bad in (
            {"artifact": "x"}, {"artifact": "../../etc/passwd"}, {"precision": "fp4"},
            {"input_shape": [1, 3, 8]}, {"input_shape": [1, 3, 8, 0]}, {"input_shape": "1x3x8x8"},
            {"settings": {"spread_limit": float("nan")}}, {"settings": {"repetitions": 10**9}},
            {"settings": {"url": "http://x"}}, {"priority": 10**30}, {"priority": True},
            {"path": "/etc/passwd"}, {"device": "\x00"}, {"device": "\ud800"},
        )),
    ]  # fmt: skip
    for body in bodies:
        answer = shared.http.post(
            "/v1/jobs", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 404, 422), (body[:80], answer.text)
        assert set(answer.json()["error"]) == {"code", "message"}
