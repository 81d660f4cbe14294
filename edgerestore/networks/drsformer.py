"""DRSformer, sparse transformer for deraining (Chen et al., CVPR 2023; arXiv 2303.11950).

The reference form: faithful to the publication, trained in this form and exported after
:mod:`edgerestore.compress.rewrites` has put it into its deployable form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEPT_SHARES = ((1, 2), (2, 3), (3, 4), (4, 5))
"""Shares of each row of scores that the four copies keep (section 3.2)."""
INITIAL_WEIGHT = 0.2
"""Initial weight of each of the four copies in their sum."""
STEPS, HIDDEN = 4, 64
"""Steps of a mixture of experts, and width of the layer that weighs its experts."""
SEPARABLE, DILATED = (1, 3, 5, 7), (3, 5, 7)
"""Kernel sizes of the experts; the eighth is an average pool (section 3.3)."""
EXPERTS = len(SEPARABLE) + len(DILATED) + 1


@dataclass(frozen=True, slots=True)
class DRSformerConfig:
    """Everything that decides the network's shape; the defaults are the paper's."""

    dim: int = 48
    """Channels at full resolution; each level below has twice those of the one above."""
    blocks: tuple[int, int, int, int] = (4, 6, 6, 8)
    """Transformer blocks of the three encoder levels, which the decoder repeats, and the latent."""
    heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    expansion: float = 2.66
    """Hidden width of the feed-forward over the channels, rounded down."""
    mefc: bool = True
    """Whether the mixtures of experts are there; the publication leaves them out for light rain."""

    def __post_init__(self) -> None:
        for level, heads in enumerate(self.heads):
            if (self.dim << level) % heads:
                raise ValueError(f"heads must divide {self.dim << level}, not {heads}")


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel: N x C x H x W -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TopKAttention(nn.Module):
    """TKSA, top-k sparse attention across channels (section 3.2).

    Channels attend to channels, so scores are small matrices whatever the image's size. Four
    copies of them keep the largest entries of each row and are weighed after their softmax.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        width = dim // heads
        self.kept = tuple(width * part // whole for part, whole in KEPT_SHARES)
        """How many scores of a row each copy keeps."""
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.depthwise = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.weights = nn.ParameterList(torch.full((1,), INITIAL_WEIGHT) for _ in KEPT_SHARES)
        self.proj = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        qkv = self.depthwise(self.qkv(x)).reshape(n, 3, self.heads, -1, height * width)
        q, k, v = qkv.unbind(1)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3) * self.temperature
        # Stable, so that of equal scores the one of the lower channel counts as the larger.
        order = scores.sort(dim=-1, descending=True, stable=True).indices
        out = torch.zeros_like(v)
        for kept, weight in zip(self.kept, self.weights, strict=True):
            sparse = torch.full_like(scores, -torch.inf)
            index = order[..., :kept]
            sparse = sparse.scatter(-1, index, scores.gather(-1, index))
            out = out + weight * (torch.softmax(sparse, dim=-1) @ v)
        projected: Tensor = self.proj(out.reshape(n, channels, height, width))
        return projected


class MixedScaleFeedForward(nn.Module):
    """MSFN: depthwise convolutions of two sizes that exchange half of what they see."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.expand = nn.Conv2d(dim, 2 * hidden, 1, bias=False)
        self.small, self.large = (
            nn.Conv2d(2 * hidden, 2 * hidden, k, padding=k // 2, groups=2 * hidden, bias=False)
            for k in (3, 5)
        )
        self.mix_small, self.mix_large = (
            nn.Conv2d(2 * hidden, hidden, k, padding=k // 2, groups=hidden, bias=False)
            for k in (3, 5)
        )
        self.reduce = nn.Conv2d(2 * hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        small1, small2 = torch.relu(self.small(x)).chunk(2, dim=1)
        large1, large2 = torch.relu(self.large(x)).chunk(2, dim=1)
        first = torch.relu(self.mix_small(torch.cat([small1, large1], dim=1)))
        second = torch.relu(self.mix_large(torch.cat([small2, large2], dim=1)))
        out: Tensor = self.reduce(torch.cat([first, second], dim=1))
        return out


class SparseBlock(nn.Module):
    """``x += TKSA(LN(x)); x += MSFN(LN(x))``."""

    def __init__(self, dim: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(dim)
        self.attention: nn.Module = TopKAttention(dim, heads)
        self.norm2 = ChannelNorm(dim)
        self.feed_forward: nn.Module = MixedScaleFeedForward(dim, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.feed_forward(self.norm2(x))
        return out


class MixtureStep(nn.Module):
    """One step of an MEFC: eight experts, weighed, joined, reduced and added to the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            [_separable(dim, k) for k in SEPARABLE]
            + [_dilated(dim, k) for k in DILATED]
            + [nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)]
        )
        self.reduce = nn.Conv2d(EXPERTS * dim, dim, 1, bias=False)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """``weights`` are N x experts."""
        weighed = [
            weights[:, e, None, None, None] * expert(x) for e, expert in enumerate(self.experts)
        ]
        return torch.relu(x + torch.relu(self.reduce(torch.cat(weighed, dim=1))))


class ExpertCompensator(nn.Module):
    """MEFC, mixture-of-experts feature compensator (section 3.3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, STEPS * EXPERTS)
        self.entry = nn.Conv2d(dim, dim, 1, bias=False)
        self.steps = nn.ModuleList(MixtureStep(dim) for _ in range(STEPS))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3)))))
        weights = torch.softmax(weights.reshape(-1, STEPS, EXPERTS), dim=-1)
        x = torch.relu(self.entry(x))
        for number, step in enumerate(self.steps):
            x = step(x, weights[:, number])
        return x


class Down(nn.Sequential):
    """Half the resolution, twice the channels."""

    def __init__(self, channels: int) -> None:
        conv = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)
        super().__init__(conv, nn.PixelUnshuffle(2))


class Up(nn.Sequential):
    """Twice the resolution, half the channels."""

    def __init__(self, channels: int) -> None:
        conv = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        super().__init__(conv, nn.PixelShuffle(2))


class DRSformer(nn.Module):
    """N x 3 x H x W in [0, 1] -> the same, not clipped.

    H and W are multiples of 8. Attention statistics span the whole input: what a tile gives
    depends on its size.
    """

    def __init__(self, config: DRSformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        dims = [dim << level for level in range(4)]

        def level(number: int, channels: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    SparseBlock(channels, config.heads[number], config.expansion)
                    for _ in range(config.blocks[number])
                )
            )

        self.embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.entry: nn.Module = ExpertCompensator(dim) if config.mefc else nn.Identity()
        self.encoders = nn.ModuleList(level(number, dims[number]) for number in range(3))
        self.downs = nn.ModuleList(Down(dims[number]) for number in range(3))
        self.latent = level(3, dims[3])
        # From the deepest: levels 3, 2 and 1. The last keeps the skip's channels.
        self.ups = nn.ModuleList(Up(dims[number + 1]) for number in (2, 1, 0))
        self.reduces = nn.ModuleList(
            nn.Conv2d(2 * dims[number], dims[number], 1, bias=False) for number in (2, 1)
        )
        self.decoders = nn.ModuleList(
            level(number, channels)
            for number, channels in ((2, dims[2]), (1, dims[1]), (0, 2 * dim))
        )
        self.refinement: nn.Module = ExpertCompensator(2 * dim) if config.mefc else nn.Identity()
        self.tail = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = self.entry(self.embed(image))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.latent(x)
        for number, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            x = torch.cat([up(x), skips.pop()], dim=1)
            if number < len(self.reduces):
                x = self.reduces[number](x)
            x = decoder(x)
        out: Tensor = self.tail(self.refinement(x))
        return out + image


def build(**config: Any) -> DRSformer:
    """Builds a DRSformer from the fields of :class:`DRSformerConfig`."""
    return DRSformer(DRSformerConfig(**config))


def _separable(dim: int, kernel: int) -> nn.Sequential:
    """Depthwise and pointwise, twice, with a ReLU between."""
    return nn.Sequential(
        _depthwise(dim, kernel, 1), _pointwise(dim), nn.ReLU(), _depthwise(dim, kernel, 1),
        _pointwise(dim),
    )  # fmt: skip


def _dilated(dim: int, kernel: int) -> nn.Sequential:
    """Depthwise with every second pixel, and pointwise."""
    return nn.Sequential(_depthwise(dim, kernel, 2), _pointwise(dim))


def _depthwise(dim: int, kernel: int, dilation: int) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(dim, dim, kernel, padding=padding, dilation=dilation, groups=dim, bias=False)


def _pointwise(dim: int) -> nn.Conv2d:
    return nn.Conv2d(dim, dim, 1, bias=False)
