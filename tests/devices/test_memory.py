from torch import nn

from hot.devices.memory import peak_memory_bytes
from hot.export import export_onnx
from hot.records import Artifact
from hot.space import Shape


def test_forty_mebibytes_of_weights_show_up(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10240))
    artifact = export_onnx(module, Shape(1, 32, 32), tmp_path / "big.onnx")
    assert peak_memory_bytes(artifact) > 40 * 2**20


def test_a_model_that_cannot_run_has_no_figure(tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")
    assert peak_memory_bytes(Artifact(path, "fp32", (1, 1, 8, 8))) is None
