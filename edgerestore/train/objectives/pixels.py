"""Losses that compare an output with its target value by value."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.recipe.objectives import PixelLoss
from edgerestore.train.data import Batch
from edgerestore.train.objectives.objective import Objective, run_network

CHARBONNIER_EPSILON = 1e-3
"""At a range of 1, as Lai et al. (LapSRN, TPAMI 2018) chose it."""


class Pixels(Objective):
    """A pixel loss of the output against the target."""

    def __init__(self, kind: PixelLoss = "l1") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """As :class:`Objective` says."""
        return pixel_loss(self.kind, run_network(network, batch), batch.high)


def pixel_loss(kind: PixelLoss, output: Tensor, target: Tensor) -> Tensor:
    """A scalar: the mean of the loss over all values of two tensors of one shape."""
    if kind == "l1":
        return F.l1_loss(output, target)
    if kind == "mse":
        return F.mse_loss(output, target)
    return torch.sqrt((output - target).square() + CHARBONNIER_EPSILON**2).mean()
