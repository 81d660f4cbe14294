"""ESRT, Efficient Super-Resolution Transformer (Lu et al., CVPRW 2022; arXiv 2108.11084).

The reference form: faithful to the publication, trained in this form and exported
after :mod:`edgerestore.compress.rewrites` has put it into its deployable form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.networks.layers import (
    BilinearResize,
    ChannelAttention,
    MultiHead,
    Scale,
    Stack,
    Upsampler,
)
from edgerestore.networks.recursion import Recurrent
from edgerestore.networks.widths import Kept, Places, keep_channels


@dataclass(frozen=True, slots=True)
class ESRTConfig:
    """Everything that decides the network's shape."""

    scale: Literal[2, 3, 4]
    """Output size over input size."""
    features: int = 32
    """Channels of the convolutional part; tokens are 9 times as wide."""
    blocks: int = 3
    """High-preserving blocks in a row."""
    recursions: int = 5
    """Times that one residual block runs over the low-frequency branch."""
    heads: int = 8
    """Attention heads; each is ``9 * features / 2 / heads`` wide."""
    segments: int = 4
    """Equal contiguous cuts of the token sequence; attention runs inside each."""
    skip: Literal["learned", "bilinear"] = "learned"
    """Global skip path: the paper's upsampler and convolution, or the resized input."""

    def __post_init__(self) -> None:
        if self.scale not in (2, 3, 4):
            raise ValueError(f"scale must be 2, 3 or 4, not {self.scale}")
        if self.features % 16:
            raise ValueError(f"features must be a multiple of 16, not {self.features}")
        if (9 * self.features // 2) % self.heads:
            raise ValueError(f"heads must divide {9 * self.features // 2}, not {self.heads}")
        if self.recursions < 1:
            raise ValueError(f"recursions must be 1 or more, not {self.recursions}")


class ResidualUnit(nn.Module):
    """``a * x + b * conv(PReLU(conv(x)))`` with learned a and b; C -> C/2 -> C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.act = nn.PReLU(channels // 2)
        self.expand = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.identity_scale = Scale()
        self.residual_scale = Scale()

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual_scale(self.expand(self.act(self.squeeze(x))))
        identity: Tensor = self.identity_scale(x)
        return identity + residual


class AdaptiveResidualBlock(nn.Module):
    """ARFB, adaptive residual feature block (section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit1 = ResidualUnit(channels)
        self.unit2 = ResidualUnit(channels)
        self.unit1_scale = Scale()
        self.unit2_scale = Scale()
        self.fuse = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.attention = ChannelAttention(channels, 16)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.identity_scale = Scale()
        self.residual_scale = Scale()

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.unit1(x)
        x2 = self.unit2(x1)
        f = torch.cat([self.unit2_scale(x2), self.unit1_scale(x1)], dim=1)
        f = self.attention(torch.relu(self.fuse(f)))
        f = torch.relu(self.conv(f))
        identity: Tensor = self.identity_scale(x)
        residual: Tensor = self.residual_scale(f)
        return identity + residual


class HighPreservingBlock(Recurrent):
    """HPB: high and low frequencies apart; the low branch is one block run repeatedly."""

    def __init__(self, channels: int, recursions: int) -> None:
        super().__init__(recursions)
        self.entry = AdaptiveResidualBlock(channels)
        self.low = AdaptiveResidualBlock(channels)
        self.high = AdaptiveResidualBlock(channels)
        self.fuse = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.attention = ChannelAttention(channels, 16)
        self.exit = AdaptiveResidualBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.entry(x)
        low = F.avg_pool2d(x1, 2)
        high = self.high(x1 - resize_to(low, x1))
        for _ in range(self.recursions):
            low = self.low(low)
        f = torch.cat([resize_to(low, x1), high], dim=1)
        f = self.attention(torch.relu(self.fuse(f)))
        out: Tensor = self.exit(f)
        return out + x


class EfficientAttention(MultiHead):
    """EMHA, efficient multi-head attention: N x L x D -> N x L x D.

    Width is halved first; attention runs inside each segment of the raster sequence, so
    its score matrices take ``1 / segments`` of plain attention's memory (section 3.3).
    """

    def __init__(self, dim: int, heads: int, segments: int) -> None:
        super().__init__(heads)
        self.segments = segments
        self.score_scale = (dim / heads) ** -0.5
        self.reduce = nn.Linear(dim, dim // 2, bias=False)
        self.qkv = nn.Linear(dim // 2, dim // 2 * 3, bias=False)
        self.proj = nn.Linear(dim // 2, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = self.qkv(self.reduce(tokens))
        # Contiguous cuts are a reshape. A length that does not divide leaves a remainder of
        # fewer than `segments` tokens, which attends within itself: so the full-image
        # figures of the paper come out at sizes such as 85 x 85.
        length = tokens.shape[1]
        even = length - length % self.segments
        out = self._attend(qkv[:, :even], self.segments)
        if even < length:
            out = torch.cat([out, self._attend(qkv[:, even:], 1)], dim=1)
        projected: Tensor = self.proj(out)
        return projected

    def _attend(self, qkv: Tensor, segments: int) -> Tensor:
        n, length, width = qkv.shape
        qkv = qkv.reshape(n * segments, length // segments, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Fused: a whole image's score matrices would take gigabytes (17 at 256 x 256).
        out = F.scaled_dot_product_attention(q, k, v, scale=self.score_scale)
        return out.transpose(1, 2).reshape(n, length, width // 3)


class EfficientTransformer(nn.Module):
    """ET: 3x3 neighbourhoods as tokens, attention and an MLP, folded back by summation."""

    def __init__(self, channels: int, heads: int, segments: int) -> None:
        super().__init__()
        dim = 9 * channels
        self.norm1 = nn.LayerNorm(dim)
        self.attention = EfficientAttention(dim, heads, segments)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, dim // 4)
        self.fc2 = nn.Linear(dim // 4, dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.unfold(x, 3, padding=1).transpose(1, 2)
        tokens = tokens + self.attention(self.norm1(tokens))
        tokens = tokens + self.fc2(torch.relu(self.fc1(self.norm2(tokens))))
        return F.fold(tokens.transpose(1, 2), x.shape[2:], 3, padding=1)


class ESRT(Stack):
    """N x 3 x H x W in [0, 1] -> N x 3 x sH x sW, not clipped.

    H and W are at least 4.
    """

    def __init__(self, config: ESRTConfig) -> None:
        super().__init__()
        self.config = config
        c = config.features
        self.head = nn.Conv2d(3, c, 3, padding=1)
        self.blocks = nn.ModuleList(
            HighPreservingBlock(c, config.recursions) for _ in range(config.blocks)
        )
        self.reduce = nn.Conv2d(config.blocks * c, c, 3, padding=1)
        self.transformer = EfficientTransformer(c, config.heads, config.segments)
        self.mix = nn.Conv2d(c, c, 3, padding=1)
        self.body_scale = Scale()
        self.skip_scale = Scale()
        self.body_conv = nn.Conv2d(c, c, 3, padding=1)
        self.tail_up = Upsampler(c, config.scale)
        self.tail = nn.Conv2d(c, 3, 3, padding=1)
        if config.skip == "learned":
            self.skip_up: nn.Module | None = Upsampler(c, config.scale)
            self.skip: nn.Module | None = nn.Conv2d(c, 3, 3, padding=1, bias=False)
        else:
            self.skip_up = self.skip = None
        self.resize = BilinearResize(config.scale) if config.skip == "bilinear" else None
        # The deployable form adds up at low resolution, before the last pixel shuffle.
        self.phases: nn.Module | None = None
        self.shuffle: nn.Module = nn.Identity()

    def row(self) -> nn.ModuleList:
        return self.blocks

    def keep_blocks(self, kept: Places) -> None:
        channels = self.reduce.in_channels // len(self.blocks)
        places = [block * channels + place for block in kept for place in range(channels)]
        keep_channels(self.reduce, Kept(read=places))
        super().keep_blocks(kept)

    def forward(self, image: Tensor) -> Tensor:
        shallow = self.head(image)
        x, outputs = shallow, []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        deep = self.mix(self.transformer(self.reduce(torch.cat(outputs, dim=1))))
        x = self.skip_scale(shallow) + self.body_scale(deep)
        out: Tensor = self.tail(self.tail_up(self.body_conv(x)))
        if self.skip is not None and self.skip_up is not None:
            out = out + torch.relu(self.skip(self.skip_up(shallow)))
        if self.phases is not None:
            out = out + self.phases(image)
        out = self.shuffle(out)
        if self.resize is not None:
            out = out + self.resize(image)
        return out


def build(**config: Any) -> ESRT:
    """Builds an ESRT from the fields of :class:`ESRTConfig`."""
    return ESRT(ESRTConfig(**config))


def resize_to(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear with aligned corners, to the height and width of ``like``."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
