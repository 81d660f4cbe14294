from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgerestore.compress.quantization.products import products_of
from edgerestore.compress.quantization.smoothing import groups_of, smoothed
from edgerestore.compress.running import run_graph
from edgerestore.export.onnx import onnx_from_module

UNEVEN = 50.0
"""What one channel is larger by than the others."""


class Matrix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8) / 3)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Twice(nn.Module):
    """Two products read one normalisation, one weight serves two calls, a convolution follows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter = nn.Conv2d(3, 8, 1)
        self.norm = nn.LayerNorm(8)
        self.a = Matrix()
        self.b = Matrix()
        self.leave = nn.Conv2d(8, 3, 3, padding=1)
        with torch.no_grad():
            self.norm.weight[3] = UNEVEN
            self.enter.weight[5] *= UNEVEN

    def forward(self, image: Tensor) -> Tensor:
        x = self.enter(image).permute(0, 2, 3, 1)
        for _ in range(2):
            normed = self.norm(x)
            x = x + torch.relu(self.a(normed)) * self.b(normed)
        return self.leave(x.permute(0, 3, 1, 2) + 1)


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return onnx_from_module(Twice().eval().requires_grad_(False), 16)


def weight(model: onnx.ModelProto, name: str) -> np.ndarray:
    found = next(w for w in model.graph.initializer if w.name == name)
    return numpy_helper.to_array(found)


def test_what_shares_a_tensor_or_a_weight_is_one_group(graph: onnx.ModelProto) -> None:
    groups = {tuple(sorted(g.weights)): g for g in groups_of(products_of(graph, ()))}
    shared = next(group for weights, group in groups.items() if "a.weight" in weights)
    assert len(shared.weights) == 2
    assert len(shared.tensors) == 2
    assert {len(g.weights) for g in groups.values() if g is not shared} == {1}


@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_function_stays_the_same(
    graph: onnx.ModelProto, crops16: np.ndarray, strength: float
) -> None:
    before = run_graph(graph, crops16)
    after = run_graph(smoothed(graph, (), crops16, strength), crops16)
    assert np.abs(after - before).max() < 1e-4 * before.std()


def test_factor_of_a_normalisation_costs_no_operator(
    graph: onnx.ModelProto, crops16: np.ndarray
) -> None:
    even = smoothed(graph, ("enter", "leave"), crops16, 0.5)
    assert [n.op_type for n in even.graph.node] == [n.op_type for n in graph.graph.node]
    norm = next(n for n in even.graph.node if n.op_type == "LayerNormalization")
    gain = np.abs(weight(even, norm.input[1]))
    assert gain.max() / np.median(gain) < UNEVEN / 3


def test_kept_modules_are_left_alone(graph: onnx.ModelProto, crops16: np.ndarray) -> None:
    even = smoothed(graph, ("leave",), crops16, 0.5)
    assert np.array_equal(weight(even, "leave.weight"), weight(graph, "leave.weight"))
    assert not np.array_equal(weight(even, "a.weight"), weight(graph, "a.weight"))


def test_graph_given_is_not_changed(graph: onnx.ModelProto, crops16: np.ndarray) -> None:
    before = graph.SerializeToString(deterministic=True)
    smoothed(graph, (), crops16, 0.5)
    assert graph.SerializeToString(deterministic=True) == before
