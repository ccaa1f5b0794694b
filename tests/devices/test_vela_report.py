"""Reports are written by hand here, as the worker gives them."""

import pytest

from hot.devices.vela_report import to_measurement

CLOCK_HZ = 5e8
ROWS = (
    ("1", "Conv2D", "/stem/conv/CONV_2D", "300000"),
    ("1", "Relu6", "/stem/conv/CONV_2D", "0"),
    ("2", "Conv2D", "/b1/b1.0/conv/CONV_2D", "200000"),
)
MEMORIES = {
    "Sram": {"peak_bytes": 1000, "traffic_bytes": 7000},
    "OffChipFlash": {"peak_bytes": 300, "traffic_bytes": 310},
    "shram": {"peak_bytes": 5, "traffic_bytes": 5},
}


def make_report(rows=ROWS, cpu_ops=0):
    keys = ("source_id", "operator", "name", "op_cycles")
    return {
        "cycles": sum(int(row[3]) for row in rows),
        "npu_cycles": 400000,
        "cpu_ops": cpu_ops,
        "npu_ops": 2,
        "macs": 10**6,
        "weight_bytes": 280,
        "encoded_weight_bytes": 250,
        "read_only_bytes": 300,
        "memories": MEMORIES,
        "rows": [dict(zip(keys, row, strict=True)) for row in rows],
        "source": [{"id": "1", "operator": "Conv2D"}, {"id": "2", "operator": "Softmax"}],
    }


def test_cycles_over_the_clock_are_the_latency():
    result = to_measurement(make_report(), "", CLOCK_HZ, True, "m")
    assert result.latency_ms == 1.0  # 500,000 cycles at 500 MHz
    assert [node.latency_ms for node in result.nodes] == pytest.approx([0.6, 0.0, 0.4])
    assert to_measurement(make_report(), "", CLOCK_HZ, False, "m").nodes == ()


def test_memories_are_counted_but_the_accelerators_own():
    result = to_measurement(make_report(), "", CLOCK_HZ, False, "m")
    assert result.peak_memory_bytes == 1300
    assert result.counters["sram_bytes"] == 1000
    assert result.counters["flash_traffic_bytes"] == 310
    assert result.counters["dram_bytes"] == 0
    assert all(isinstance(value, int) for value in result.counters.values())


def test_operators_of_the_host_are_named_with_velas_reason():
    said = (
        "\nWarning (supported operators) operator: SOFTMAX, ofm: '/head/SOFTMAX'\n"
        "Reason: Operation has tensor with unsupported DataType Float32 (/x)\nmore\n"
    )
    rows = (ROWS[0], ("2", "Passthrough", "/head/SOFTMAX", "0"))
    result = to_measurement(make_report(rows, 1), said, CLOCK_HZ, False, "net.tflite")
    assert result.latency_ms is None
    assert result.failure.startswith("net.tflite: 1 operators would run on the host")
    assert (
        "Softmax '/head/SOFTMAX' (Operation has tensor with unsupported DataType Float32)"
        in result.failure
    )


def test_the_count_of_operators_of_the_host_is_enough_to_refuse():
    result = to_measurement(make_report(cpu_ops=3), "", CLOCK_HZ, False, "net.tflite")
    assert "3 operators would run on the host" in result.failure


def test_many_operators_of_the_host_are_named_in_part():
    rows = tuple(("2", "Passthrough", f"/part{i}", "0") for i in range(9))
    failure = to_measurement(make_report(rows, 9), "", CLOCK_HZ, False, "m").failure
    assert "'/part4' and 4 more" in failure
    assert "/part5" not in failure


def test_a_model_without_work_is_a_failure():
    assert to_measurement(make_report(()), "", CLOCK_HZ, False, "m").failure == (
        "m holds no operator that the NPU runs"
    )
