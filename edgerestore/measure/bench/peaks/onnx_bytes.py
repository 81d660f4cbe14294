"""ONNX files of a few nodes, written in their wire format: a device has no ``onnx`` package.

The messages are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, encoded as
https://protobuf.dev/programming-guides/encoding/ says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

IR_VERSION, OPSET = 9, 20
TYPES = {"float32": 1, "uint8": 2, "int8": 3}
"""``TensorProto.DataType`` by numpy's name."""

_VARINT, _BYTES = 0, 2


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, without attributes."""

    type: str
    inputs: tuple[str, ...]
    output: str


def onnx_bytes(
    nodes: Sequence[Node], constants: Mapping[str, NDArray[Any]], shape: Sequence[int]
) -> bytes:
    """A model from a float32 ``input`` to a float32 ``output``, both of one shape."""
    graph = b"".join(
        [
            *(_field(1, _node(node)) for node in nodes),
            _field(2, b"graph"),
            *(_field(5, _constant(name, value)) for name, value in constants.items()),
            _field(11, _value("input", shape)),
            _field(12, _value("output", shape)),
        ]
    )
    return _number(1, IR_VERSION) + _field(7, graph) + _field(8, _number(2, OPSET))


def _node(node: Node) -> bytes:
    inputs = b"".join(_field(1, name.encode()) for name in node.inputs)
    return inputs + _field(2, node.output.encode()) + _field(4, node.type.encode())


def _constant(name: str, value: NDArray[Any]) -> bytes:
    dims = b"".join(_number(1, side) for side in value.shape)
    kind = _number(2, TYPES[value.dtype.name])
    return dims + kind + _field(8, name.encode()) + _field(9, value.tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _number(1, side)) for side in shape)
    tensor = _number(1, TYPES["float32"]) + _field(2, dims)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
