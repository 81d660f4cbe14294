"""RFDN, as an example of a network that ``edgerestore build --network`` takes.

Residual Feature Distillation Network of Liu, Tang and Wu, arXiv 2009.11551, written from the
paper; the modules have the names that the authors' published weights use.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.05
"""Of every leaky ReLU, below zero."""


def rfdn_x4() -> nn.Module:
    """RFDN at scale 4 with 50 features and four blocks; takes values from 0 to 255."""
    return RFDN(features=50, scale=4)


class RFDN(nn.Module):
    """Four distillation blocks, joined, and a pixel shuffle."""

    def __init__(self, features: int, scale: int) -> None:
        super().__init__()
        self.fea_conv = nn.Conv2d(3, features, 3, padding=1)
        self.B1 = DistillationBlock(features)
        self.B2 = DistillationBlock(features)
        self.B3 = DistillationBlock(features)
        self.B4 = DistillationBlock(features)
        self.c = nn.Sequential(nn.Conv2d(4 * features, features, 1), nn.LeakyReLU(SLOPE))
        self.LR_conv = nn.Conv2d(features, features, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(features, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale)
        )

    def forward(self, image: Tensor) -> Tensor:
        """N x 3 x H x W -> N x 3 x scale*H x scale*W."""
        shallow = self.fea_conv(image)
        depths = [shallow]
        for block in (self.B1, self.B2, self.B3, self.B4):
            depths.append(block(depths[-1]))
        deep = self.LR_conv(self.c(torch.cat(depths[1:], dim=1))) + shallow
        out: Tensor = self.upsampler(deep)
        return out


class DistillationBlock(nn.Module):
    """At each step a 1x1 convolution keeps half the features, a residual 3x3 refines all."""

    def __init__(self, features: int) -> None:
        super().__init__()
        half = features // 2
        self.c1_d = nn.Conv2d(features, half, 1)
        self.c1_r = nn.Conv2d(features, features, 3, padding=1)
        self.c2_d = nn.Conv2d(features, half, 1)
        self.c2_r = nn.Conv2d(features, features, 3, padding=1)
        self.c3_d = nn.Conv2d(features, half, 1)
        self.c3_r = nn.Conv2d(features, features, 3, padding=1)
        self.c4 = nn.Conv2d(features, half, 3, padding=1)
        self.c5 = nn.Conv2d(4 * half, features, 1)
        self.esa = SpatialAttention(features)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same shape."""
        kept = []
        steps = ((self.c1_d, self.c1_r), (self.c2_d, self.c2_r), (self.c3_d, self.c3_r))
        for distil, refine in steps:
            kept.append(_leaky(distil(x)))
            x = _leaky(refine(x) + x)
        kept.append(_leaky(self.c4(x)))
        out: Tensor = self.esa(self.c5(torch.cat(kept, dim=1)))
        return out


class SpatialAttention(nn.Module):
    """A gate for every pixel, found on a map reduced sixfold: ESA of the paper."""

    def __init__(self, features: int) -> None:
        super().__init__()
        few = features // 4
        self.conv1 = nn.Conv2d(features, few, 1)
        self.conv_f = nn.Conv2d(few, few, 1)
        self.conv2 = nn.Conv2d(few, few, 3, stride=2)
        self.conv_max = nn.Conv2d(few, few, 3, padding=1)
        self.conv3 = nn.Conv2d(few, few, 3, padding=1)
        self.conv3_ = nn.Conv2d(few, few, 3, padding=1)
        self.conv4 = nn.Conv2d(few, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same shape."""
        few = self.conv1(x)
        small = F.max_pool2d(self.conv2(few), kernel_size=7, stride=3)
        small = torch.relu(self.conv_max(small))
        small = self.conv3_(torch.relu(self.conv3(small)))
        large = F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(large + self.conv_f(few)))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
