"""What a server is to survive: its own death, its workers', its database's, another beside it."""

import os
import resource
import shutil
import signal
import sqlite3
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from hot.server.database import Database
from hot.server.jobs import Jobs


def digests(measured):
    return [row[3] for row in measured]


def start_slow(client, model, **more):
    """A job that runs now."""
    job = client.submit(model, **more)
    client.until(lambda: client.get(job)["status"] == "running")
    return job


def test_every_accepted_job_is_finished_once_after_kill_9_and_given_back_on_sigterm(
    serve, store, measured_log, make_model
):
    first = serve(store=store)
    client = first.client()
    jobs = [client.submit(make_model("wait:0.05", seed=index)) for index in range(6)]
    jobs += [client.submit(make_model("wait:0.05", seed=index), "thinks") for index in range(6)]
    hangs = start_slow(client, make_model("hang", seed=99), priority=9)
    time.sleep(0.3)
    workers = children(first.process.pid)
    assert workers
    first.kill()
    client.until(lambda: not any(is_running(pid) for pid in workers))

    second = serve(store=store)
    client = second.client()
    client.until(lambda: client.get(hangs)["attempts"] == 2)
    client.http.post(f"/v1/jobs/{hangs['id']}/cancel")
    assert client.finish(hangs)["status"] == "cancelled"
    done = [client.finish(job) for job in jobs]
    assert {job["status"] for job in done} == {"done"}
    assert len(measured_log()) == len(jobs)
    assert len(client.http.get("/v1/jobs").json()["jobs"]) == len(jobs) + 1

    slow = start_slow(client, make_model("wait:60", seed=5))
    answers = []
    poll = threading.Thread(target=lambda: answers.append(client.get(slow, wait_s=60)["status"]))
    poll.start()
    time.sleep(0.3)
    assert second.end(signal.SIGTERM) == 0
    poll.join()
    assert answers[0] in ("running", "queued")
    database = Database(store)
    kept = Jobs(database, 10).get(slow["id"])
    database.close()
    assert (kept["status"], kept["attempts"]) == ("queued", 0)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_two_servers_on_one_database_share_the_work_and_do_none_twice(
    kind, request, tmp_path, serve, measured_log, make_model
):
    store = tmp_path / "jobs.db"
    if kind == "postgresql":
        store = request.getfixturevalue("postgres").url
    one = serve("--name", "one", store=store, machine=f"one-{os.getpid()}")
    two = serve("--name", "two", store=store, machine=f"two-{os.getpid()}")
    clients = [one.client(), two.client()]
    models = [make_model("wait:0.2", seed=index) for index in range(12)]
    jobs = [clients[i % 2].submit(model) for i, model in enumerate(models)]
    same = [clients[1 - i % 2].submit(model) for i, model in enumerate(models)]
    assert [job["id"] for job in jobs] == [job["id"] for job in same]
    assert all(clients[0].finish(job)["status"] == "done" for job in jobs)
    found = digests(measured_log())
    assert len(found) == len(set(found)) == 12
    spans = sorted((row[1], row[2]) for row in measured_log())
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))  # both work

    last = [start_slow(clients[1], make_model("wait:4", seed=50 + index)) for index in range(2)]
    one.kill()
    done = [clients[1].finish(job) for job in last]
    assert sorted((job["status"], job["attempts"]) for job in done) == [("done", 1), ("done", 2)]


def test_sqlite_locked_gone_or_full_answers_503_and_everything_goes_on_when_it_is_back(
    serve, tmp_path, make_model, measured_log
):
    server = serve()
    client = server.client()

    running = start_slow(client, make_model("wait:1", seed=1))
    lock = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    refused = client.put(make_model(seed=2))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage")
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get(running)["status"] == "running"  # its result waits
    lock.execute("ROLLBACK")
    lock.close()
    assert client.finish(running)["attempts"] == 1
    assert client.finish(client.submit(make_model(seed=2)))["status"] == "done"

    running = start_slow(client, make_model("wait:1", seed=3))
    parts = [path for path in tmp_path.glob("jobs.db*") if path.is_file()]
    away = tmp_path / "away"
    away.mkdir()
    for path in parts:
        path.rename(away / path.name)
    assert client.http.get("/health").status_code == 503
    assert client.post(make_model(seed=4)).status_code == 503
    time.sleep(1.5)
    assert not (tmp_path / "jobs.db").exists()
    for path in parts:
        (away / path.name).rename(path)
    assert client.finish(running)["attempts"] == 1
    assert client.finish(client.submit(make_model(seed=4)))["status"] == "done"

    # A limit on the size of files stands for a full disk: SQLite meets both in the same place.
    none = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    refused = client.put(make_model(seed=5))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, none)
    assert refused.status_code == 503, refused.text
    assert client.finish(client.submit(make_model(seed=5)))["status"] == "done"

    running = start_slow(client, make_model("wait:1.5", seed=6))
    time.sleep(0.2)
    for pid in children(server.process.pid):
        os.kill(pid, signal.SIGKILL)
    done = client.finish(running)
    assert (done["status"], done["attempts"]) == ("done", 2)
    assert len(digests(measured_log())) == len(set(digests(measured_log()))) == 6


def test_sqlite_read_only_answers_503_and_everything_goes_on_when_it_may_be_written_again(
    serve, tmp_path, make_model, skip_unless_ci
):
    folder, away = tmp_path / "store", tmp_path / "away"
    folder.mkdir()
    by = ()
    if os.geteuid() == 0:  # root may write whatever the rights say, unless it gives that up
        if shutil.which("setpriv") is None:
            skip_unless_ci("no setpriv (util-linux), and root may write everything")
        by = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override")
    client = serve(store=folder / "jobs.db", by=by).client()
    running = start_slow(client, make_model("wait:2", seed=1))
    folder.rename(away)
    time.sleep(0.5)  # what was being written is
    folder.mkdir()
    for path in away.iterdir():
        shutil.copy(path, folder)
        (folder / path.name).chmod(0o444)
    folder.chmod(0o555)
    refused = client.put(make_model(seed=2))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage")
    time.sleep(2.5)  # the job ends meanwhile, and its result waits
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    assert client.finish(running)["attempts"] == 1
    assert client.finish(client.submit(make_model(seed=2)))["status"] == "done"


def test_postgresql_stopped_or_read_only_answers_503_and_everything_goes_on_when_it_is_back(
    serve, postgres, make_model, measured_log
):
    client = serve(store=postgres.url).client()
    running = start_slow(client, make_model("wait:1", seed=1))
    postgres.stop()
    try:
        assert client.http.get("/health").status_code == 503
        assert client.post(make_model(seed=2)).status_code == 503
        time.sleep(1.5)
    finally:
        postgres.start()
    client.until(lambda: client.http.get("/health").status_code == 200)
    assert client.finish(running)["attempts"] == 1
    assert client.finish(client.submit(make_model(seed=2)))["status"] == "done"
    assert len(measured_log()) == 2

    set_read_only(postgres, "SET default_transaction_read_only = on")
    try:
        assert client.put(make_model(seed=3)).status_code == 503
        assert client.get(running)["status"] == "done"
    finally:
        set_read_only(postgres, "RESET default_transaction_read_only")
    client.until(lambda: client.http.get("/health").status_code == 200)
    assert client.finish(client.submit(make_model(seed=3)))["status"] == "done"


def set_read_only(postgres, change):
    """Change the database's default and end all sessions, which keep the old one."""
    import psycopg

    may_write = "-c default_transaction_read_only=off"
    with psycopg.connect(postgres.url, autocommit=True, options=may_write) as admin:
        admin.execute(f"ALTER DATABASE postgres {change}")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
