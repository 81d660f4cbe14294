from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgerestore.bundle import probe_psnr_db
from edgerestore.compress.fp16 import fp16_from_fp32
from edgerestore.compress.fp16.graphs import NOT_CONVERTED_INPUTS
from edgerestore.compress.fp16.ranges import LARGEST_HALF
from edgerestore.errors import EdgeRestoreError
from edgerestore.pipeline.source import onnx_run

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LOWEST_PSNR_DB = 60.0
KEPT = ("LayerNormalization", "ReduceMean", "Softmax")
"""Kinds of operators that are kept in FP32 here, so that there are casts in both directions."""


@pytest.fixture(scope="module")
def half16(graph16: onnx.ModelProto) -> onnx.ModelProto:
    kept = [node.name for node in graph16.graph.node if node.op_type in KEPT]
    return fp16_from_fp32(graph16, kept)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    declared = {value.name: value.type.tensor_type.elem_type for value in values}
    return declared | {weight.name: weight.data_type for weight in graph.initializer}


def onnx_run_of(model: onnx.ModelProto, given: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": given})[0]


def product(weight: np.ndarray) -> onnx.ModelProto:
    """``y = x @ weight`` under the node name ``the_product``."""
    ends = [
        helper.make_tensor_value_info(name, FLOAT, [1, size])
        for name, size in zip("xy", weight.shape, strict=True)
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="the_product")]
    weights = [numpy_helper.from_array(weight.astype(np.float32), "w")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_every_tensor_has_one_declared_type(half16: onnx.ModelProto) -> None:
    types = types_of(half16)
    onnx.checker.check_model(half16, full_check=True)
    for node in half16.graph.node:
        assert all(types[name] for name in node.output), node.name
        if node.op_type == "Cast":
            continue
        kept = NOT_CONVERTED_INPUTS.get(node.op_type, ())
        given = [types[n] for slot, n in enumerate(node.input) if n and slot not in kept]
        floats = {t for t in (*given, *(types[n] for n in node.output)) if t in (FLOAT, HALF)}
        assert len(floats) <= 1, node.name


def test_image_goes_in_and_comes_out_in_float32(
    graph16: onnx.ModelProto, half16: onnx.ModelProto
) -> None:
    assert half16.graph.input == graph16.graph.input
    assert half16.graph.output == graph16.graph.output


def test_what_is_kept_stays_in_float32_and_the_rest_does_not(half16: onnx.ModelProto) -> None:
    types = types_of(half16)
    found = set()
    for node in half16.graph.node:
        if node.op_type in KEPT:
            assert types[node.output[0]] == FLOAT, node.name
            found.add(node.op_type)
        elif node.op_type in ("Conv", "MatMul", "Add"):
            assert types[node.output[0]] == HALF, node.name
    assert found == set(KEPT)


def test_no_tensor_is_cast_twice_to_one_type(half16: onnx.ModelProto) -> None:
    casts = [
        (node.input[0], node.attribute[0].i) for node in half16.graph.node if node.op_type == "Cast"
    ]
    assert len(casts) == len(set(casts))


def test_weights_take_half_the_room(graph16: onnx.ModelProto, half16: onnx.ModelProto) -> None:
    assert half16.ByteSize() < 0.75 * graph16.ByteSize()


def test_source_graph_is_not_touched(graph16: onnx.ModelProto) -> None:
    before = graph16.SerializeToString(deterministic=True)
    fp16_from_fp32(graph16)
    assert graph16.SerializeToString(deterministic=True) == before


def test_output_is_near_that_of_float32(
    graph16: onnx.ModelProto, half16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    exact, half = onnx_run(graph16), onnx_run(half16)
    for crop in crops16:
        result = half(crop[None])
        assert result.dtype == np.float32
        assert probe_psnr_db(result, exact(crop[None])) > LOWEST_PSNR_DB


def test_cast_of_the_source_graph_keeps_its_type() -> None:
    ends = [helper.make_tensor_value_info(name, FLOAT, [1, 4]) for name in "xy"]
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], name="i", to=TensorProto.INT64),
        helper.make_node("Cast", ["i"], ["f"], name="f", to=FLOAT),
        helper.make_node("Add", ["f", "x"], ["y"], name="sum"),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 20)]
    half = fp16_from_fp32(helper.make_model(graph, opset_imports=opset, ir_version=9))
    types = types_of(half)
    (add,) = (node for node in half.graph.node if node.op_type == "Add")
    assert (types["i"], types["f"]) == (TensorProto.INT64, FLOAT)
    assert [types[name] for name in add.input] == [HALF, HALF]
    given = np.array([[0.0, 1.5, -2.25, 300.0]], np.float32)
    np.testing.assert_array_equal(onnx_run_of(half, given), np.trunc(given) + given)


def test_weight_beyond_fp16_is_refused_by_name_unless_its_node_stays() -> None:
    weight = np.array([[1.0], [2 * LARGEST_HALF]])
    with pytest.raises(EdgeRestoreError, match="'w' holds values that FP16 cannot"):
        fp16_from_fp32(product(weight))
    kept = fp16_from_fp32(product(weight), ["the_product"])
    assert types_of(kept)["w"] == FLOAT
    assert [node.op_type for node in kept.graph.node] == ["MatMul"]


def test_largest_half_is_held() -> None:
    half = fp16_from_fp32(product(np.array([[-LARGEST_HALF], [0.0]])))
    assert types_of(half)["w_half"] == HALF
