"""DRT, Deraining Recursive Transformer (Liang et al., CVPRW 2022; arXiv 2204.11385).

The reference form: faithful to the publication, trained in this form and exported after
:mod:`edgerestore.compress.rewrites` has put it into its deployable form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.networks.layers import MultiHead, Stack
from edgerestore.networks.recursion import Recurrent
from edgerestore.networks.widths import Places, keep

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class DRTConfig:
    """Everything that decides the network's shape; the defaults are the paper's."""

    dim: int = 96
    """Channels of a token."""
    heads: int = 2
    layers: int = 6
    """Residual layers in a row; each holds two blocks and a convolution."""
    recursions: int = 3
    """Times that a layer runs its two blocks, with the same weights."""
    window: int = 7
    """Side of an attention window, in tokens."""
    patch: int = 1
    """Side of the square of pixels that one token stands for."""
    inverse: bool = False
    """Undo the input's normalisation at the end, instead of the published last step."""

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"heads must divide {self.dim}, not {self.heads}")
        if self.recursions < 1:
            raise ValueError(f"recursions must be 1 or more, not {self.recursions}")

    @property
    def multiple(self) -> int:
        """What height and width are multiples of, in pixels."""
        return self.window * self.patch


class WindowAttention(MultiHead):
    """W-MSA inside windows, no shift: n x window^2 x dim -> the same (section 3.2)."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__(heads)
        self.score_scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("bias_index", relative_positions(window), persistent=False)

    def keep_heads(self, kept: Places) -> None:
        super().keep_heads(kept)
        self.bias_table = keep(self.bias_table, 1, kept)

    def bias(self) -> Tensor:
        """What the relative positions add to the scores: heads x window^2 x window^2."""
        index = self.get_buffer("bias_index")
        return self.bias_table[index].permute(2, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.bias().to(q.dtype), scale=self.score_scale
        )
        projected: Tensor = self.proj(out.transpose(1, 2).reshape(n, length, -1))
        return projected


class WindowBlock(nn.Module):
    """``t += W-MSA(LN(t)); t += MLP(LN(t))`` over N x H x W x dim tokens."""

    def __init__(self, config: DRTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.window = config.window
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, config.heads, config.window)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        windows = to_windows(self.norm1(tokens), self.window)
        tokens = tokens + from_windows(self.attention(windows), tokens.shape, self.window)
        out: Tensor = tokens + self.fc2(F.gelu(self.fc1(self.norm2(tokens))))
        return out


class RecursiveLayer(Recurrent):
    """The recursion: two blocks run several times over, then a convolution (section 3.1)."""

    def __init__(self, config: DRTConfig) -> None:
        super().__init__(config.recursions)
        self.block1 = WindowBlock(config)
        self.block2 = WindowBlock(config)
        self.conv = nn.Conv2d(config.dim, config.dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = tokens = x.permute(0, 2, 3, 1)
        for _ in range(self.recursions):
            tokens = self.block1(self.block2(tokens)) + first
        out: Tensor = self.conv(tokens.permute(0, 3, 1, 2))
        return out


class EnterStatistics(nn.Module):
    """Takes ImageNet's mean and deviation off an image."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.deviation


class LeaveStatistics(EnterStatistics):
    """The network's last step, which in the publication is not the first one's inverse.

    The authors compute ``(y + mean) * deviation``; their weights were trained around it.
    """

    def __init__(self, inverse: bool) -> None:
        super().__init__()
        self.inverse = inverse

    def forward(self, y: Tensor) -> Tensor:
        if self.inverse:
            return y * self.deviation + self.mean
        return (y + self.mean) * self.deviation


class DRT(Stack):
    """N x 3 x H x W in [0, 1] -> the same, not clipped.

    H and W are multiples of ``config.multiple``.
    """

    def __init__(self, config: DRTConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.dim, config.patch
        self.enter: nn.Module = EnterStatistics()
        self.embed = nn.Conv2d(3, dim, patch, stride=patch)
        self.layers = nn.ModuleList(RecursiveLayer(config) for _ in range(config.layers))
        self.unembed = nn.Conv2d(dim, 3 * patch * patch, 3, padding=1)
        self.shuffle = nn.PixelShuffle(patch) if patch > 1 else nn.Identity()
        self.leave: nn.Module = LeaveStatistics(config.inverse)

    def row(self) -> nn.ModuleList:
        return self.layers

    def forward(self, image: Tensor) -> Tensor:
        x = self.enter(image)
        inner = features = self.embed(x)
        for layer in self.layers:
            features = layer(features)
        out: Tensor = self.leave(self.shuffle(self.unembed(features + inner)) + x)
        return out


def build(**config: Any) -> DRT:
    """Builds a DRT from the fields of :class:`DRTConfig`."""
    return DRT(DRTConfig(**config))


def to_windows(tokens: Tensor, window: int) -> Tensor:
    """N x H x W x C -> (N H/w W/w) x w^2 x C."""
    n, height, width, channels = tokens.shape
    split = tokens.reshape(n, height // window, window, width // window, window, channels)
    return split.transpose(2, 3).reshape(-1, window * window, channels)


def from_windows(windows: Tensor, shape: torch.Size, window: int) -> Tensor:
    """Undoes :func:`to_windows`; ``shape`` is that of the tokens, N x H x W x C."""
    n, height, width, channels = shape
    split = windows.reshape(n, height // window, width // window, window, window, channels)
    return split.transpose(2, 3).reshape(n, height, width, channels)


def relative_positions(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens: window^2 x window^2 integers."""
    place = torch.stack(
        torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    ).flatten(1)
    offset = place[:, :, None] - place[:, None, :] + window - 1
    return offset[0] * (2 * window - 1) + offset[1]
