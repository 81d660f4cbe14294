from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.sensitivity import module_sensitivities
from edgerestore.export.onnx import INPUT, OUTPUT

SCALES = {"coarse": 0.2, "fine": 0.01, "finest": 0.0001}
"""Of the pair before each of three convolutions that repeat their input."""


def chain(*, quantized: bool) -> onnx.ModelProto:
    nodes, weights = [], [numpy_helper.from_array(np.array(0, np.int8), "zero")]
    value = INPUT
    for number, (module, scale) in enumerate(SCALES.items(), 1):
        weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
        weights.append(numpy_helper.from_array(weight, f"{module}.weight"))
        weights.append(numpy_helper.from_array(np.array(scale, np.float32), f"{module}.scale"))
        if quantized:
            pair = [f"{module}.scale", "zero"]
            nodes.append(helper.make_node("QuantizeLinear", [value, *pair], [f"{module}.q"]))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{module}.q", *pair], [f"{module}.dq"])
            )
            value = f"{module}.dq"
        out = OUTPUT if number == len(SCALES) else f"{module}.out"
        nodes.append(
            helper.make_node("Conv", [value, f"{module}.weight"], [out], name=f"{module}#1")
        )
        value = out
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in (INPUT, OUTPUT)
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture
def images() -> np.ndarray:
    # Within what the finest pair can hold: 127 steps of 0.0001.
    return np.random.default_rng(0).uniform(0, 0.0127, (2, 3, 4, 4)).astype(np.float32)


def test_modules_are_ranked_by_what_their_return_to_float_wins(images: np.ndarray) -> None:
    calls: list[tuple[int, int]] = []
    found = module_sensitivities(
        chain(quantized=False),
        chain(quantized=True),
        images,
        lambda done, total: calls.append((done, total)),
    )
    assert found[0].module == "coarse"
    assert found == sorted(found, key=lambda item: -item.gain_db)
    assert {item.module for item in found} == set(SCALES)
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_graph_that_loses_nothing_has_nothing_to_win() -> None:
    """Multiples of every step pass all pairs unchanged."""
    images = np.zeros((1, 3, 4, 4), np.float32)
    found = module_sensitivities(chain(quantized=False), chain(quantized=True), images)
    assert [item.gain_db for item in found] == [0.0, 0.0, 0.0]


def test_quantized_graph_is_restored_not_changed(images: np.ndarray) -> None:
    quantized = chain(quantized=True)
    before = quantized.SerializeToString(deterministic=True)
    module_sensitivities(chain(quantized=False), quantized, images)
    assert quantized.SerializeToString(deterministic=True) == before
