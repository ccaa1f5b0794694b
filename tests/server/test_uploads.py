import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from hot.server.errors import ApiError
from hot.server.uploads import Uploads


@pytest.mark.parametrize("data", [b"", b"\0" * 500, b"garbage", b"\x1c\0\0\0TFL3" + b"\xff" * 200])
def test_bytes_that_are_no_model_answer_400_with_the_reason(shared, data):
    answer = shared.put(data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model")
    assert len(answer.json()["error"]["message"]) > 10


def test_a_truncated_model_and_one_damaged_on_its_way_answer_400(shared, make_model):
    model = make_model(seed=90)
    answer = shared.put(model[:-20])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model")
    answer = shared.http.put(f"/v1/artifacts/{'1' * 64}", content=model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "digest")
    assert shared.http.put("/v1/artifacts/../../etc/passwd", content=model).status_code == 404
    assert shared.http.put("/v1/artifacts/XYZ", content=model).status_code == 422


def test_a_body_in_chunks_is_refused_whatever_length_it_tells(shared):
    address = urlsplit(shared.url)
    head = f"PUT /v1/artifacts/{'0' * 64} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    both = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=20) as line:
        line.sendall(f"{head}{both}".encode() + b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 411 ")  # before the body has an end


def test_a_body_is_received_up_to_the_length_that_it_tells(in_process):
    _, app = in_process()
    n_received = 0

    async def receive():
        nonlocal n_received
        n_received += 1
        return {"type": "http.request", "body": b"x" * 600, "more_body": True}

    scope = {"type": "http", "method": "PUT", "headers": [(b"content-length", b"1000")]}
    uploads = Uploads(app.state.service)
    # A thread of its own: where a browser was driven before, this one has a running loop.
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(ApiError, match="longer than 1000 bytes") as refused,
    ):
        thread.submit(lambda: asyncio.run(uploads.take(Request(scope, receive), "0" * 64))).result()
    assert (refused.value.status, n_received) == (400, 2)
