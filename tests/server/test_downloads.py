import socket
import time
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from hot.server.schema import FileRow

N_BYTES = 16 * 2**20  # more than a connection holds on its way


@pytest.fixture
def large(in_process, make_model):
    """A server, and the path of a large file on it."""
    client, app = in_process(download_time_limit_s=1.5)
    job = client.finish(client.submit(make_model(seed=500), "thinks", task="compile"))
    name = job["files"][0]["name"]
    with app.state.service._database.write() as session:
        session.execute(update(FileRow).where(FileRow.name == name).values(data=b"x" * N_BYTES))
    return client, f"/v1/jobs/{job['id']}/files/{name}"


def ask(client, path):
    """A connection on which a file was asked for, and of whose answer nothing is read."""
    address = urlsplit(client.url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    line.settimeout(20)
    line.connect((address.hostname, address.port))
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    return line


def count(line):
    """The bytes that still come until the server closes the connection."""
    n_bytes = 0
    while part := line.recv(65536):
        n_bytes += len(part)
    return n_bytes


def test_a_large_file_comes_whole(large):
    client, path = large
    answer = client.http.get(path)
    assert answer.headers["Content-Length"] == str(N_BYTES)
    assert answer.content == b"x" * N_BYTES


def test_clients_that_do_not_read_are_cut_off_and_the_next_one_has_its_turn(large):
    client, path = large
    lines = [ask(client, path) for _ in range(4)]
    time.sleep(0.5)
    start = time.monotonic()
    assert len(client.http.get(path).content) == N_BYTES
    assert time.monotonic() - start > 0.5  # after one of the others
    time.sleep(2.0)
    found = []
    for line in lines:
        with line:
            found.append(count(line))
    assert max(found) < N_BYTES
