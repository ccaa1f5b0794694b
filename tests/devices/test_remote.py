import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from hot.devices import Settings, make_device
from hot.devices.connection import parse_url
from hot.devices.remote import make_remote
from hot.errors import DeviceError, InputError
from hot.records import Artifact, Measurement

SETTINGS = Settings(memory=False, per_node=True)


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("HOT_TOKEN", raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and a certificate for 127.0.0.1 that it signed: (ca, certificate, key)."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
        "-keyout", "ca.key", "-out", "ca.pem", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", "key.pem",
        "-out", "asked.pem",
    )  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509", "-req", "-in", "asked.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
        "-CAcreateserial", "-extfile", "names", "-out", "server.pem",
    )  # fmt: skip
    return tuple(str(folder / name) for name in ("ca.pem", "server.pem", "key.pem"))


def test_it_says_and_measures_what_the_device_itself_does(small_server, network):
    local = make_device("reference")
    remote = make_device(small_server().url)
    assert remote.describe() == local.describe()
    assert remote.describe().key == local.describe().key
    assert remote.measure(network, SETTINGS) == local.measure(network, SETTINGS)


def test_results_come_in_the_order_of_the_artifacts(small_server, network, one_convolution):
    local, remote = make_device("reference"), make_device(small_server().url)
    mixed = [network, one_convolution, network]
    assert remote.measure_all(mixed, SETTINGS) == local.measure_all(mixed, SETTINGS)


def test_an_artifact_is_uploaded_once_and_only_when_the_server_lacks_it(small_server, network):
    server = small_server()
    remote = make_remote(server.url)
    remote.measure_all([network, network], SETTINGS)
    remote.measure(network, replace(SETTINGS, seed=1))
    assert server.count("PUT", "artifacts") == 1
    n_asked = len(server.seen)
    make_remote(server.url).measure(network, SETTINGS)
    assert server.seen[n_asked:] == [("GET", "/v1/devices"), ("POST", "/v1/jobs")]


def test_what_was_not_steady_is_measured_again_when_asked_again(small_server, network):
    class Shaky:
        describe = staticmethod(make_device("reference").describe)
        n_measured = 0

        def measure(self, artifact, settings):
            self.n_measured += 1
            return Measurement(float(self.n_measured), is_steady=self.n_measured > 2)

    device = Shaky()
    remote = make_remote(small_server(device).url)
    found = [remote.measure(network, SETTINGS).latency_ms for _ in range(4)]
    assert found == [1.0, 2.0, 3.0, 3.0]


def test_what_the_server_refuses_is_a_failure_of_that_artifact_alone(
    small_server, network, tmp_path
):
    bad, none = tmp_path / "bad.onnx", tmp_path / "none.onnx"
    bad.write_bytes(b"not a model")
    wrong = [Artifact(path, "fp32", network.input_shape) for path in (bad, none)]
    results = make_remote(small_server().url).measure_all([wrong[0], network, wrong[1]], SETTINGS)
    assert "bad.onnx" in results[0].failure and "no ONNX model" in results[0].failure
    assert results[1].latency_ms > 0
    assert "none.onnx" in results[2].failure


@pytest.mark.parametrize("trouble", ["cut", 503, 500, 502, (429, 0), (503, 0.1)])
def test_a_request_is_repeated_until_the_server_answers(small_server, network, trouble):
    server = small_server()
    remote = make_remote(server.url)
    server.troubles += [trouble, trouble]
    assert remote.measure(network, SETTINGS).latency_ms > 0
    assert not server.troubles


def test_the_pause_is_at_least_what_the_server_asks_for(small_server):
    server = small_server()
    server.troubles.append((429, 1))
    start = time.monotonic()
    make_remote(server.url)
    assert time.monotonic() - start >= 1


def test_trouble_after_a_busy_time_is_waited_for_as_long_as_any(small_server, network):
    server = small_server()
    remote = make_remote(server.url, timeout_s=0.8)
    server.troubles += [(429, 1), "cut"]
    assert remote.measure(network, SETTINGS).latency_ms > 0
    assert not server.troubles


def test_a_server_that_restarts_is_waited_for_and_lost_jobs_are_sent_again(small_server, network):
    server = small_server(wait_s=0.4)
    remote = make_remote(server.url)

    def restart():
        time.sleep(0.2)
        server.die()
        time.sleep(0.3)
        server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    assert remote.measure(network, SETTINGS).latency_ms > 0
    thread.join()
    assert server.count("POST", "jobs") >= 2


def test_a_server_that_stays_away_ends_the_work_with_its_address(small_server, network):
    server = small_server()
    remote = make_remote(server.url, timeout_s=0.5)
    server.die()
    with pytest.raises(DeviceError, match=r"127\.0\.0\.1:\d+ cannot be reached.*tried for 0"):
        remote.measure(network, SETTINGS)


def test_a_job_that_another_client_cancels_is_sent_again(small_server, network):
    server = small_server(wait_s=0.4)
    remote = make_remote(server.url)

    def cancel():
        while not server.jobs:
            time.sleep(0.01)
        server.answer("POST", "/v1/jobs/0/cancel", b"")

    thread = threading.Thread(target=cancel)
    thread.start()
    assert remote.measure(network, SETTINGS).latency_ms > 0
    thread.join()
    assert [job["status"] for job in server.jobs.values()] == ["cancelled", "done"]


def test_a_device_that_changes_during_the_work_is_refused(small_server, network):
    server = small_server()
    remote = make_remote(server.url)
    server.info = replace(server.info, fingerprint={"runtime": "another"})
    with pytest.raises(DeviceError, match="changed from"):
        remote.measure(network, SETTINGS)


def test_a_token_comes_from_a_file_or_the_environment(small_server, tmp_path, monkeypatch):
    server = small_server(token="secret")
    path = tmp_path / "token"
    path.write_text("secret\n")
    assert make_remote(server.url, token_file=str(path)).describe() == server.info
    monkeypatch.setenv("HOT_TOKEN", "secret")
    assert make_remote(server.url).describe() == server.info


def test_wrong_tokens_are_told_apart(small_server, tmp_path, monkeypatch):
    server = small_server(token="secret")
    with pytest.raises(DeviceError, match=r"asks for a token.*HOT_TOKEN"):
        make_remote(server.url)
    monkeypatch.setenv("HOT_TOKEN", "wrong")
    with pytest.raises(DeviceError, match=r"does not accept the token: unknown token"):
        make_remote(server.url)
    with pytest.raises(DeviceError, match="cannot read the token file"):
        make_remote(server.url, token_file=str(tmp_path / "none"))
    server.troubles.append(403)
    with pytest.raises(DeviceError, match="role measure"):
        make_remote(server.url)


def test_an_unknown_device_is_named_with_the_known_ones(small_server):
    server = small_server()
    with pytest.raises(DeviceError, match="did you mean 'reference'"):
        make_remote(server.url.replace("/reference", "/refrence"))


def test_the_only_device_of_a_server_needs_no_name(small_server):
    server = small_server()
    assert make_remote(server.url.removesuffix("reference")).describe() == server.info


def test_what_is_no_profiling_server_is_told(small_server):
    server = small_server()
    server.troubles.append("<html>")
    with pytest.raises(DeviceError, match="not as a profiling server does"):
        make_remote(server.url)


def test_a_certificate_is_checked(small_server, certificates, network):
    ca, *pair = certificates
    server = small_server(tls=pair)
    with pytest.raises(DeviceError, match=r"certificate.*not accepted.*option ca"):
        make_remote(server.url)
    with pytest.raises(DeviceError, match="not accepted"):  # made for 127.0.0.1 alone
        make_remote(server.url.replace("127.0.0.1", "localhost"), ca=ca)
    with pytest.raises(DeviceError, match="cannot use the authority's certificate"):
        make_remote(server.url, ca=ca + ".none")
    assert make_remote(server.url, ca=ca).measure(network, SETTINGS).latency_ms > 0


def test_tls_towards_a_plain_server_is_told(small_server):
    with pytest.raises(DeviceError, match="does not speak TLS"):
        make_remote(small_server().url.replace("http:", "https:"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.1.2.3:8765/cpu", "in clear"),
        ("http://board/cpu", "in clear"),
        ("ftp://board/cpu", "https://HOST:PORT/NAME"),
        ("https:///cpu", "https://HOST:PORT/NAME"),
        ("https://me:word@board/cpu", "token_file"),
        ("https://board/cpu?token=word", "token_file"),
        ("https://board:port/cpu", "is not the address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_secrets(url, words):
    with pytest.raises(InputError, match=words) as caught:
        make_remote(url)
    assert "word@" not in str(caught.value) and "=word" not in str(caught.value)


def test_addresses_are_taken_apart():
    assert parse_url("https://board:8765/cpu") == ("https://board:8765", "cpu")
    assert parse_url("https://board/lab/3/my%20cpu") == ("https://board/lab/3", "my cpu")
    assert parse_url("http://[::1]:80/cpu") == ("http://[::1]:80", "cpu")
    assert parse_url("https://board") == ("https://board", "")
    assert parse_url("http://board/cpu", is_plain_allowed=True) == ("http://board", "cpu")


def test_options_are_those_of_make_remote(small_server):
    with pytest.raises(InputError, match=r"no option 'threads'.*token_file"):
        make_device(small_server().url, threads=2)
    with pytest.raises(InputError, match="timeout_s"):
        make_device(small_server().url, timeout_s="-1")


def test_ctrl_c_takes_back_what_is_not_measured(small_server, artifacts):
    server = small_server(wait_s=0.5)
    made = artifacts(3)
    program = (
        "import sys; from pathlib import Path\n"
        "from hot.devices import Settings, make_device\n"
        "from hot.records import Artifact\n"
        "made = [Artifact(Path(p), 'fp32', (1, 1, 16, 16)) for p in sys.argv[2:]]\n"
        "make_device(sys.argv[1]).measure_all(made, Settings())\n"
    )
    paths = [str(artifact.path) for artifact in made]
    assert made[0].input_shape == (1, 1, 16, 16)
    child = subprocess.Popen(
        [sys.executable, "-c", program, server.url, *paths], stderr=subprocess.PIPE
    )
    for _ in range(2000):
        if len(server.jobs) == 3 and any(m == "GET" and "jobs" in p for m, p in server.seen):
            break
        if server.count("POST", "jobs") >= 3 and len(server.jobs) == 3:
            time.sleep(0.1)
            break
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=20)[1]
    time.sleep(0.6)
    assert [job["status"] for job in server.jobs.values()][1:] == ["cancelled"] * 2
