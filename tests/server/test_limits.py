import hashlib
import http.client
import socket
import time
from urllib.parse import urlsplit

import pytest

from hot.server import ServerConfig
from hot.server.limits import RateLimit


@pytest.fixture(scope="module")
def narrow(in_process):
    """A server with small limits."""
    return in_process(max_artifact_bytes=20_000, max_queued=2, max_artifacts_bytes=3_000)


def test_a_bucket_lets_a_burst_through_and_then_the_steady_rate_of_each_caller():
    clock = [0.0]
    limit = RateLimit(rate_per_s=2.0, burst=3.0, clock=lambda: clock[0])
    assert [limit.wait_s("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.wait_s("b") == 0.0
    clock[0] = 0.5
    assert [limit.wait_s("a") for _ in range(2)] == [0.0, 0.5]


def test_the_limit_of_requests_answers_429_and_tells_when_to_come_back(in_process):
    client, _ = in_process(rate_per_s=1.0, burst=3.0)
    answers = [client.http.get("/v1/server") for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert client.http.get("/health").status_code == 200


def test_the_burst_follows_the_rate_where_it_is_not_given():
    slow, some = (ServerConfig(("cpu",), "jobs.db", rate_per_s=rate) for rate in (0.1, 10.0))
    given = ServerConfig(("cpu",), "jobs.db", rate_per_s=10.0, burst=3.0)
    assert (slow.most_at_once, some.most_at_once, given.most_at_once) == (1.0, 20.0, 3.0)


def test_large_bodies_and_those_of_unknown_length_are_refused(narrow):
    client, _ = narrow
    large = b"x" * 20_001
    answer = client.put(large)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    parts = client.http.put(f"/v1/artifacts/{'0' * 64}", content=iter([b"a", b"b"]))
    assert (parts.status_code, parts.json()["error"]["code"]) == (411, "length")
    for content in (b" " * 70_000, iter([b" " * 40_000] * 2)):
        headers = {"Content-Type": "application/json"}
        answer = client.http.post("/v1/jobs", content=content, headers=headers)
        assert answer.status_code == 413, answer.text


def test_jobs_beyond_the_limit_of_the_queue_are_refused_for_now(narrow, make_model):
    client, _ = narrow
    running = client.submit(make_model("wait:2", seed=1))
    client.until(lambda: client.get(running)["status"] == "running")
    waiting = [client.submit(make_model(seed=index)) for index in (2, 3)]
    model = make_model(seed=4)
    client.put(model)
    refused = client.post(model)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert "Retry-After" in refused.headers
    for job in (running, *waiting):
        client.http.post(f"/v1/jobs/{job['id']}/cancel")
        client.finish(job)


def test_the_oldest_models_make_room_except_those_that_jobs_wait_for(narrow, make_model):
    client, app = narrow
    artifacts = app.state.service.artifacts
    awaited = make_model("wait:2", seed=10)
    job = client.submit(awaited)
    others = [make_model(seed=20 + index) for index in range(8)]
    for model in others:
        assert client.put(model).status_code == 201
    kept = [artifacts.facts(hashlib.sha256(model).hexdigest()) is not None for model in others]
    assert kept[0] is False and kept[-1] is True
    assert artifacts.facts(hashlib.sha256(awaited).hexdigest()) is not None
    assert client.finish(job)["status"] == "done"


def test_a_client_that_goes_away_in_mid_upload_leaves_nothing(shared, make_model):
    model = make_model(seed=80)
    sha256 = hashlib.sha256(model).hexdigest()
    address = urlsplit(shared.url)
    with socket.create_connection((address.hostname, address.port)) as line:
        head = f"PUT /v1/artifacts/{sha256} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        line.sendall(f"{head}Content-Length: {len(model)}\r\n\r\n".encode() + model[:100])
        time.sleep(0.2)
    assert shared.post(model).json()["error"]["code"] == "artifact_unknown"
    assert shared.http.get("/health").status_code == 200
    assert shared.put(model).status_code == 201


def test_an_upload_that_stops_is_ended_after_its_time(in_process, make_model):
    client, _ = in_process(upload_time_limit_s=0.5)
    model = make_model(seed=81)
    line = http.client.HTTPConnection(urlsplit(client.url).netloc)
    line.putrequest("PUT", f"/v1/artifacts/{hashlib.sha256(model).hexdigest()}")
    line.putheader("Content-Length", str(len(model)))
    line.endheaders()
    line.send(model[:10])
    assert line.getresponse().status == 408
    line.close()
