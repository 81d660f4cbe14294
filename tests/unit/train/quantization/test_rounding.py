from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.quantization.steps import HALF, MOST, int8_weight, steps_of
from edgerestore.compress.running import open_graph
from edgerestore.train.quantization.rounding import rounded_activation, rounded_weight


def pair(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int = 1) -> np.ndarray:
    """What ONNX Runtime makes of a quantize and dequantize pair."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["integers"], axis=axis),
        helper.make_node("DequantizeLinear", ["integers", "scale", "zero"], ["y"], axis=axis),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in ("x", "y")]
    constants = [numpy_helper.from_array(v, n) for n, v in (("scale", scale), ("zero", zero))]
    graph = helper.make_graph(nodes, "pair", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    found: np.ndarray = open_graph(model, "ORT_DISABLE_ALL").run(None, {"x": x})[0]
    return found


@pytest.mark.parametrize(("symmetric", "most"), [(False, MOST), (True, MOST), (True, HALF)])
@pytest.mark.parametrize(
    ("low", "high"), [(-1.3, 2.9), (0.0, 0.7), (0.2, 0.9), (-4.0, -1.0), (0.0, 0.0)]
)
def test_activations_are_those_of_the_emitted_graph(
    low: float, high: float, symmetric: bool, most: int
) -> None:
    x = np.random.default_rng(0).normal(0, 2, (1, 4, 32, 32)).astype(np.float32)
    steps = steps_of((low, high), symmetric=symmetric, most=most)
    integer = np.int8 if steps.signed else np.uint8
    expected = pair(x, np.array(steps.scale, np.float32), np.array(steps.zero_point, integer))
    bounds = torch.tensor([low, high])
    found = rounded_activation(torch.tensor(x), *bounds, symmetric=symmetric, most=most)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("int16_pairs", [False, True])
@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (7, 12), (4, 1, 3, 3)])
def test_weights_are_those_of_the_emitted_graph(shape: tuple[int, ...], int16_pairs: bool) -> None:
    weight = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    weight[1] = 0
    emitted = int8_weight(weight, axis=0, int16_pairs=int16_pairs)
    zeros = np.zeros(len(emitted.scales), np.int8)
    expected = pair(weight, emitted.scales, zeros, axis=0)
    found = rounded_weight(torch.tensor(weight), int16_pairs=int16_pairs)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_gradient_passes_straight_through() -> None:
    x = torch.linspace(-3, 3, 50, requires_grad=True)
    weight = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_()
    bounds = torch.tensor([-1.0, 2.0])
    rounded = rounded_activation(x, *bounds, symmetric=False)
    assert len(rounded.unique()) < 50
    (rounded * torch.arange(50)).sum().backward()
    (rounded_weight(weight) * torch.arange(24).reshape(4, 6)).sum().backward()
    assert torch.equal(x.grad, torch.arange(50.0))
    assert torch.equal(weight.grad, torch.arange(24.0).reshape(4, 6))
