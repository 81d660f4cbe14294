"""Losses that compare an output with its target value by value."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgerestore.recipe.objectives import PixelLoss

CHARBONNIER_EPSILON = 1e-3
"""Epsilon at a range of 1, as Lai et al. (LapSRN, TPAMI 2018) chose it."""


def pixel_loss(kind: PixelLoss, output: Tensor, target: Tensor) -> Tensor:
    """A scalar: the mean of the loss over all values of two tensors of one shape."""
    if kind == "l1":
        return F.l1_loss(output, target)
    if kind == "mse":
        return F.mse_loss(output, target)
    return torch.sqrt((output - target).square() + CHARBONNIER_EPSILON**2).mean()
