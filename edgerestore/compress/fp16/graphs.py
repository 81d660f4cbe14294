"""Names and types of a graph's tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import TensorProto

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

Shapes = dict[str, tuple[int, ...]]

NOT_CONVERTED_INPUTS = {"Resize": (1, 2, 3), "Reshape": (1,), "Slice": (1, 2, 3, 4), "Pad": (1, 3)}
"""Inputs that hold sizes, scales or positions and not values of the image."""


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every tensor has its type and shape."""
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def tensors_of(model: onnx.ModelProto, kind: int) -> set[str]:
    """Names of all tensors of an element type, weights too, in an inferred model."""
    graph = model.graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.value_info, *graph.input, *graph.output)
    names = {v.name for v in values if v.type.tensor_type.elem_type == kind}
    return names | {w.name for w in graph.initializer if w.data_type == kind}


def converted_inputs(node: onnx.NodeProto, floats: set[str]) -> dict[int, str]:
    """The inputs of a node that become FP16 with it, by their slot."""
    kept = NOT_CONVERTED_INPUTS.get(node.op_type, ())
    return {
        slot: name for slot, name in enumerate(node.input) if name in floats and slot not in kept
    }


def shapes_of(model: onnx.ModelProto) -> Shapes:
    """Sides of every tensor but weights, in an inferred model of static shapes."""
    graph = model.graph
    return {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """A node's attribute, or what the standard says where it has none."""
    for held in node.attribute:
        if held.name == name:
            return onnx.helper.get_attribute_value(held)
    return default
