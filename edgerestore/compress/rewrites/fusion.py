"""Concatenations that a 1 x 1 convolution reads, as sums of what it makes of their parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites.products import convolution
from edgerestore.compress.rewrites.replacing import replace_each
from edgerestore.compress.rewrites.scales import bias_of, value_of
from edgerestore.networks.esrt import (
    AdaptiveResidualBlock,
    HighPreservingBlock,
    ResidualUnit,
    resize_to,
)
from edgerestore.networks.layers import Scale


def part_fusions(network: nn.Module) -> int:
    """Lets ESRT's 1 x 1 fusions read the parts of their concatenations; returns how many do.

    Runtimes copy to concatenate, and again to quantize the copy. What a fusion makes of one part
    is added by the convolution that makes the other.
    """
    blocks = replace_each(network, AdaptiveResidualBlock, PartedResidualBlock)
    return blocks + replace_each(network, HighPreservingBlock, PartedPreservingBlock)


class PartedResidualBlock(nn.Module):
    """ARFB whose fusion reads the first unit, and what the second adds to it, each by itself.

    N x C x H x W -> N x C x H x W. With ``x2 = a * x1 + b * expand(p)`` the fusion of x2 and x1 is
    linear in x1 and p: the second unit's last convolution takes its part over, and x2 is never
    computed.
    """

    def __init__(self, block: AdaptiveResidualBlock) -> None:
        super().__init__()
        unit, channels = block.unit2, block.unit2.expand.out_channels
        second = block.fuse.weight[:, :channels] * _value(block.unit2_scale)
        first = block.fuse.weight[:, channels:] * _value(block.unit1_scale)
        self.unit1, self.squeeze, self.act = block.unit1, unit.squeeze, unit.act
        direct = first + second * _value(unit.identity_scale)
        self.fuse = convolution(direct, None, direct.dtype)
        self.expand = _behind(unit, second)
        self.attention, self.conv = block.attention, block.conv
        self.identity_scale, self.residual_scale = block.identity_scale, block.residual_scale

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.unit1(x)
        f = self.fuse(x1) + self.expand(self.act(self.squeeze(x1)))
        f = self.attention(torch.relu(f))
        f = torch.relu(self.conv(f))
        identity: Tensor = self.identity_scale(x)
        residual: Tensor = self.residual_scale(f)
        return identity + residual


class PartedPreservingBlock(nn.Module):
    """HPB whose fusion reads the low frequencies before they are enlarged: a quarter of the work.

    N x C x H x W -> N x C x H x W. Enlarging is linear in each channel and a 1 x 1 convolution in
    each pixel, so that their order does not matter.
    """

    def __init__(self, block: HighPreservingBlock) -> None:
        super().__init__()
        channels = block.fuse.out_channels
        self.recursions = block.recursions
        self.entry, self.low, self.high, self.exit = block.entry, block.low, block.high, block.exit
        weight = block.fuse.weight
        self.fuse_low = convolution(weight[:, :channels], None, weight.dtype)
        self.fuse_high = convolution(weight[:, channels:], None, weight.dtype)
        self.attention = block.attention

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.entry(x)
        low = nn.functional.avg_pool2d(x1, 2)
        high = self.high(x1 - resize_to(low, x1))
        for _ in range(self.recursions):
            low = self.low(low)
        f = resize_to(self.fuse_low(low), x1) + self.fuse_high(high)
        out: Tensor = self.exit(self.attention(torch.relu(f)))
        return out + x


def _behind(unit: ResidualUnit, weight: Tensor) -> nn.Conv2d:
    """The unit's last convolution and a 1 x 1 one behind it, O x C x 1 x 1, as one."""
    last = unit.expand
    weight = (weight * _value(unit.residual_scale))[:, :, 0, 0].double()
    joined = torch.einsum("om,mchw->ochw", weight, last.weight.double())
    return convolution(joined, weight @ bias_of(last).double(), last.weight.dtype)


def _value(scale: nn.Module) -> Tensor:
    """Value of a learned scalar, or of the identity that stands where one was folded."""
    return value_of(scale) if isinstance(scale, Scale) else torch.ones(())
