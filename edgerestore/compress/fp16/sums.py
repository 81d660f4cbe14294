"""What operators add up inside, where no tensor shows it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgerestore.compress.fp16.graphs import Shapes, attribute

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
REDUCTIONS = {"ReduceMean": "ReduceL1", "ReduceSum": "ReduceL1", "ReduceL2": "ReduceSumSquare"}
"""What is added up on the way to a reduction's result, as an operator with the same axes."""


def sum_nodes(
    node: onnx.NodeProto, floats: set[str], shapes: Shapes, own: Callable[[str], str]
) -> tuple[list[onnx.NodeProto], str]:
    """Nodes that compute a node's internal sums, and the tensor that holds them.

    Of a product the sums of its terms' magnitudes, which no order of summation exceeds; of a
    mean the sum before it is divided; of a norm and of a layer normalisation the squares.
    ``own`` names tensors. The name is empty where an operator adds nothing up.
    """
    result = own(f"sum/{node.name}")
    if node.op_type in PRODUCTS:
        return _magnitudes(node, floats, result), result
    if node.op_type in REDUCTIONS:
        reduction = _renamed(node, result)
        reduction.op_type = REDUCTIONS[node.op_type]
        return [reduction], result
    if node.op_type == "LayerNormalization":
        return _squared_deviations(node, shapes, result), result
    return [], ""


def terms_of(node: onnx.NodeProto, shapes: Shapes) -> int:
    """How many values a reduction, a softmax or a layer normalisation adds up; else 0."""
    shape = shapes.get(node.input[0], ()) if node.input else ()
    if node.op_type == "Softmax":
        axis: int = attribute(node, "axis", -1)
        return shape[axis]
    if node.op_type == "LayerNormalization":
        return prod(shape[attribute(node, "axis", -1) :])
    if node.op_type in REDUCTIONS:
        return prod(shape) // prod(shapes[node.output[0]])
    return 0


def _renamed(node: onnx.NodeProto, result: str) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name, copy.output[0] = result, result
    return copy


def _magnitudes(node: onnx.NodeProto, floats: set[str], result: str) -> list[onnx.NodeProto]:
    product = _renamed(node, result)
    sizes = []
    for slot, name in enumerate(node.input):
        if name in floats:
            product.input[slot] = f"{result}/{slot}"
            sizes.append(helper.make_node("Abs", [name], [product.input[slot]]))
    return [*sizes, product]


def _squared_deviations(node: onnx.NodeProto, shapes: Shapes, result: str) -> list[onnx.NodeProto]:
    rank = len(shapes[node.input[0]])
    axes = np.arange(attribute(node, "axis", -1) % rank, rank)
    held = numpy_helper.from_array(axes, f"{result}/axes")
    return [
        helper.make_node("Constant", [], [f"{result}/axes"], value=held),
        helper.make_node("ReduceMean", [node.input[0], f"{result}/axes"], [f"{result}/mean"]),
        helper.make_node("Sub", [node.input[0], f"{result}/mean"], [f"{result}/deviation"]),
        helper.make_node("ReduceSumSquare", [f"{result}/deviation", f"{result}/axes"], [result]),
    ]
