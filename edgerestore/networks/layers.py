"""Building blocks that more than one network uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Scale(nn.Module):
    """Multiplies by one learned scalar."""

    def __init__(self, initial: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Stack(nn.Module, ABC):
    """A network whose body is a row of like blocks, any of which may go."""

    @abstractmethod
    def row(self) -> nn.ModuleList:
        """The blocks, in the order in which they run."""

    def keep_blocks(self, kept: Sequence[int]) -> None:
        """Leaves the others out."""
        row = self.row()
        for place in reversed(range(len(row))):
            if place not in kept:
                del row[place]


class MultiHead(nn.Module):
    """Attention whose queries, keys and values ``qkv`` makes, in this order, head by head.

    ``proj`` reads what the heads give, joined. Heads may be fewer and narrower than these two
    were built for, as long as all are of one width.
    """

    qkv: nn.Linear
    proj: nn.Linear

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def keep_heads(self, kept: Sequence[int]) -> None:
        """Forgets what it holds of the other heads besides ``qkv`` and ``proj``."""
        self.heads = len(kept)


class ChannelAttention(nn.Module):
    """Scales each channel by a gate in (0, 1) computed from its global average."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean(dim=(2, 3), keepdim=True)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(gate))))
        return x * gate


class BilinearResize(nn.Module):
    """Enlarges by a whole factor, half-pixel centres, borders repeated."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        size = [side * self.scale for side in image.shape[2:]]
        return F.interpolate(image, size=size, mode="bilinear", align_corners=False)


class Upsampler(nn.Sequential):
    """Convolutions and pixel shuffles: N x C x H x W -> N x C x sH x sW.

    Scales 2 and 4 are one and two steps of 2; scale 3 is one step.
    """

    def __init__(self, channels: int, scale: int) -> None:
        steps = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
        layers: list[nn.Module] = []
        for step in steps:
            layers += [nn.Conv2d(channels, channels * step * step, 3, padding=1)]
            layers += [nn.PixelShuffle(step)]
        super().__init__(*layers)
