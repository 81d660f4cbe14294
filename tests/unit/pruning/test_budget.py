from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from edgerestore.compress.rewrites import deployable
from edgerestore.errors import InputError
from edgerestore.export.cost import costs_of_graph
from edgerestore.export.onnx import onnx_from_module
from edgerestore.networks import build_network, find_model
from edgerestore.networks.layers import MultiHead
from edgerestore.networks.widths import widths_of
from edgerestore.pruning.axes import axes_of
from edgerestore.pruning.budget import Limits, choose
from edgerestore.pruning.rounds import macs_of

TILE = 16
ALL = ("channels", "hidden", "heads", "head-widths")
DRT_S = find_model("drt_s")
TINY = dataclasses.replace(DRT_S, config={**DRT_S.config, "dim": 16, "layers": 2})


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(TINY)


def params(network: nn.Module) -> float:
    return sum(value.numel() for value in network.parameters())


def chosen(network: nn.Module, share: float, limits: Limits) -> nn.Module:
    """Pruned to this share of its values, by importance that is drawn at random."""
    draw = torch.Generator().manual_seed(0)
    rows = {axis: torch.rand(4, axis.units, generator=draw) for axis in axes_of(network, TILE)}
    return choose(network, rows, params, share * params(network), limits)


def test_pruned_network_keeps_the_budget_and_its_graph_is_as_exact_and_as_cheap(
    network: nn.Module,
) -> None:
    pruned = chosen(network, 0.6, Limits(ALL, 0.25))
    assert 0.5 < params(pruned) / params(network) <= 0.6
    rewritten, _ = deployable(pruned)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, result = pruned(image), rewritten(image)
    assert float((result - expected).abs().max() / expected.std()) < 1e-5
    assert costs_of_graph(onnx_from_module(rewritten, TILE), 0).macs == macs_of(pruned, TILE)
    assert macs_of(pruned, TILE) < macs_of(network, TILE)


def test_last_units_to_go_are_those_that_are_enough(network: nn.Module) -> None:
    axes = axes_of(network, TILE)
    rows = {axis: torch.ones(1, axis.units) for axis in axes}
    heads = next(axis for axis in axes if axis.heads)
    # A whole head matters less for what it saves, but a hidden unit or two will do.
    rows[heads][:] = 0.25
    pruned = choose(network, rows, params, params(network) - 30, Limits(("heads", "hidden"), 0.25))
    assert params(network) - 70 < params(pruned) <= params(network) - 30


def test_widths_stay_multiples_and_above_the_least_share(network: nn.Module) -> None:
    pruned = chosen(network, 0.8, Limits(("hidden", "head-widths"), 0.5, step=4))
    hidden = [w for n, (_, w) in widths_of(pruned).layers.items() if n.endswith("fc1")]
    assert set(hidden) == {8, 12} or set(hidden) <= {8, 12, 16}
    for module in pruned.modules():
        if isinstance(module, MultiHead):
            assert module.heads == 2
            assert module.proj.in_features in {8, 16}


def test_only_the_named_parts_go(network: nn.Module) -> None:
    pruned = chosen(network, 0.9, Limits(("heads",), 0.25))
    attentions = [module for module in pruned.modules() if isinstance(module, MultiHead)]
    assert {module.heads for module in attentions} == {1, 2}
    for module in attentions:
        assert module.proj.in_features == 8 * module.heads
        assert module.qkv.out_features == 3 * 8 * module.heads
    layers = widths_of(pruned).layers
    assert {width for name, width in layers.items() if ".fc" in name} == {(16, 16)}


def test_budget_below_what_the_limits_allow_is_refused(network: nn.Module) -> None:
    with pytest.raises(InputError, match="nothing more may go"):
        chosen(network, 0.3, Limits(("heads",), 0.25))


def test_least_important_units_go_first(network: nn.Module) -> None:
    axes = axes_of(network, TILE)
    rows = {axis: torch.ones(1, axis.units) for axis in axes}
    cheap = next(axis for axis in axes if axis.name == "layers.1.block1.fc1")
    rows[cheap][:, 5:12] = 1e-3
    pruned = choose(network, rows, params, 0.99 * params(network), Limits(("hidden",), 0.25))
    kept, dense = (n.get_submodule(cheap.name).weight for n in (pruned, network))
    gone = {unit for unit in range(16) if not any(torch.equal(dense[unit], row) for row in kept)}
    assert gone
    assert gone <= set(range(5, 12))
