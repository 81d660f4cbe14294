from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import Tensor, nn

from edgerestore.networks import build_network, find_model
from edgerestore.pruning.axes import axes_of
from edgerestore.pruning.importance import contributions_of, importance

SIDE = 16
ESRT_S = find_model("esrt_s_x2")
UNIT = "blocks.0.low.unit1"


def loss(network: nn.Module, target: Tensor) -> Tensor:
    return (
        network(torch.linspace(0, 1, 3 * SIDE * SIDE).reshape(1, 3, SIDE, SIDE)) * target
    ).mean()


def test_contribution_is_the_slope_of_the_loss_over_all_calls_of_a_recursion() -> None:
    torch.manual_seed(0)
    network = build_network(ESRT_S).double()
    axes = axes_of(build_network(ESRT_S), SIDE)
    axis = next(axis for axis in axes if axis.name == f"{UNIT}.squeeze")
    targets = [torch.randn(1, 3, 2 * SIDE, 2 * SIDE, dtype=torch.float64) for _ in range(2)]
    torch.set_default_dtype(torch.float64)
    try:
        losses = [functools.partial(loss, target=target) for target in targets]
        found = contributions_of(network, [axis], losses)[axis]
        for row, value in enumerate(losses):
            for unit in (0, 5):
                moved = []
                for factor in (1 - 1e-4, 1 + 1e-4):
                    scaled = copy.deepcopy(network)
                    # One tensor, read by five calls.
                    scaled.get_submodule(f"{UNIT}.expand").weight.data[:, unit] *= factor
                    moved.append(value(scaled).item())
                slope = (moved[1] - moved[0]) / 2e-4
                assert found[row, unit] == pytest.approx(slope, rel=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_units_that_go_together_are_judged_together() -> None:
    rows = torch.tensor([[1.0, -1.0, 2.0], [3.0, -3.0, 0.0]])
    assert importance(rows, [0]) == 5
    assert importance(rows, [0, 1]) == 0
    assert importance(rows, [2]) == 2
