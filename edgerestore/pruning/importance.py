"""How much a network's loss would change without some of its units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgerestore.pruning.axes import Axis

Contributions = Mapping[Axis, Tensor]
"""What each unit contributes to the loss on each batch, by axis: batches x units."""


def contributions_of(
    network: nn.Module, axes: Sequence[Axis], losses: Iterable[Callable[[nn.Module], Tensor]]
) -> Contributions:
    """To first order, how the loss changes when what is read of a unit becomes zero.

    Each of ``losses`` gives the loss of one batch. The gradient of a weight that several calls
    share is the sum over them, so a unit of a recursion is judged by all its calls. After
    Molchanov et al., Importance Estimation for Neural Network Pruning (CVPR 2019).
    """
    rows: dict[Axis, list[Tensor]] = {axis: [] for axis in axes}
    for loss in losses:
        network.zero_grad(set_to_none=True)
        loss(network).backward()  # type: ignore[no-untyped-call]
        for axis in axes:
            rows[axis].append(_of_each_unit(network, axis))
    network.zero_grad(set_to_none=True)
    return {axis: torch.stack(found) for axis, found in rows.items()}


def importance(contributions: Tensor, units: Iterable[int]) -> float:
    """Mean over batches of the squared change of the loss, for units that go together."""
    return float(contributions[:, list(units)].sum(dim=1).square().mean())


@torch.no_grad()
def _of_each_unit(network: nn.Module, axis: Axis) -> Tensor:
    total = torch.zeros(axis.units)
    for slot in axis.slots:
        if slot.reads:
            layer = network.get_submodule(slot.module)
            weight = layer.weight
            assert isinstance(weight, Tensor)
            assert weight.grad is not None
            change = (weight * weight.grad).transpose(0, 1).flatten(1).sum(dim=1)
            total.index_add_(0, torch.tensor(slot.units), change[list(slot.places)].cpu())
    return total
