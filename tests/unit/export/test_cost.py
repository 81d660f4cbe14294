from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgerestore.export.cost import costs_of_graph
from edgerestore.networks import MODELS
from edgerestore.networks.ipt_specs import TASKS
from edgerestore.pipeline.catalogue import count

S = [2, 2]


def graph_of(
    nodes: list[onnx.NodeProto], shape: list[int], **weights: tuple[int, ...]
) -> onnx.ModelProto:
    """A graph from ``x`` to ``y`` with shapes inferred; weights are zeros."""
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    made = [numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends, out, made),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def node(operator: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), ["y"], **attributes)


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (
            graph_of([node("Conv", "x", "w", pads=[1] * 4)], [1, 4, 8, 8], w=(6, 4, 3, 3)),
            8 * 8 * 6 * 4 * 9,
        ),
        (
            graph_of([node("Conv", "x", "w", group=2)], [2, 4, 8, 8], w=(6, 2, 3, 3)),
            2 * 6 * 6 * 6 * 2 * 9,
        ),
        (
            graph_of([node("Conv", "x", "w", group=4, strides=S)], [1, 4, 8, 8], w=(4, 1, 2, 2)),
            4 * 4 * 4 * 4,
        ),
        (
            graph_of([node("ConvTranspose", "x", "w", strides=S)], [1, 4, 8, 8], w=(4, 6, 2, 2)),
            8 * 8 * 4 * 6 * 4,
        ),
        (graph_of([node("MatMul", "x", "w")], [2, 5, 7], w=(7, 3)), 2 * 5 * 7 * 3),
        (graph_of([node("MatMul", "x", "w")], [2, 4, 5, 7], w=(2, 4, 7, 5)), 8 * 5 * 7 * 5),
        (graph_of([node("Gemm", "x", "w", "b")], [5, 7], w=(7, 3), b=(3,)), 5 * 7 * 3),
        (graph_of([node("Gemm", "x", "w", transB=1)], [5, 7], w=(3, 7)), 5 * 7 * 3),
        (graph_of([node("Relu", "x")], [5, 7]), 0),
    ],
    ids=[
        "Conv", "grouped Conv", "strided depthwise Conv", "ConvTranspose", "MatMul",
        "batched MatMul", "Gemm", "transposed Gemm", "Relu",
    ],
)  # fmt: skip
def test_macs_equal_a_count_by_hand(model: onnx.ModelProto, macs: int) -> None:
    assert costs_of_graph(model, 0).macs == macs


def test_attention_is_counted_with_its_score_matrices() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"]),
        helper.make_node("MatMul", ["weights", "v"], ["y"]),
    ]
    costs = costs_of_graph(graph_of(nodes, [2, 4, 6, 5], k=(2, 4, 5, 6), v=(2, 4, 6, 5)), 240)
    assert costs.params == 240
    assert costs.macs == 2 * (8 * 6 * 6 * 5)
    assert costs.attention_score_bytes == 4 * 8 * 6 * 6
    assert costs.activations == 2 * (8 * 6 * 6) + 8 * 6 * 5
    assert costs.operators == {"MatMul": 2, "Softmax": 1}
    assert costs.not_counted == {"Softmax": 1}


def test_what_only_moves_values_is_free_and_the_rest_is_named(graph16: onnx.ModelProto) -> None:
    costs = costs_of_graph(graph16, MODELS["esrt_s_x2"].params)
    assert not {"Conv", "MatMul", "Reshape", "Concat", "Slice", "Transpose"} & set(
        costs.not_counted
    )
    assert {"Softmax", "LayerNormalization", "Relu", "Resize"} <= set(costs.not_counted)
    assert sum(costs.operators.values()) == len(graph16.graph.node)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=() if name in ("drt_s", "esrt_s_x2") else pytest.mark.slow)
        for name, spec in MODELS.items()
        if not spec.tasks
    ],
)
def test_listed_costs_are_those_of_the_deployable_form(model: str) -> None:
    assert count(MODELS[model]) == MODELS[model].costs


@pytest.mark.parametrize(
    ("compact", "full", "at_most"),
    [
        ("drt_s", "drt", 20),
        ("drsformer_s", "drsformer", 20),
        *((f"ipt_s_{task}", f"ipt_{task}", 30) for task in TASKS),
    ],
)
def test_compact_variants_keep_to_their_share_of_the_work(
    compact: str, full: str, at_most: int
) -> None:
    small, large = (MODELS[name].costs.macs / MODELS[name].tile ** 2 for name in (compact, full))
    assert small * at_most <= large
