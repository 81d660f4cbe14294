"""Depthwise convolutions whose gradients a CPU computes quickly.

oneDNN has fast kernels for the gradient of a 3 x 3 depthwise kernel and none for a 5 x 5 one
nor for groups of two channels, which took three quarters of a step of DRSformer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

SMALL = 3
"""Side of the kernels that oneDNN has a fast gradient for."""


def quicken(network: nn.Module) -> int:
    """Lets depthwise and pairwise convolutions run as fast depthwise ones; counts them.

    Parameters, their names and the result stay as they were, up to rounding. A pairwise one
    makes one channel of two: it is a depthwise one, and a sum over pairs.
    """
    count = 0
    for module in network.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = _QuickConv2d
            count += 1
    return count


class _QuickConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return quick_conv2d(x, self.weight)


def quick_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """A depthwise or pairwise convolution that keeps height and width.

    ``x`` is N x C x H x W, ``weight`` O x C/O x k x k. To torch's modes this is one function.
    """
    if has_torch_function((x, weight)):
        out: Tensor = handle_torch_function(quick_conv2d, (x, weight), x, weight)
        return out
    outputs, pairs, height, width = weight.shape
    weight = weight.reshape(outputs * pairs, 1, height, width)
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        x, weight = x.to(kind), weight.to(kind)
    x = x.contiguous(memory_format=torch.channels_last)
    y: Tensor = _Depthwise.apply(x, weight)  # type: ignore[no-untyped-call]
    if pairs > 1:
        n, _, height, width = y.shape
        pair = y.permute(0, 2, 3, 1).reshape(n, height, width, outputs, pairs)
        # Ten times as fast as a sum over so short an axis.
        y = (pair[..., 0] + pair[..., 1]).permute(0, 3, 1, 2)
    return y


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        # The kernel is symmetric about its middle, so the input's gradient is a convolution.
        to_input = _convolve(gradient, weight.flip(2, 3))
        return to_input, _weight_gradient(x, weight, gradient)


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1])


def _weight_gradient(x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """Puts a large kernel's gradient together from those of 3 x 3 kernels at its corners."""
    side = weight.shape[-1]
    margin = side // 2
    padded = F.pad(x, (margin,) * 4)
    height, width = x.shape[2:]
    out = torch.empty_like(weight)
    small = weight[:, :, :SMALL, :SMALL]
    starts = sorted({*range(0, side - SMALL, SMALL), side - SMALL})
    for top in starts:
        for left in starts:
            part = padded[:, :, top : top + height + SMALL - 1, left : left + width + SMALL - 1]
            _, found, _ = torch.ops.aten.convolution_backward(
                gradient,
                part.contiguous(memory_format=torch.channels_last),
                small.contiguous(),
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                x.shape[1],
                [False, True, False],
            )
            out[:, :, top : top + SMALL, left : left + SMALL] = found
    return out


def _fits(conv: nn.Conv2d) -> bool:
    side = conv.kernel_size[0]
    return (
        conv.groups == conv.out_channels
        and conv.in_channels in (conv.groups, 2 * conv.groups)
        and conv.in_channels > 1
        and conv.kernel_size == (side, side)
        and side % 2 == 1
        and side >= SMALL
        and conv.stride == (1, 1)
        and conv.dilation == (1, 1)
        and conv.padding == (side // 2, side // 2)
        and conv.bias is None
    )
