"""What a graph costs, counted on the graph itself, attention products included."""

from __future__ import annotations

import numpy as np
import onnx

from edgerestore.bundle import Costs
from edgerestore.export.onnx import operator_counts

SCORE_BYTES = 4
"""Scores are counted as float32."""

COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators whose multiply-accumulates are counted; a fused pair counts as one."""

FREE = (
    "Cast", "Concat", "Constant", "DepthToSpace", "DequantizeLinear", "Expand", "Gather",
    "Identity", "Pad", "QuantizeLinear", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
"""Operators that only move or retype values."""


def costs_of_graph(model: onnx.ModelProto, params: int) -> Costs:
    """Counts an FP32 graph with known shapes.

    ``not_counted`` names every operator that computes and whose work is in no figure:
    element-wise ones, normalisation, softmax, resizing.
    """
    shapes = _shapes(model)
    operators = operator_counts(model)
    outputs = [name for node in model.graph.node for name in node.output]
    return Costs(
        params=params,
        macs=sum(_macs(node, shapes) for node in model.graph.node),
        activations=sum(_size(shapes, name) for name in outputs),
        attention_score_bytes=_score_bytes(model, shapes),
        not_counted={k: n for k, n in operators.items() if k not in COUNTED + FREE},
        operators=operators,
    )


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    for weight in graph.initializer:
        shapes[weight.name] = tuple(weight.dims)
    return shapes


def _size(shapes: dict[str, tuple[int, ...]], name: str) -> int:
    return int(np.prod(shapes[name])) if name in shapes else 0


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == "Conv":
        per_output = int(np.prod(shapes[node.input[1]][1:]))
        return _size(shapes, node.output[0]) * per_output
    if node.op_type == "ConvTranspose":
        per_input = int(np.prod(shapes[node.input[1]][1:]))
        return _size(shapes, node.input[0]) * per_input
    if node.op_type in ("MatMul", "Gemm"):
        return _size(shapes, node.output[0]) * shapes[node.input[0]][-1]
    return 0


def _score_bytes(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Bytes of all tensors that a softmax reads."""
    scores = {node.input[0] for node in model.graph.node if node.op_type == "Softmax"}
    return SCORE_BYTES * sum(_size(shapes, name) for name in scores)
