import json

import pytest

from hot.devices.profile import read_profile


def event(name, ts, dur, cat="Node", **args):
    return {"cat": cat, "name": name, "ts": ts, "dur": dur, "args": args}


def write(tmp_path, runs):
    events = [event("session_initialization", 0, 5, "Session")]
    clock = 10
    for durations in runs:
        start = clock
        for name, duration in durations.items():
            events.append(event(f"{name}_kernel_time", clock, duration, op_name="Conv"))
            clock += duration + 1
        events.append(event("SequentialExecutor::Execute", start, clock - start, "Session"))
        events.append(event("model_run", start - 1, clock - start + 2, "Session"))
        clock += 5
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    return path


def test_times_are_taken_from_the_kept_runs_only_in_ms(tmp_path):
    path = write(tmp_path, [{"/a": 900, "/b": 900}, {"/a": 100, "/b": 20}, {"/a": 110, "/b": 30}])
    first, second = read_profile(path, [1, 2])
    assert (first.name, first.operator) == ("/a", "Conv")
    assert first.latency_ms == pytest.approx(0.105)
    assert second.latency_ms == pytest.approx(0.025)


def test_runs_with_other_nodes_are_no_sequential_session(tmp_path):
    path = write(tmp_path, [{"/a": 1}, {"/b": 1}])
    with pytest.raises(ValueError, match="differ in their nodes"):
        read_profile(path, [0, 1])
