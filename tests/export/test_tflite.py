import numpy as np
import pytest
import torch
from torch import nn

from hot.errors import DeployError, InputError, StorageError
from hot.nn import Part, build, build_block, build_head
from hot.records import Artifact
from hot.space import Shape, load_space

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def _needs_tflite(skip_unless_ci):
    try:
        import ai_edge_quantizer  # noqa: F401
        import litert_torch  # noqa: F401
    except ImportError as error:
        skip_unless_ci(f"TFLite export: {error}")


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """The digits network as fp32 TFLite."""
    from hot.export import export_tflite

    space = load_space("digits", width=0.7)
    return export_tflite(network, space.stem_input, tmp_path_factory.mktemp("tflite") / "a.tflite")


@pytest.fixture(scope="module")
def quantised(exported, samples):
    from hot.export import quantize_tflite

    return quantize_tflite(exported, "int8", samples, exported.path.with_name("q.tflite"))


def graph_of(artifact):
    """Operators as (kind, names of outputs, types of outputs), by the schema's own classes."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(artifact.path.read_bytes(), 0)
    (graph,) = model.subgraphs
    kinds = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    rows = [
        (
            kinds[model.operatorCodes[operator.opcodeIndex].builtinCode],
            [graph.tensors[index].name.decode() for index in operator.outputs],
            [graph.tensors[index].type for index in operator.outputs],
        )
        for operator in graph.operators
    ]
    return model, graph, rows


def torch_outputs(module, samples):
    with torch.no_grad():
        return module(torch.from_numpy(np.concatenate(samples))).numpy()


def test_the_file_gives_what_torch_gives(exported, network, samples):
    from hot.export import TfliteModel

    got = TfliteModel(exported).run_all(samples)
    assert exported.precision == "fp32"
    assert exported.format == "tflite"
    assert exported.input_shape == (1, 1, 16, 16)
    np.testing.assert_allclose(got, torch_outputs(network, samples), atol=1e-5)


def test_the_same_again_is_the_same_file_leaves_the_module_alone_and_says_nothing(
    exported, network, samples, tmp_path, capfd
):
    from hot.export import export_tflite, quantize_tflite

    before = {key: value.clone() for key, value in network.state_dict().items()}
    again = export_tflite(network, Shape(1, 16, 16), tmp_path / "again.tflite")
    quantize_tflite(again, "int8", samples[:2], tmp_path / "q.tflite")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert again.path.read_bytes() == exported.path.read_bytes()
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert network.training is False


def test_every_operator_of_a_network_tells_its_part(exported, quantised):
    from hot.records import part_of

    space = load_space("digits", width=0.7)
    parts = {"stem", "head", *(name for slot in space.slots for name in slot.parts)}
    for artifact in (exported, quantised):
        _, _, rows = graph_of(artifact)
        named = [part_of(names[0]) for _, names, _ in rows]
        assert set(named) == parts
        assert named[0] == "stem"
        assert named[-1] == "head"
        assert [p for i, p in enumerate(named) if i == 0 or named[i - 1] != p] == [
            "stem", *(name for slot in space.slots for name in slot.parts), "head",
        ]  # fmt: skip


def test_quantised_networks_are_integers_from_end_to_end(quantised, exported, network, samples):
    from ai_edge_litert.schema_py_generated import TensorType

    from hot.export import TfliteModel

    _, graph, rows = graph_of(quantised)
    assert {kind for _, _, kinds in rows for kind in kinds} == {TensorType.INT8}
    assert graph.tensors[graph.inputs[0]].type == TensorType.INT8
    kinds = {kind for kind, _, _ in rows}
    assert not kinds & {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE"}
    wanted = torch_outputs(network, samples)
    got = TfliteModel(quantised).run_all(samples)
    noise_db = 10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum())
    assert noise_db > 20
    assert quantised.path.stat().st_size < exported.path.stat().st_size / 2


def test_weights_lie_inside_of_the_flatbuffer(exported, quantised):
    for artifact in (exported, quantised):
        model, _, _ = graph_of(artifact)
        assert all(buffer.offset in (0, 1) for buffer in model.buffers)
        assert sum(len(b.data) for b in model.buffers if b.data is not None) > 10_000


def test_constants_that_lie_outside_of_the_flatbuffer_are_brought_in(exported):
    """As the converter does with large models: Buffer.offset and size, from the file's start."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from hot.export.tflite_file import IDENTIFIER, pack, unpack

    model, _, _ = graph_of(exported)
    index = max(
        range(len(model.buffers)),
        key=lambda i: 0 if model.buffers[i].data is None else len(model.buffers[i].data),
    )
    outside = bytes(model.buffers[index].data)
    model.buffers[index].data = None
    model.buffers[index].size = len(outside)
    for _ in range(3):  # the length changes once more, when the offset is no longer left out
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        content = bytes(builder.Output())
        model.buffers[index].offset = len(content)
    again = schema.ModelT.InitFromPackedBuf(pack(unpack(content + outside)), 0)
    assert bytes(again.buffers[index].data) == outside
    assert again.buffers[index].offset == 0


@pytest.mark.parametrize("name", ["ir", "fused", "sandglass"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_alone_takes_and_gives_maps_without_transposes(name, stride, tmp_path):
    from hot.export import TfliteModel, export_tflite, quantize_tflite

    space = load_space("mobilenetv2", resolution=32)
    choice, layer = next(
        (choice, layer)
        for slot in space.slots[1:]
        for choice in slot.choices
        if choice.key.startswith(name)
        for layer in slot.layers
        if layer.stride == stride
    )
    torch.manual_seed(0)
    module = build_block(choice.block(layer, space.rules), space.rules).eval()
    artifact = export_tflite(module, layer.input, tmp_path / "a.tflite")
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(artifact.input_shape).astype(np.float32) for _ in range(2)]
    made = quantize_tflite(artifact, "int8", inputs, tmp_path / "q.tflite")
    _, _, rows = graph_of(made)
    assert {kind for kind, _, _ in rows} <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "PAD"}
    wanted = torch_outputs(module, inputs[:1]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(TfliteModel(artifact).run(inputs[0]), wanted, atol=1e-4)
    assert np.abs(TfliteModel(made).run(inputs[0]) - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_head_alone_pools_in_integers(tmp_path):
    from hot.export import export_tflite, quantize_tflite

    space = load_space("mobilenetv2", resolution=32)
    module = build_head(space.head, space.rules).eval()
    artifact = export_tflite(module, space.head.input, tmp_path / "a.tflite")
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(artifact.input_shape).astype(np.float32) for _ in range(2)]
    _, _, rows = graph_of(quantize_tflite(artifact, "int8", inputs, tmp_path / "q.tflite"))
    assert "TRANSPOSE" not in {kind for kind, _, _ in rows}


class Backbone(nn.Module):
    """Two convolutions around a part, as in a network that was grafted."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU6(), nn.Conv2d(8, 8, 1))
        self.layer1 = nn.Sequential(Part("layer1_0.0", block))
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        return self.last(self.layer1(self.first(x)).mean((2, 3)))


def test_in_a_grafted_network_parts_are_told_and_all_else_is_the_stem(tmp_path):
    from hot.export import export_tflite
    from hot.records import part_of

    artifact = export_tflite(Backbone().eval(), Shape(3, 8, 8), tmp_path / "a.tflite")
    _, _, rows = graph_of(artifact)
    told = [(kind, part_of(names[0])) for kind, names, _ in rows]
    convolutions = [part for kind, part in told if kind == "CONV_2D"]
    assert convolutions == ["stem", "layer1_0.0", "layer1_0.0"]
    assert told[-1] == ("FULLY_CONNECTED", "stem")


def test_no_two_tensors_have_one_name(exported, quantised):
    for artifact in (exported, quantised):
        _, graph, _ = graph_of(artifact)
        names = [tensor.name for tensor in graph.tensors]
        assert len(names) == len(set(names))


def test_a_module_that_tflite_cannot_say_is_refused(tmp_path):
    from hot.export import export_tflite

    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(DeployError, match="Branch cannot be written as TFLite"):
        export_tflite(Branch(), Shape(3, 8, 8), tmp_path / "a.tflite")
    assert list(tmp_path.iterdir()) == []


def test_sixteen_bit_activations_are_finer_than_eight(exported, quantised, network, samples):
    from hot.export import TfliteModel, quantize_tflite

    wide = quantize_tflite(exported, "int16", samples, exported.path.with_name("w.tflite"))
    wanted = torch_outputs(network, samples)
    errors = [np.abs(TfliteModel(a).run_all(samples) - wanted).max() for a in (wide, quantised)]
    assert errors[0] < errors[1]


def test_samples_that_cannot_be_used_are_refused(exported, samples, tmp_path):
    from hot.export import quantize_tflite

    target = tmp_path / "q.tflite"
    with pytest.raises(InputError, match="needs calibration samples"):
        quantize_tflite(exported, "int8", [], target)
    with pytest.raises(InputError, match="has shape"):
        quantize_tflite(exported, "int8", [samples[0][..., :8]], target)
    with pytest.raises(InputError, match="NaN or infinity"):
        quantize_tflite(exported, "int8", [samples[0] * np.nan], target)
    with pytest.raises(InputError, match="unknown precision 'int4'"):
        quantize_tflite(exported, "int4", samples, target)
    with pytest.raises(InputError, match="percentile"):
        quantize_tflite(exported, "int8", samples, target, "percentile")
    assert not target.exists()


def test_a_file_that_is_no_tflite_is_refused(exported, samples, tmp_path):
    from hot.export import TfliteModel, quantize_tflite

    bad = Artifact(tmp_path / "bad.tflite", "fp32", exported.input_shape)
    with pytest.raises(InputError, match="no model at"):
        quantize_tflite(bad, "int8", samples, tmp_path / "q.tflite")
    bad.path.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match=r"bad\.tflite is damaged"):
        quantize_tflite(bad, "int8", samples, tmp_path / "q.tflite")
    whole = exported.path.read_bytes()
    bad.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((InputError, DeployError), match=r"bad\.tflite"):
        TfliteModel(bad)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    from hot.export import export_tflite

    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        export_tflite(nn.Conv2d(3, 4, 1), Shape(3, 8, 8), tmp_path / "file" / "a.tflite")


@pytest.mark.slow
def test_a_whole_architecture_with_other_choices_is_named_too(tmp_path):
    """Every operator of the MobileNetV2 space at once, five layers deep."""
    from hot.export import export_tflite
    from hot.records import part_of

    space = load_space("mobilenetv2", resolution=32)
    rng = np.random.default_rng(5)
    network = build(space, space.sample(rng)).eval()
    _, _, rows = graph_of(export_tflite(network, space.stem_input, tmp_path / "a.tflite"))
    wanted = ["stem", *(name for slot in space.slots for name in slot.parts), "head"]
    named = [part_of(names[0]) for _, names, _ in rows]
    assert [p for i, p in enumerate(named) if i == 0 or named[i - 1] != p] == wanted
