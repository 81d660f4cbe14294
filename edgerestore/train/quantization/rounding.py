"""Values rounded to 8 bits as the emitted graphs round them, with a gradient of 1.

The arithmetic is that of :mod:`edgerestore.compress.quantization.steps`, on tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgerestore.compress.quantization.steps import MOST, STEP_OF_ZERO

LEAST = -128


def rounded_activation(
    x: Tensor, low: Tensor, high: Tensor, *, symmetric: bool | Tensor, most: int = MOST
) -> Tensor:
    """``x`` in float32, rounded to the 256 steps between two scalars and cut off beyond them.

    With ``symmetric`` 0 is in the middle of the steps, and ``most`` of them reach the further
    scalar.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    whole = _step((high - low) / 255)
    half = _step(torch.maximum(-low, high) / most)
    zero = torch.round(-low / whole).clamp(0, MOST - LEAST) + LEAST
    symmetric = torch.as_tensor(symmetric, device=x.device)
    zero = torch.where(symmetric, 0, zero)
    scale = torch.where(symmetric, half, whole)
    return _rounded(x.float(), scale, LEAST - zero, MOST - zero)


def rounded_weight(weight: Tensor, *, int16_pairs: bool = False) -> Tensor:
    """A weight, outputs first, rounded to 255 steps for each output, 0 in the middle.

    With ``int16_pairs`` no two neighbouring inputs sum up to more than 128 of them.
    """
    exact = weight.detach().float()
    largest = exact.abs().flatten(1).amax(dim=1)
    count = weight.shape[1] // 2 * 2
    if int16_pairs and count:
        sums = exact[:, 0:count:2] + exact[:, 1:count:2]
        largest = torch.maximum(largest, sums.abs().flatten(1).amax(dim=1))
    scale = _step(largest / MOST).reshape(-1, *[1] * (weight.ndim - 1))
    most = torch.full_like(scale, MOST)
    return _rounded(weight.float(), scale, -most, most)


def _step(step: Tensor) -> Tensor:
    return torch.where(step > 0, step, STEP_OF_ZERO)


def _rounded(x: Tensor, scale: Tensor, least: Tensor, most: Tensor) -> Tensor:
    rounded: Tensor = _Rounded.apply(x, scale, least, most)  # type: ignore[no-untyped-call]
    return rounded


class _Rounded(torch.autograd.Function):
    """Torch's own fake quantization takes three times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, least: Tensor, most: Tensor) -> Tensor:
        return torch.div(x, scale).round_().clamp_(least, most).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0], None, None, None
