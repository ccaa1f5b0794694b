import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_every_end_point_documents_its_refusals_and_its_examples(shared):
    document = shared.http.get("/openapi.json").json()
    error = {"$ref": "#/components/schemas/ErrorDocument"}
    guarded = {path: row for path, row in document["paths"].items() if path != "/health"}
    for path, row in guarded.items():
        for method, operation in row.items():
            assert operation.get("security"), (path, method)
            for status in ("401", "403", "429", "503"):
                content = operation["responses"][status]["content"]
                assert content["application/json"]["schema"] == error, (path, method, status)
    assert "examples" in document["components"]["schemas"]["JobRequest"]


def test_a_method_that_is_not_there_names_those_that_are(shared):
    answer = shared.http.delete("/v1/jobs")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_pages_and_answers_are_not_sniffed_and_requests_have_a_number(shared):
    for path in ("/", "/v1/server", "/v1/none"):
        headers = shared.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert len(headers["X-Request-Id"]) == 16


@pytest.mark.slow
def test_random_requests_by_the_openapi_document_find_no_fault(in_process, tmp_path):
    pytest.importorskip("schemathesis")
    from hot.server.auth import add_token

    token = add_token(tmp_path / "tokens.yaml", "fuzz", "admin", 1)
    client, _ = in_process(tokens=tmp_path / "tokens.yaml")
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    done = subprocess.run(
        [
            program, "run", f"{client.url}/openapi.json", "-n", "20", "--no-color",
            "--phases", "examples,coverage,fuzzing", "--request-timeout", "60",
            "--exclude-path-regex", "events", "-H", f"Authorization: Bearer {token}",
            "--checks", "all", "--exclude-checks", "positive_data_acceptance",
            "--max-response-time", "60", "--suppress-health-check", "all",
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
