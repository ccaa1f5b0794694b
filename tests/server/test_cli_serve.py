import os
import shutil
import socket
import ssl
import subprocess
import sys

import httpx
import pytest

from hot.cli import main
from hot.server.auth import Tokens


def hot(*arguments, cwd):
    command = [sys.executable, "-c", "from hot.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in; the command leaves a core to measurements, which is undone."""
    monkeypatch.chdir(tmp_path)
    cores = os.sched_getaffinity(0)
    yield tmp_path
    os.sched_setaffinity(0, cores)


@pytest.fixture
def certificate(tmp_path, skip_unless_ci):
    if shutil.which("openssl") is None:
        skip_unless_ci("no openssl")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def test_tls_and_tokens_by_the_command_line(serve, tmp_path, certificate):
    made = hot(
        "token", "laptop", "--role", "read", "--days", "1", "--tokens", "t.yaml", cwd=tmp_path
    )
    token = made.stdout.strip()
    assert Tokens(tmp_path / "t.yaml").find(token).name == "laptop"
    cert, key = certificate
    options = ("--tokens", "t.yaml", "--certificate", cert, "--key", key)
    server = serve(*map(str, options), devices=("reference",), ca=cert)
    context = ssl.create_default_context(cafile=str(cert))
    with httpx.Client(base_url=server.url, verify=context) as client:
        assert client.get("/v1/devices").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        found = client.get("/v1/devices", headers=headers).json()["devices"]
        assert [row["info"]["name"] for row in found] == ["reference"]
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http") + "/health")
    assert token not in server.log.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "hot token"),
        (["--tokens", "none.yaml"], "none.yaml"),
        (["--certificate", "a.pem"], "--key"),
        (["--certificate", "a.pem", "--key", "b.pem"], "a.pem"),
        (["--store", "/proc/no/jobs.db"], "/proc/no"),
        (["--device", "cpuu"], "did you mean 'cpu'"),
        (["--device", "cpu?threads"], "NAME?option=value"),
        (["--worker-memory", "much"], "--worker-memory"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(here, capfd, options, words):
    device = [] if "--device" in options else ["--device", "reference"]
    with pytest.raises(SystemExit) as ended:
        main(["serve", *device, *options])
    told = capfd.readouterr().err
    assert ended.value.code == 2 and words in told, told
    assert "Traceback" not in told


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = hot("serve", "--device", "reference", "--port", port, cwd=tmp_path)
    assert done.returncode == 2 and f"127.0.0.1:{port}" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
