import time

import pytest

from hot.devices import Settings
from hot.devices.connection import ServerLostError
from hot.devices.farm import Farm
from hot.devices.remote import make_remote
from hot.errors import DeployError
from hot.records import Artifact


@pytest.fixture
def artifact(tmp_path, make_model):
    """A function that writes a model to a file and returns it as an artifact."""

    def write(deed="", seed=400):
        path = tmp_path / f"net{deed.replace(':', '')}{seed}.onnx"
        path.write_bytes(make_model(deed, seed))
        return Artifact(path, "fp32", (1, 3, 8, 8))

    return write


def test_a_remote_device_gives_the_files_that_the_device_would(shared, artifact, tmp_path):
    remote = make_remote(f"{shared.url}/thinks")
    one = artifact()
    made = remote.compile(one, tmp_path / "out")
    assert [path.name for path in made] == ["net400_compiled.bin", "net400_about.txt"]
    assert made[0].read_bytes() == one.path.read_bytes()[::-1]
    assert made[1].read_text() == "fp32"
    again = Farm([make_remote(f"{shared.url}/thinks")]).compile(one, tmp_path / "farm")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]
    jobs = shared.http.get("/v1/jobs", params={"limit": 500, "device": "thinks"}).json()["jobs"]
    mine = [job for job in jobs if job["task"] == "compile" and job["status"] == "done"]
    assert len({job["artifact"] for job in mine}) == len(mine)  # the farm's was not made twice


def test_a_farm_compiles_after_work_that_was_ended_early(shared, artifact, tmp_path):
    remote = make_remote(f"{shared.url}/thinks")
    farm = Farm([remote])
    remote.connection.stop.set()  # as Ctrl-C leaves it
    assert len(farm.compile(artifact(seed=404), tmp_path / "out")) == 2


def test_a_device_without_a_compiler_makes_no_files_and_refuses_such_jobs(
    shared, artifact, make_model, tmp_path
):
    remote = make_remote(f"{shared.url}/waits")
    assert remote.compile(artifact(), tmp_path / "out") == ()
    assert not (tmp_path / "out").exists()
    answer = shared.post(make_model(seed=401), task="compile")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "task")


def test_what_cannot_be_compiled_is_told_by_the_clients_name(shared, artifact, tmp_path):
    one = artifact("misfit", 402)
    with pytest.raises(DeployError, match=r"misfit402\.onnx .*the model: it does not fit"):
        make_remote(f"{shared.url}/thinks").compile(one, tmp_path / "out")


def test_a_damaged_or_missing_file_is_no_path(shared, make_model):
    job = shared.finish(shared.submit(make_model(seed=403), "thinks", task="compile"))
    assert job["measurement"] is None
    assert [one["name"] for one in job["files"]] == ["model_compiled.bin", "model_about.txt"]
    for name, status in (("other.bin", 404), ("..%2F..%2Fetc%2Fpasswd", 404), (".hidden", 422)):
        assert shared.http.get(f"/v1/jobs/{job['id']}/files/{name}").status_code == status
    good = shared.http.get(f"/v1/jobs/{job['id']}/files/model_about.txt")
    assert (good.text, good.headers["content-type"]) == ("fp32", "application/octet-stream")


def test_compile_jobs_run_side_by_side(in_process, make_model):
    client, _ = in_process()
    client.finish(client.submit(make_model(seed=410), "thinks", task="compile"))
    client.finish(client.submit(make_model(seed=411), "thinks", task="compile"))
    models = [make_model("wait:1.0", seed=412 + index) for index in range(2)]
    start = time.monotonic()
    jobs = [client.submit(model, "thinks", task="compile") for model in models]
    spans = [client.finish(job) for job in jobs]
    assert {job["status"] for job in spans} == {"done"}
    assert spans[0]["started"] < spans[1]["finished"]
    assert spans[1]["started"] < spans[0]["finished"]
    assert time.monotonic() - start >= 1.0


def test_files_that_made_room_on_the_server_are_made_again(in_process, artifact, tmp_path):
    client, _ = in_process(max_artifacts_bytes=1500)
    remote = make_remote(f"{client.url}/thinks")
    first = artifact(seed=420)
    wanted = [path.read_bytes() for path in remote.compile(first, tmp_path / "one")]
    remote.compile(artifact(seed=421), tmp_path / "two")
    again = remote.compile(first, tmp_path / "three")
    assert [path.read_bytes() for path in again] == wanted
    assert remote.measure(first, Settings()).latency_ms == 2.5


def test_a_job_that_no_running_server_takes_is_not_waited_for_without_end(
    in_process, artifact, make_model
):
    client, app = in_process()
    client.submit(make_model("wait:2.5", seed=430), "waits")
    app.state.service._leases.offer(())  # as when it was started anew with other devices
    remote = make_remote(f"{client.url}/waits", timeout_s=0.5)
    with pytest.raises(ServerLostError, match=r"no server on the database of .* start hot serve"):
        remote.measure(artifact(seed=431), Settings())
