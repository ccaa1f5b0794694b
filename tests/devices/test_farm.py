import logging
import threading
import time

import pytest
import yaml

from hot.devices import Settings, make_device
from hot.devices.farm import load_farm
from hot.devices.remote import Remote, make_access
from hot.devices.share import Share
from hot.errors import DeviceError, InputError
from hot.records import Measurement

SETTINGS = Settings(memory=False)


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("HOT_TOKEN", raising=False)


@pytest.fixture
def farm_file(tmp_path):
    def write(*servers, **options):
        rows = [{"url": server.url, "timeout_s": 0.5, **options} for server in servers]
        path = tmp_path / "farm.yaml"
        path.write_text(yaml.safe_dump({"servers": rows}))
        return path

    return write


def later(delay_s, *steps):
    def run():
        for step in steps:
            time.sleep(delay_s)
            step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_farm_is_the_device_that_its_servers_have(small_server, farm_file, artifacts):
    local = make_device("reference")
    farm = make_device(str(farm_file(small_server(), small_server())))
    assert farm.describe() == local.describe()
    made = artifacts(5)
    assert farm.measure_all(made, SETTINGS) == local.measure_all(made, SETTINGS)
    assert farm.measure(made[0], SETTINGS) == local.measure(made[0], SETTINGS)
    assert farm.measure_all([], SETTINGS) == []


def test_work_is_spread_and_nothing_is_measured_twice(small_server, farm_file, artifacts):
    servers = [small_server(wait_s=0.1) for _ in range(2)]
    load_farm(farm_file(*servers)).measure_all(artifacts(20), SETTINGS)
    counts = [len(server.measured) for server in servers]
    assert sum(counts) == 20
    assert min(counts) >= 8
    assert len({key for server in servers for key in server.measured}) == 20


def test_a_fast_server_takes_from_a_slow_one(small_server, farm_file, artifacts):
    slow, fast = small_server(), small_server()
    slow.is_open.clear()
    farm, made = load_farm(farm_file(slow, fast)), artifacts(20)
    thread = threading.Thread(target=lambda: farm.measure_all(made, SETTINGS))
    thread.start()
    end = time.monotonic() + 60
    while len(fast.measured) < 18 and time.monotonic() < end:
        time.sleep(0.01)
    slow.is_open.set()
    thread.join()
    assert len(slow.measured) <= 2  # what it held from the start, while the other did the rest


def test_an_artifact_comes_to_the_server_that_knows_it(small_server, farm_file, artifacts):
    servers = [small_server(wait_s=0.05) for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    (one,) = artifacts(1)
    for _ in range(3):
        farm.measure(one, SETTINGS)
    assert sum(len(server.measured) for server in servers) == 1


def test_the_jobs_of_a_server_that_dies_go_to_the_others(
    small_server, farm_file, artifacts, caplog
):
    servers = [small_server(wait_s=0.1) for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    thread = later(0.4, servers[0].die)
    with caplog.at_level(logging.WARNING):
        results = farm.measure_all(artifacts(20), SETTINGS)
    thread.join()
    assert all(result.latency_ms > 0 for result in results)
    assert servers[0].url.rsplit("/", 1)[0] in caplog.text and "left out" in caplog.text
    assert {*servers[0].measured, *servers[1].measured} == set(servers[1].artifacts) | set(
        servers[0].measured
    )
    assert len(results) == 20


def test_a_server_that_answers_again_is_back_in_the_farm(
    small_server, farm_file, artifacts, caplog
):
    servers = [small_server(wait_s=0.15) for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    servers[0].die()
    n_before = len(servers[0].measured)
    thread = later(1.0, servers[0].start)
    with caplog.at_level(logging.WARNING):
        results = farm.measure_all(artifacts(50), SETTINGS)
    thread.join()
    assert all(result.latency_ms > 0 for result in results)
    assert f"{servers[0].url} is back" in caplog.text
    assert len(servers[0].measured) > n_before


def test_when_all_are_lost_each_is_named_with_its_reason(small_server, farm_file, artifacts):
    servers = [small_server(wait_s=0.2) for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    thread = later(0.3, servers[0].die, servers[1].die)
    with pytest.raises(DeviceError, match="no server of the farm is left") as caught:
        farm.measure_all(artifacts(20), SETTINGS)
    thread.join()
    for server in servers:
        assert server.url.rsplit("/", 1)[0] in str(caught.value)


def test_a_server_that_refuses_the_work_is_asked_once_and_the_others_do_it(
    small_server, farm_file, artifacts, caplog
):
    servers = [small_server(wait_s=0.05) for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    servers[0].refuses = 403
    with caplog.at_level(logging.WARNING):
        results = farm.measure_all(artifacts(12), SETTINGS)
    assert all(result.latency_ms > 0 for result in results)
    assert servers[0].count("POST", "jobs") == 1
    assert "left out" in caplog.text and "is back" not in caplog.text
    servers[0].refuses = None
    assert len(farm.measure_all(artifacts(12), Settings(seed=1))) == 12
    assert servers[0].measured


def test_when_all_refuse_the_work_ends_with_the_reason(small_server, farm_file, artifacts):
    servers = [small_server() for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    for server in servers:
        server.refuses = 403
    with pytest.raises(DeviceError, match=r"no server of the farm is left.*role measure"):
        farm.measure_all(artifacts(4), SETTINGS)
    assert [server.count("POST", "jobs") for server in servers] == [1, 1]


def test_servers_that_answer_but_take_no_job_end_the_work(small_server, farm_file, artifacts):
    servers = [small_server() for _ in range(2)]
    farm = load_farm(farm_file(*servers))
    for server in servers:
        server.refuses = 503
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"no server of the farm is left.*answers 503"):
        farm.measure_all(artifacts(4), SETTINGS)
    assert time.monotonic() - start < 15


def test_a_farm_compiles_by_a_server_that_was_lost_and_is_back(
    small_server, farm_file, artifacts, tmp_path
):
    server = small_server()
    farm = load_farm(farm_file(server))
    made = artifacts(2)
    server.die()
    with pytest.raises(DeviceError, match="no server of the farm is left"):
        farm.measure_all(made, SETTINGS)
    with pytest.raises(DeviceError, match="no server of the farm is left"):
        farm.compile(made[0], tmp_path / "out")
    server.start()
    assert farm.compile(made[0], tmp_path / "out") == ()  # this device makes no files


def test_a_server_may_be_away_when_the_farm_is_loaded_but_not_all(
    small_server, farm_file, artifacts, caplog
):
    servers = [small_server(wait_s=0.15) for _ in range(2)]
    path = farm_file(*servers)
    servers[0].die()
    with caplog.at_level(logging.WARNING):
        farm = load_farm(path)
    assert "left out" in caplog.text
    servers[0].start()
    assert len(farm.measure_all(artifacts(30), SETTINGS)) == 30
    assert servers[0].measured
    for server in servers:
        server.die()
    with pytest.raises(DeviceError, match="no server of the farm is left"):
        load_farm(path)


def test_servers_of_different_fingerprints_are_no_farm(small_server, farm_file):
    servers = [small_server(), small_server(make_device("stm32h743"))]
    with pytest.raises(DeviceError, match=r"differ \(.*description: reference \| stm32h743"):
        load_farm(farm_file(*servers))


def test_a_wrong_token_ends_the_loading(small_server, farm_file, tmp_path):
    (tmp_path / "token").write_text("wrong")
    servers = [small_server(), small_server(token="secret")]
    with pytest.raises(DeviceError, match="does not accept the token"):
        load_farm(farm_file(*servers, token_file="token"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("servers: []", "servers"),
        ("servers: [{url: x, tls: 1}]", "unknown key 'servers.0.tls'"),
        ("servers: [{url: 'http://board/cpu'}]", "in clear"),
        ("servers: [{url: 'https://board/cpu', timeout_s: 0}]", "timeout_s"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(tmp_path, text, words):
    path = tmp_path / "farm.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        make_device(str(path))


def test_what_a_lost_server_held_comes_first_again():
    servers = [Remote(make_access(f"https://board-{n}/cpu")) for n in range(2)]
    share = Share(servers, [f"{n}" for n in range(9)])
    owner = max(servers, key=lambda s: len(share.queues[s]))
    other = servers[1 - servers.index(owner)]
    before = list(share.queues[owner])
    for _ in range(2):
        index = share.take(owner, 2)
        share.hold(owner, index, object())
    share.give_back(owner)
    assert list(share.queues[owner]) == before
    while (index := share.take(other, 2)) is not None:
        share.hold(other, index, object())
        share.finish(other, index, Measurement(float(index)))
    assert share.is_finished
    assert [result.latency_ms for result in share.results] == list(range(9))
