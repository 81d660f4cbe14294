from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.quantization.calibrated import Scheme, collected
from edgerestore.compress.quantization.correction import corrected
from edgerestore.compress.quantization.products import products_of
from edgerestore.compress.quantization.ranges import mean_by_channel
from edgerestore.compress.quantization.steps import int8_weight
from edgerestore.compress.running import run_graph
from edgerestore.recipe import Int8Rules

PAIRS = pytest.mark.parametrize("int16_pairs", [False, True])


def graph(rng: np.random.Generator, second: str = "shared") -> onnx.ModelProto:
    """A convolution in two groups, one weight that is called twice, and tokens times a weight.

    Twice unless ``second`` names another, "own". All biases start as one constant, as the
    export makes equal ones.
    """
    values = {
        "enter": rng.normal(size=(4, 3, 1, 1)),
        "grouped": rng.normal(size=(4, 2, 3, 3)),
        "shared": rng.normal(size=(4, 4, 1, 1)),
        "own": rng.normal(size=(4, 4, 1, 1)),
        "matrix": rng.normal(size=(4, 4)),
        "last": rng.normal(size=(3, 4, 1, 1)),
        "zeros": np.zeros(4),
        "black": np.zeros(3),
    }
    nodes = [
        helper.make_node("Conv", ["input", "enter", "zeros"], ["a"], "enter#1"),
        helper.make_node("Relu", ["a"], ["b"], "relu#1"),
        helper.make_node("Conv", ["b", "grouped", "zeros"], ["c"], "grouped#1", group=2),
        helper.make_node("Conv", ["c", "shared", "zeros"], ["d"], "shared#1"),
        helper.make_node("Conv", ["d", second, "zeros"], ["e"], "shared#2"),
        helper.make_node("Transpose", ["e"], ["f"], "move#1", perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["f", "matrix"], ["g"], "matrix#1"),
        helper.make_node("Add", ["zeros", "g"], ["h"], "add#1"),
        helper.make_node("Transpose", ["h"], ["i"], "move#2", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["i", "last", "black"], ["output"], "last#1"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
        for name, side in (("input", 10), ("output", 8))
    ]
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in values.items()]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rounded(model: onnx.ModelProto, *, int16_pairs: bool) -> onnx.ModelProto:
    """With every weight replaced by what its 8 bits stand for; activations stay in float."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    axes = {p.weight: p.output_axis for p in products_of(made, ())}
    for constant in made.graph.initializer:
        if constant.name in axes:
            values = numpy_helper.to_array(constant)
            kept = int8_weight(values, axes[constant.name], int16_pairs=int16_pairs)
            constant.CopyFrom(
                numpy_helper.from_array(
                    (kept.values * kept.shaped_scales).astype(np.float32), constant.name
                )
            )
    return made


@PAIRS
def test_outputs_are_right_on_average_again(int16_pairs: bool) -> None:
    rng = np.random.default_rng(3)
    # A bias that stands for two calls is right for neither.
    model, crops = graph(rng, "own"), rng.random((4, 3, 10, 10), dtype=np.float32) + 1
    products = products_of(model, ())
    axes = {p.activations[0]: p.channel_axis for p in products}
    means = mean_by_channel(model, axes, crops)
    other = corrected(model, products, means, int16_pairs=int16_pairs)
    onnx.checker.check_model(other, full_check=True)
    expected = run_graph(model, crops)

    def bias(of: onnx.ModelProto) -> float:
        found = run_graph(rounded(of, int16_pairs=int16_pairs), crops) - expected
        return float(np.abs(found.mean(axis=(0, 2, 3))).max())

    # Not to nothing: a pixel of the middle is read more often than one at the edge.
    assert bias(other) < bias(model) / 10


def test_each_weight_has_its_own_bias_and_calls_share_it() -> None:
    rng = np.random.default_rng(3)
    model, crops = graph(rng), rng.random((2, 3, 10, 10), dtype=np.float32)
    products = products_of(model, ())
    means = mean_by_channel(model, {p.activations[0]: p.channel_axis for p in products}, crops)
    kept = [p for p in products if p.module != "enter"]
    nodes = {n.name: n for n in corrected(model, kept, means, int16_pairs=False).graph.node}
    assert nodes["enter#1"].input[2] == "zeros"
    assert nodes["shared#1"].input[2] == nodes["shared#2"].input[2]
    own = {nodes["grouped#1"].input[2], nodes["shared#1"].input[2], nodes["add#1"].input[0]}
    assert len(own | {"zeros"}) == 4
    assert nodes["last#1"].input[2] == "black.of.last"


def test_a_plan_takes_corrected_biases_where_the_scheme_says_so() -> None:
    rng = np.random.default_rng(3)
    model, crops = graph(rng), rng.random((2, 3, 10, 10), dtype=np.float32)
    for wanted in (False, True):
        scheme = Scheme("minmax", 0.0, bias_correction=wanted)
        known = collected(model, crops, (), scheme)
        constants = {c.name for c in known.plan(Int8Rules()).graph.graph.initializer}
        assert ("zeros.of.grouped" in constants) is wanted
        assert "zeros" in {c.name for c in known.graph.graph.initializer}
