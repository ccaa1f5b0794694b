"""TFLite files read by hand, within their bounds: only what the check of an upload needs.

References:
    FlatBuffers internals, https://flatbuffers.dev/internals; TensorFlow Lite's schema,
    version 3.
"""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np

_IDENTIFIER = b"TFL3"
_MAX_ITEMS = 1_000_000
_MAX_INPUT_ELEMENTS = 2**28
_LAST_BUILTIN = 255  # of the operator codes; 206 are in use, new ones come with every release
_CUSTOM = 32
_FLOATS = {0: np.float32, 1: np.float16, 10: np.float64}


def is_tflite(data: bytes) -> bool:
    """Whether the bytes claim to be a TFLite model."""
    return data[4:8] == _IDENTIFIER


def inspect_tflite(data: bytes) -> tuple[int, ...]:
    """The shape of the one input.

    Raises:
        ValueError: something lies outside the file, or the model is none that can be measured.
    """
    reader = _Reader(data)
    model = reader.table(reader.unsigned(0))
    _refuse_custom(model)
    buffers = model.tables(4)
    graphs = model.tables(2)
    if not graphs:
        raise ValueError("it holds no graph")
    for graph in graphs:
        for tensor in graph.tables(0):
            _check_tensor(tensor, buffers)
    tensors, inputs = graphs[0].tables(0), graphs[0].integers(1)
    if not graphs[0].tables(3):
        raise ValueError("it holds no operators")
    if len(inputs) != 1 or not 0 <= inputs[0] < len(tensors):
        raise ValueError(f"it has {len(inputs)} inputs; a model with one input is measured")
    shape = tuple(tensors[inputs[0]].integers(0))
    if not shape or min(shape) < 1 or prod(shape) > _MAX_INPUT_ELEMENTS:
        raise ValueError(f"its input has the shape {shape}")
    return shape


def _refuse_custom(model: "_Table") -> None:
    for code in model.tables(1):
        builtin = max(code.byte(0), code.integer(3))
        if builtin == _CUSTOM or code.place(1) is not None:
            raise ValueError("it has an operator of no known kind (a custom one)")
        if not 0 <= builtin <= _LAST_BUILTIN:
            raise ValueError(f"it has the unknown operator {builtin}")


def _check_tensor(tensor: "_Table", buffers: list["_Table"]) -> None:
    shape = tensor.integers(0)
    if min([*shape, *tensor.integers(7)], default=1) < 0:
        raise ValueError("a tensor has no fixed shape; export the model with fixed sizes")
    number = tensor.integer(2)
    if not 0 <= number < max(1, len(buffers)):
        raise ValueError(f"a tensor lies in the buffer {number}, which is not there")
    kind = _FLOATS.get(tensor.byte(1))
    if kind is None or not buffers:
        return
    content = _content(buffers[number])
    size = np.dtype(kind).itemsize
    if len(content) >= size:
        values = np.frombuffer(content[: len(content) // size * size], kind)
        if np.isnan(values).any():
            raise ValueError("a weight is NaN")


def _content(buffer: "_Table") -> bytes | memoryview:
    """The bytes of a buffer: inside it, or, in large models, behind the rest of the file."""
    offset, size = buffer.long(1), buffer.long(2)
    if offset > 1:
        return buffer.reader.slice(offset, size)
    return buffer.bytes(0)


@dataclass(frozen=True)
class _Reader:
    """Little-endian numbers at places that are checked."""

    data: bytes

    def slice(self, place: int, size: int) -> memoryview:
        """Bytes of the file.

        Raises:
            ValueError: they are not in it.
        """
        if place < 0 or size < 0 or place + size > len(self.data):
            raise ValueError("it is cut off, or refers to what lies outside of it")
        return memoryview(self.data)[place : place + size]

    def number(self, form: str, place: int) -> int:
        """One number of the `struct` form."""
        value: int = struct.unpack(f"<{form}", self.slice(place, struct.calcsize(form)))[0]
        return value

    def unsigned(self, place: int) -> int:
        """32 bits."""
        return self.number("I", place)

    def table(self, place: int) -> "_Table":
        """The table at a place, its list of fields checked."""
        fields = place - self.number("i", place)
        size = self.number("H", fields)
        if size < 4 or size % 2:
            raise ValueError("a list of fields is damaged")
        self.slice(fields, size)
        return _Table(self, place, fields, size)


@dataclass(frozen=True)
class _Table:
    """One table; a field that is not there is zero or empty."""

    reader: _Reader
    start: int
    fields: int
    size: int

    def place(self, field: int) -> int | None:
        """Where a field lies, or None."""
        entry = 4 + 2 * field
        if entry >= self.size:
            return None
        offset = self.reader.number("H", self.fields + entry)
        return self.start + offset if offset else None

    def byte(self, field: int) -> int:
        """A signed byte."""
        return self._number("b", field)

    def integer(self, field: int) -> int:
        """A signed 32-bit integer."""
        return self._number("i", field)

    def long(self, field: int) -> int:
        """An unsigned 64-bit integer."""
        return self._number("Q", field)

    def _number(self, form: str, field: int) -> int:
        place = self.place(field)
        return 0 if place is None else self.reader.number(form, place)

    def _vector(self, field: int, item: int) -> tuple[int, int]:
        place = self.place(field)
        if place is None:
            return 0, 0
        start = place + self.reader.unsigned(place)
        count = self.reader.unsigned(start)
        self.reader.slice(start + 4, count * item)
        return start + 4, count

    def bytes(self, field: int) -> memoryview:
        """A vector of bytes."""
        start, count = self._vector(field, 1)
        return self.reader.slice(start, count)

    def integers(self, field: int) -> list[int]:
        """A vector of signed 32-bit integers."""
        start, count = self._vector(field, 4)
        return list(struct.unpack(f"<{count}i", self.reader.slice(start, 4 * count)))

    def tables(self, field: int) -> list["_Table"]:
        """A vector of tables."""
        start, count = self._vector(field, 4)
        if count > _MAX_ITEMS:
            raise ValueError("it has too many parts")
        places = (start + 4 * index for index in range(count))
        return [self.reader.table(place + self.reader.unsigned(place)) for place in places]
