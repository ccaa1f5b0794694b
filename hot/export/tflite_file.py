"""TFLite files as objects of their schema, and as something that runs.

The schema's classes and the interpreter come with ai-edge-litert; both are loaded when first used.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hot.errors import DeployError, InputError
from hot.records import Artifact

IDENTIFIER = b"TFL3"  # at byte 4 of every TFLite file
_MAP = 4


def schema() -> Any:
    """The classes of the TFLite schema.

    Raises:
        DeployError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise DeployError(
            f"TFLite files need ai-edge-litert ({error}): pip install 'hot[litert]'"
        ) from error
    return schema_py_generated


@functools.cache
def operator_names() -> dict[int, str]:
    """The name of every built-in operator by its code, for example 3: CONV_2D."""
    codes = vars(schema().BuiltinOperator)
    return {code: name for name, code in codes.items() if not name.startswith("_")}


def unpack(content: bytes) -> Any:
    """The `ModelT` of a trusted file's bytes, its constants moved inside where they are outside."""
    model = schema().ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset:  # of large models: behind the flatbuffer
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def pack(model: Any) -> bytes:
    """The bytes of a `ModelT`, all constants inside of the flatbuffer.

    Raises:
        DeployError: they are too large for it.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    try:
        builder.Finish(model.Pack(builder), IDENTIFIER)
    except flatbuffers.builder.BuilderSizeError as error:
        raise DeployError("the model is too large for one TFLite file (2 GiB)") from error
    return bytes(builder.Output())


class TfliteModel:
    """A TFLite artifact, ready to run on this machine's processor.

    This is the one place that knows how the file's input differs from the artifact's: the file
    takes maps with channels last, and integers where it is quantised.
    """

    def __init__(self, artifact: Artifact, keeps_tensors: bool = False) -> None:
        """Open the artifact, which is trusted: it was made by `hot.export`.

        Args:
            keeps_tensors: keep what every operator writes, for `tensor`; takes kernels that are
                many times slower.

        Raises:
            InputError: there is no such file, or it is no TFLite file.
            DeployError: the interpreter cannot run it, or is not installed.
        """
        self._content = read_tflite(artifact.path)
        self._interpreter = _interpreter(self._content, artifact, keeps_tensors)
        self._details = {row["name"]: row for row in self._interpreter.get_tensor_details()}
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()

    def run(self, image: np.ndarray) -> np.ndarray:
        """Outputs (1, ...) float32 for one normalised image (1, C, H, W) float32."""
        self._interpreter.set_tensor(self._input["index"], self._quantised(channels_last(image)))
        self._interpreter.invoke()
        return _real(self._interpreter.get_tensor(self._output["index"]), self._output)

    def run_all(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Outputs (N, ...) float32 for normalised images, each (1, C, H, W) float32."""
        return np.concatenate([self.run(image) for image in images])

    def graph(self) -> dict[str, tuple[str, ...]]:
        """Of every tensor that an operator writes, in graph order, the tensors it is made from."""
        graph = unpack(self._content).subgraphs[0]
        names = [tensor.name.decode() for tensor in graph.tensors]
        return {
            names[index]: tuple(names[source] for source in operator.inputs if source >= 0)
            for operator in graph.operators
            for index in operator.outputs
        }

    def tensor(self, name: str) -> np.ndarray:
        """What the last run wrote to a tensor, as float32."""
        detail = self._details[name]
        return _real(self._interpreter.get_tensor(detail["index"]), detail)

    def _quantised(self, values: np.ndarray) -> np.ndarray:
        scale, zero = self._input["quantization"]
        if not scale:
            return values
        limits = np.iinfo(self._input["dtype"])
        rounded = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
        return rounded.astype(self._input["dtype"])


def channels_last(image: np.ndarray) -> np.ndarray:
    """A map (1, C, H, W) as (1, H, W, C); anything else as it is."""
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)) if image.ndim == _MAP else image


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    if not scale:
        return values
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def read_tflite(path: Path) -> bytes:
    """The bytes of a TFLite file.

    Raises:
        InputError: there is none, or it is something else.
    """
    if not path.is_file():
        raise InputError(f"no model at {path}; export it first")
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise InputError(f"the model {path} is damaged (no TFLite file); export it again")
    return content


def _interpreter(content: bytes, artifact: Artifact, keeps_tensors: bool) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise DeployError(
            f"TFLite files need ai-edge-litert ({error}): pip install 'hot[litert]'"
        ) from error
    try:
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=keeps_tensors,
            experimental_op_resolver_type=(
                OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                if keeps_tensors
                else OpResolverType.AUTO
            ),
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DeployError(f"LiteRT cannot run {artifact.path}: {reason}") from error
    return interpreter
