import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from hot.errors import InputError
from hot.server import ServerConfig
from hot.server.auth import Tokens, add_token, load_tokens


@pytest.fixture(scope="module")
def guarded(in_process, tmp_path_factory):
    """A server that asks for tokens, and one token of each kind."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    tokens = {role: add_token(path, role, role, 1) for role in ("read", "measure", "admin")}
    tokens["expired"] = add_token(path, "expired", "admin", 1)
    rows = yaml.safe_load(path.read_text())
    rows[-1]["expires"] = "2020-01-01T00:00:00Z"
    path.write_text(yaml.safe_dump(rows))
    client, _ = in_process(tokens=path)
    return path, {name: replace(client, token=token) for name, token in tokens.items()} | {
        "none": client,
        "wrong": replace(client, token="hot_wrong"),
        "odd": replace(client, token="x" * 3000),
    }


def test_a_token_is_kept_as_a_digest_only_in_a_file_of_its_owner(tmp_path):
    path = tmp_path / "tokens.yaml"
    token = add_token(path, "laptop", "measure", 90)
    assert token.startswith("hot_") and token not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert Tokens(path).find(token).role == "measure"
    new = add_token(path, "laptop", "read", None)
    assert Tokens(path).find(token) is None
    assert (Tokens(path).find(new).role, len(load_tokens(path))) == ("read", 1)


def test_roles_include_one_another_and_refusals_tell_why(guarded, make_model):
    _, clients = guarded
    model = make_model(seed=1)
    for name in ("none", "wrong", "odd", "expired"):
        answer = clients[name].http.get("/v1/devices")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token"), name
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert clients[name].put(model).status_code == 401
        assert clients[name].post(model).status_code == 401
        assert clients[name].http.get("/metrics").status_code == 401
        assert clients[name].http.get("/health").status_code == 200
        assert clients[name].http.get("/openapi.json").status_code == 200
    for name in ("read", "measure", "admin"):
        assert clients[name].http.get("/v1/devices").status_code == 200
    refused = clients["read"].put(model)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role")
    assert clients["read"].post(model).status_code == 403
    done = clients["measure"].finish(clients["measure"].submit(model))
    assert clients["read"].get(done)["status"] == "done"
    assert clients["read"].http.post(f"/v1/jobs/{done['id']}/cancel").status_code == 403


def test_a_change_of_the_file_counts_at_once_and_a_broken_file_lets_nobody_in(guarded):
    path, clients = guarded
    before = path.read_text()
    late = replace(clients["none"], token=add_token(path, "late", "read", 1))
    assert late.http.get("/v1/devices").status_code == 200
    path.write_text("- {name: half")
    broken = clients["admin"].http.get("/v1/devices")
    assert (broken.status_code, broken.json()["error"]["code"]) == (503, "tokens_unreadable")
    path.write_text(before)
    assert clients["admin"].http.get("/v1/devices").status_code == 200
    assert late.http.get("/v1/devices").status_code == 401


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("- {name: a, sha256: hot_secret, role: read}", "at 0.sha256"),
        ("- {hot_secret: a}", "at 0"),
        ("- *hot_secret", "in line 1"),
    ],
)
def test_what_stands_in_a_broken_file_is_told_to_nobody(guarded, caplog, text, place):
    path, clients = guarded
    before = path.read_text()
    path.write_text(text)
    answer = clients["admin"].http.get("/v1/devices")
    path.write_text(before)
    assert answer.status_code == 503
    assert "secret" not in answer.text and path.name not in answer.text
    assert f"{path} cannot be used; fault {place}" in caplog.text
    assert "secret" not in caplog.text


def test_requests_count_while_the_file_is_broken(in_process, tmp_path):
    path = tmp_path / "tokens.yaml"
    token = add_token(path, "a", "read", 1)
    client = replace(in_process(tokens=path, rate_per_s=0.1, burst=3.0)[0], token=token)
    path.write_text("[")
    answers = [client.http.get("/v1/devices").status_code for _ in range(5)]
    assert answers == [503, 503, 503, 429, 429]


def test_a_clock_that_goes_back_makes_no_expired_token_good_again(tmp_path):
    path = tmp_path / "tokens.yaml"
    token = add_token(path, "a", "read", 1)
    times = [time.time()]
    tokens = Tokens(path, lambda: times[0])
    assert tokens.find(token) is not None
    times[0] = (datetime.now(UTC) + timedelta(days=2)).timestamp()
    assert tokens.find(token) is None
    times[0] = 0.0
    assert tokens.find(token) is None


@pytest.mark.parametrize(
    "text", ["- {name: a}", "a: b", "- {name: a, sha256: xyz, role: read}", "[", "- 3"]
)
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "tokens.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"tokens\.yaml"):
        Tokens(path)


def test_without_tokens_the_server_keeps_to_this_machine(shared):
    with pytest.raises(InputError, match="this machine alone"):
        ServerConfig(("cpu",), "jobs.db", host="0.0.0.0")
    foreign = shared.http.get("/v1/devices", headers={"Host": "evil.example"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "host")
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://["}):
        page = shared.http.get("/v1/devices", headers=headers)
        assert (page.status_code, page.json()["error"]["code"]) == (403, "host"), headers
