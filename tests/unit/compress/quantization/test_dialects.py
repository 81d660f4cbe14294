"""Small graphs on which a runtime's own INT8 rewriting could go wrong: both dialects agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.quantization.calibrated import Scheme, collected
from edgerestore.compress.quantization.fake_quantize import openvino_from_plan
from edgerestore.compress.quantization.products import sources_of
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.export.onnx import INPUT, OPSET, OUTPUT
from edgerestore.pipeline.source import onnx_run
from edgerestore.recipe import Int8Rules, Target, read_toml
from edgerestore.shipped import toml_folder

SCHEME = Scheme("minmax", 0.0)
SIDE = 12
LEAST_DB = 30.0
"""Of a quantized graph against FP32, relative to its output's deviation."""
TARGETS = [read_toml(path, Target) for path in sorted(toml_folder("targets").glob("*.toml"))]
RULES = dict.fromkeys(
    # Whatever the target, it is a CPU that runs them here, perhaps one without VNNI.
    msgspec.structs.replace(rules, int16_pairs=True)
    for rules in (
        Int8Rules(symmetric=True),
        *(target.int8 for target in TARGETS if target.backend == "openvino"),
    )
)


class Drawing:
    """A graph under construction; every call returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], name=f"{out}#1", **attributes))
        return out

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self._rng.normal(0, 0.3, shape).astype(np.float32))

    def conv(self, x: str, taken: int, given: int = 8, side: int = 3) -> str:
        weight = self.weight(given, taken, side, side)
        return self.node("Conv", x, weight, kernel_shape=[side, side], pads=[side // 2] * 4)

    def finished(self, result: str) -> onnx.ModelProto:
        self.node("Identity", result)
        self.nodes[-1].output[0] = OUTPUT
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in ((INPUT, [1, 3, SIDE, SIDE]), (OUTPUT, None))
        ]
        graph = helper.make_graph(self.nodes, "small", ends[:1], ends[1:], self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opset, ir_version=9)
        return onnx.shape_inference.infer_shapes(made)


def behind_a_concatenation(d: Drawing) -> str:
    """Read from quantize and dequantize pairs, OpenVINO 2026.4 gives whole numbers here.

    It moves the rounding before the concatenation; the cast to int8 that belongs to a signed
    pair stays behind it and then meets values that are no longer counted in steps.
    """
    x = d.conv(INPUT, 3)
    both = d.node("Concat", d.node("Relu", x), d.node("Tanh", x), axis=1)
    return d.conv(both, 16)


def behind_two_products(d: Drawing) -> str:
    return d.conv(d.node("Concat", d.conv(INPUT, 3), d.conv(INPUT, 3), axis=1), 16)


def read_twice(d: Drawing) -> str:
    x = d.node("Relu", d.conv(INPUT, 3))
    return d.node("Add", d.conv(x, 8), d.conv(x, 8, side=1))


def behind_an_addition(d: Drawing) -> str:
    x = d.conv(INPUT, 3)
    return d.conv(d.node("Add", x, d.conv(d.node("Relu", x), 8)), 8)


def behind_pooling_and_resizing(d: Drawing) -> str:
    x = d.node("AveragePool", d.conv(INPUT, 3), kernel_shape=[2, 2], strides=[2, 2])
    scales = d.constant(np.array([1, 1, 2, 2], np.float32))
    large = d.node("Resize", d.conv(x, 8), "", scales, mode="linear")
    return d.conv(large, 8)


def behind_a_gate(d: Drawing) -> str:
    x = d.conv(INPUT, 3)
    gate = d.node("Sigmoid", d.conv(d.node("GlobalAveragePool", x), 8, side=1))
    return d.conv(d.node("Mul", x, gate), 8)


def behind_a_slope(d: Drawing) -> str:
    slope = d.constant(np.full((8, 1, 1), 0.2, np.float32))
    return d.conv(d.node("PRelu", d.conv(INPUT, 3), slope), 8)


def behind_a_shuffle(d: Drawing) -> str:
    return d.conv(d.node("DepthToSpace", d.conv(INPUT, 3), blocksize=2), 2)


def attention(d: Drawing) -> str:
    shape = d.constant(np.array([1, 8, SIDE * SIDE]))
    tokens = d.node("Transpose", d.node("Reshape", d.conv(INPUT, 3), shape), perm=[0, 2, 1])
    q, k, v = (d.node("MatMul", tokens, d.weight(8, 8)) for _ in range(3))
    scores = d.node("Softmax", d.node("MatMul", q, d.node("Transpose", k, perm=[0, 2, 1])))
    return d.node("MatMul", scores, v)


def of_large_sums(d: Drawing) -> str:
    """Kernels for CPUs without VNNI add two products in 16 bits, which these would overflow."""
    return d.node("Conv", INPUT, d.constant(np.full((8, 3, 1, 1), 0.3, np.float32)))


GRAPHS = (
    behind_a_concatenation,
    behind_two_products,
    read_twice,
    behind_an_addition,
    behind_pooling_and_resizing,
    behind_a_gate,
    behind_a_slope,
    behind_a_shuffle,
    attention,
    of_large_sums,
)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).random((4, 3, SIDE, SIDE), np.float32)


def relative_db(result: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(expected.var() / np.square(result - expected).mean()))


def openvino_run(model: object) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda crop: np.array(compiled([crop])[0])


@pytest.mark.needs_backend("openvino")
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: f"symmetric-{rules.symmetric}")
@pytest.mark.parametrize("draw", GRAPHS, ids=lambda draw: draw.__name__)
def test_openvino_computes_what_the_pairs_say(
    draw: Callable[[Drawing], str], rules: Int8Rules, crops: np.ndarray, tmp_path: Path
) -> None:
    drawing = Drawing()
    graph = drawing.finished(draw(drawing))
    plan = collected(graph, crops, (), SCHEME).plan(rules)
    expected = outputs(onnx_run(graph), crops)
    paired = outputs(onnx_run(qdq_from_plan(plan)), crops)
    faked = outputs(openvino_run(openvino_from_plan(plan, tmp_path)), crops)
    assert relative_db(paired, expected) > LEAST_DB
    assert relative_db(faked, expected) > LEAST_DB


def outputs(run: Callable[[np.ndarray], np.ndarray], crops: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([run(crop[None]) for crop in crops])


@pytest.mark.parametrize("symmetric", [False, True])
def test_second_factors_leave_room_where_pairs_are_added_in_16_bits(
    symmetric: bool, crops: np.ndarray
) -> None:
    drawing = Drawing()
    known = collected(drawing.finished(attention(drawing)), crops, (), SCHEME)
    scores, out = (product for product in known.products if product.weight is None)
    rules = Int8Rules(symmetric=symmetric, symmetric_factors=True)
    plain = known.plan(rules)
    room = known.plan(msgspec.structs.replace(rules, int16_pairs=True))
    k = sources_of(known.graph, [scores])[scores.node, 1].tensor
    softmax, v = out.activations
    coarser = {t: room.steps[t].scale / plain.steps[t].scale for t in plain.steps}
    assert coarser.pop(k) == pytest.approx(127 / 64)
    largest = round(127 / coarser.pop(v))
    # Two of a softmax sum up to 1 at most; kernels add 128 to signed integers.
    two = min(510, 1 / plain.steps[softmax].scale + 1 + (256 if symmetric else 0))
    assert largest * two < 2**15 <= (largest + 1) * two
    assert set(coarser.values()) == {1.0}
