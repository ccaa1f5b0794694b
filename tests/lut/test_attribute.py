import numpy as np
import pytest

from hot.devices import Settings, make_device
from hot.lut.artifacts import make_artifact
from hot.lut.attribute import attribute
from hot.lut.plan import network_job, unique_work
from hot.records import NodeTime
from hot.space import load_space

PARTS = (("stem", "stem"), ("b1.0", "w1"), ("b2.0", "w2"), ("head", "head"))


def test_times_and_nodes_are_summed_by_part():
    nodes = [
        NodeTime("/stem/conv/Conv_nchwc", "Conv", 1.0),
        NodeTime("/b1/b1.0/convs/convs.0/Conv", "Conv", 2.0),
        NodeTime("/b1/b1.0/Add", "Add", 0.5),
        NodeTime("/head/linear/Gemm", "Gemm", 4.0),
    ]
    rows, unnamed = attribute(nodes, PARTS)
    assert [(row.latency_ms, row.n_nodes) for row in rows] == [(1, 1), (2.5, 2), (0, 0), (4, 1)]
    assert [row.work_key for row in rows] == ["stem", "w1", "w2", "head"]
    assert unnamed == 0


def test_a_node_without_a_part_counts_to_the_neighbour_it_serves_and_is_reported():
    nodes = [
        NodeTime("Transpose", "Transpose", 1.0),
        NodeTime("ReorderInput_token_3", "ReorderInput", 2.0),
        NodeTime("/b1/b1.0/convs/Conv", "Conv", 4.0),
        NodeTime("ReorderOutput", "ReorderOutput", 2.0),
        NodeTime("/head/linear/Gemm", "Gemm", 1.0),
    ]
    rows, unnamed = attribute(nodes, PARTS)
    assert [row.latency_ms for row in rows] == [1, 8, 0, 1]
    assert [row.n_nodes for row in rows] == [1, 3, 0, 1]
    assert unnamed == pytest.approx(0.5)


def test_no_time_is_lost_whatever_the_names():
    rng = np.random.default_rng(0)
    names = ["", "x", "/", "/b1/b1.0/", "/b9/b9.0/Conv", "Q_/b2/b2.0/Conv_quant", "/stem/a"]
    for _ in range(50):
        nodes = [NodeTime(str(rng.choice(names)), "", float(rng.random())) for _ in range(12)]
        rows, _ = attribute(nodes, PARTS)
        assert sum(row.latency_ms for row in rows) == pytest.approx(
            sum(node.latency_ms for node in nodes)
        )
        assert sum(row.n_nodes for row in rows) == 12


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_optimised_graph_of_a_real_network_keeps_its_names(precision, tmp_path):
    space = load_space("digits")
    job = network_job(space, space.original)
    artifact = make_artifact(space, job, unique_work(space), precision, tmp_path, 0)
    settings = Settings(repetitions=2, per_node=True, memory=False)
    measured = make_device("cpu").measure(artifact, settings)
    rows, unnamed = attribute(measured.nodes, job.parts)
    assert all(row.n_nodes > 0 for row in rows)
    assert unnamed < 0.15
