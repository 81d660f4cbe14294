from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import deployable, find_rewrite
from edgerestore.compress.rewrites.sparse import SortedAttention
from edgerestore.export.onnx import onnx_from_module, operator_counts
from edgerestore.networks import drsformer, drt
from edgerestore.networks.drsformer import TopKAttention
from edgerestore.pictures import read_rgb

TOLERANCE = 1e-5
"""Largest difference over the output's standard deviation, in float32; 5e-6 is measured."""
TOLERANCE_IN_FLOAT64 = 1e-12
"""What only an exact rewrite reaches; 2e-14 is measured."""

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "drt": lambda: drt.build(layers=2),
    "drt, patch 2": lambda: drt.build(layers=1, dim=32, window=4, patch=2, inverse=True),
    "drsformer, odd hidden": lambda: drsformer.build(
        dim=24, blocks=(1, 1, 1, 1), heads=(1, 2, 2, 4)
    ),
    "drsformer, even hidden": lambda: drsformer.build(
        dim=16, blocks=(1, 1, 1, 1), heads=(1, 1, 2, 4), expansion=2.0, mefc=False
    ),
}
REWRITES = {
    "drt": ("fold_norms", "fold_statistics", "enter_windows"),
    "drsformer": ("fold_norms", "sort_scores_once", "pair_depthwise", "join_experts"),
}
CASES = [
    (network, rewrite)
    for network in NETWORKS
    for rewrite in (*REWRITES[network.partition(",")[0]], "all")
    if (network, rewrite) != ("drsformer, even hidden", "join_experts")
]


def random(name: str) -> nn.Module:
    """A network whose every tensor is random, gains and biases included."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().requires_grad_(False)
    for value in network.parameters():
        value += 0.05 * torch.randn_like(value)
    return network


@pytest.fixture(scope="module")
def photograph(evaluation_folder: Path) -> Tensor:
    """Two crops of shipped pictures: 2 x 3 x 56 x 112 in [0, 1], a size that all networks take."""
    crops = []
    for name in ("friends-dog", "rocket-night"):
        image = read_rgb(evaluation_folder / "HR" / f"{name}.png")
        crops.append(image[60:116, 20:132].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(crops).astype(np.float64) / 255)


def largest_error(network: nn.Module, other: nn.Module, image: Tensor) -> float:
    with torch.inference_mode():
        expected, result = network(image), other(image)
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.std())


@pytest.mark.parametrize(("name", "rewrite"), CASES)
def test_rewrite_computes_the_same_on_photographs(
    name: str, rewrite: str, photograph: Tensor
) -> None:
    network = random(name)
    if name.startswith("drsformer"):
        # In float64 torch has no fast depthwise convolution.
        photograph = photograph[:, :, :16, :24]
    names = () if rewrite == "all" else (rewrite,)
    rewritten, changed = deployable(network, names)
    assert any(changed.values())
    assert largest_error(network, rewritten, photograph.float()) <= TOLERANCE
    double = copy.deepcopy(network).double()
    rewritten, _ = deployable(double, names)
    assert largest_error(double, rewritten, photograph) <= TOLERANCE_IN_FLOAT64


@pytest.mark.parametrize("name", ["drsformer, odd hidden", "drsformer, even hidden"])
def test_equal_scores_are_kept_and_dropped_as_by_the_reference(
    name: str, photograph: Tensor
) -> None:
    network = random(name)
    # Channels of k that are zero have scores of exactly zero, in every row, and one after
    # the other falls below the k-th largest.
    for module in network.modules():
        if isinstance(module, TopKAttention):
            channels = module.qkv.in_channels
            module.depthwise.weight[channels : 2 * channels : 2] = 0
    sorted_once, changed = deployable(network, ("sort_scores_once",))
    assert changed["sort_scores_once"] > 0
    assert largest_error(network, sorted_once, photograph[:, :, :32, :40].float()) <= TOLERANCE


def test_reference_keeps_as_many_scores_as_it_says_whatever_is_equal() -> None:
    attention = TopKAttention(8, 1).requires_grad_(False)
    attention.depthwise.weight[8:16] = 0
    once = SortedAttention(copy.deepcopy(attention))
    equal = torch.zeros(1, 1, 8, 8)
    combined = once._combined(equal)
    expected = sum(0.2 / kept * (torch.arange(8) < kept) for kept in attention.kept)
    assert torch.allclose(combined, expected.expand(1, 1, 8, 8))


def test_dead_channels_and_black_pictures_stay_finite() -> None:
    network = random("drsformer, even hidden")
    for module in network.modules():
        if isinstance(module, TopKAttention):
            module.qkv.weight[:4] = 0
    rewritten, _ = deployable(network)
    assert torch.isfinite(rewritten(torch.zeros(1, 3, 32, 32))).all()


@pytest.fixture(scope="module")
def drt_graph() -> onnx.ModelProto:
    rewritten, _ = deployable(random("drt"))
    return onnx_from_module(rewritten, 28)


def test_recursion_stores_every_weight_once(drt_graph: onnx.ModelProto) -> None:
    params = sum(p.numel() for p in random("drt").parameters())
    stored = sum(len(weight.raw_data) for weight in drt_graph.graph.initializer)
    assert stored <= 1.02 * 4 * params
    calls = [node for node in drt_graph.graph.node if node.name.startswith("layers.0.block1.fc1#")]
    assert len(calls) == 3
    assert len({node.input[1] for node in calls}) == 1


def test_windows_are_entered_once_a_layer_and_biases_looked_up_once(
    drt_graph: onnx.ModelProto,
) -> None:
    counts = operator_counts(drt_graph)
    layers, calls = 2, 2 * 3 * 2
    # Two of attention's transposes a tensor and call, two layouts a layer.
    assert counts["Transpose"] == 4 * calls + 4 * layers
    assert counts["Gather"] == 2 * layers
    assert counts["LayerNormalization"] == 2 * calls


def test_sparse_attention_has_no_scatter_and_one_order_of_its_scores() -> None:
    rewritten, changed = deployable(random("drsformer, odd hidden"))
    counts = operator_counts(onnx_from_module(rewritten, 16))
    blocks = changed["sort_scores_once"]
    assert not {"ScatterElements", "ScatterND", "Shape", "NonZero"} & set(counts)
    assert counts["TopK"] == 2 * blocks
    assert counts["LayerNormalization"] == 2 * blocks
    assert all(
        find_rewrite(name)(rewritten) == 0 for name in ("sort_scores_once", "pair_depthwise")
    )
