"""Nodes and initializers of an ONNX file, read from its wire format.

A device has no ``onnx`` package, and three message types are all that a comparison needs:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgerestore.errors import BundleError

TYPES = {
    1: ("fp32", 4),
    2: ("int8", 1),
    3: ("int8", 1),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("fp16", 2),
    11: ("fp64", 8),
    16: ("bf16", 2),
    17: ("fp8", 1),
}
"""``TensorProto.DataType`` as a name and the bytes of one value; signs do not matter here."""

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE = 1, 2, 3, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Node:
    """One operator."""

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Initializer:
    """One constant tensor."""

    name: str
    type: str
    size: int
    """Bytes."""


def read_onnx(path: Path) -> tuple[list[Node], list[Initializer]]:
    """Reads the main graph. Raises BundleError, naming the file, for anything else."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            graphs = [
                span for number, span in _fields(data, (0, len(data))) if number == _MODEL_GRAPH
            ]
            if len(graphs) != 1:
                raise ValueError("no graph")
            parts = list(_fields(data, _span(graphs[0])))
            nodes = [_node(data, _span(x)) for number, x in parts if number == _GRAPH_NODE]
            weights = [
                _tensor(data, _span(x)) for number, x in parts if number == _GRAPH_INITIALIZER
            ]
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise BundleError(f"{path}: not an ONNX graph: {error}") from error
    return nodes, weights


Span = tuple[int, int]
Field = tuple[int, int | Span]
"""A field's number with its value, or with where its bytes are."""


def _fields(data: mmap.mmap, span: Span) -> Iterator[Field]:
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at, end)
            yield number, value
        elif kind == _BYTES:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise ValueError("cut off")
            yield number, (at, at + length)
            at += length
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
    if at != end:
        raise ValueError("cut off")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(data: mmap.mmap, value: int | Span) -> str:
    start, end = _span(value)
    return data[start:end].decode()


def _node(data: mmap.mmap, span: Span) -> Node:
    inputs, outputs, kind, name = [], [], "", ""
    for number, value in _fields(data, span):
        if number == _NODE_INPUT:
            inputs.append(_text(data, value))
        elif number == _NODE_OUTPUT:
            outputs.append(_text(data, value))
        elif number == _NODE_TYPE:
            kind = _text(data, value)
        elif number == _NODE_NAME:
            name = _text(data, value)
    return Node(kind, tuple(inputs), tuple(outputs), name)


def _tensor(data: mmap.mmap, span: Span) -> Initializer:
    dims: list[int] = []
    kind, name = 0, ""
    for number, value in _fields(data, span):
        if number == _TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _packed(data, value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_NAME:
            name = _text(data, value)
    named, width = TYPES.get(kind, (f"type {kind}", 1))
    return Initializer(name, named, math.prod(dims) * width)


def _packed(data: mmap.mmap, span: Span) -> list[int]:
    at, end = span
    values = []
    while at < end:
        value, at = _varint(data, at, end)
        values.append(value)
    return values
