import pytest


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
