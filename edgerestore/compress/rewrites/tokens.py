"""ESRT's transformer without Unfold, without Fold, and in the order memory has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.compress.rewrites.products import Product
from edgerestore.compress.rewrites.replacing import replace_each
from edgerestore.networks.esrt import EfficientTransformer


def shift_tokens(network: nn.Module) -> int:
    """Puts :class:`ShiftedTransformer` in the place of every efficient transformer."""
    return replace_each(network, EfficientTransformer, ShiftedTransformer)


class ShiftedTransformer(nn.Module):
    """The same function as the efficient transformer it is made from.

    - Tokens are nine shifted copies of the channels-last map, joined: no Unfold.
    - Their features are ordered (offset, channel), not (channel, offset), so that each copy
      is contiguous; every weight that reads or writes tokens is permuted to match.
    - Fold is linear, and folding ``W h`` by summation is a 3x3 convolution of h: the second
      MLP matrix and the attention's projection become one convolution, the residual becomes
      a multiple of the input, and no folded tensor 9 times as wide is ever written.
    - Biases fold to less at the border, where fewer neighbourhoods overlap: a convolution of
      ones gives that exactly.
    - Normalisation's gain and offset and the score scale are in the matrices behind them.
    """

    def __init__(self, source: EfficientTransformer) -> None:
        super().__init__()
        attention = source.attention
        dim, inner = attention.proj.out_features, attention.proj.in_features
        self.channels = dim // 9
        self.heads, self.segments = attention.heads, attention.segments
        order = torch.arange(dim).reshape(self.channels, 9).t().reshape(-1)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        gain1, offset1 = source.norm1.weight[order], source.norm1.bias[order]
        gain2, offset2 = source.norm2.weight[order], source.norm2.bias[order]

        reduce = attention.reduce.weight[:, order]
        self.reduce = Product(reduce * gain1, reduce @ offset1)
        q, k, v = attention.qkv.weight.chunk(3)
        self.q = Product(q * attention.score_scale)
        self.k, self.v = Product(k), Product(v)
        self.proj = Product(attention.proj.weight[order], attention.proj.bias[order])
        fc1 = source.fc1.weight[:, order]
        self.fc1 = Product(fc1 * gain2, source.fc1.bias + fc1 @ offset2)

        hidden = source.fc1.out_features
        self.fold = nn.Conv2d(inner + hidden, self.channels, 3, padding=1, bias=False)
        self.fold.weight.data = torch.cat(
            [_folding(attention.proj.weight), _folding(source.fc2.weight)], dim=1
        )
        self.fold_bias = nn.Conv2d(1, self.channels, 3, padding=1, bias=False)
        self.fold_bias.weight.data = _folding((attention.proj.bias + source.fc2.bias)[:, None])
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        image = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        shifted = [
            image[:, dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)
        ]
        tokens = torch.cat(shifted, dim=-1).reshape(n, height * width, -1)
        attended = self._attention(self.reduce(self.norm1(tokens)))
        tokens = tokens + self.proj(attended)
        hidden = torch.relu(self.fc1(self.norm2(tokens)))
        to_fold = torch.cat([attended, hidden], dim=-1).reshape(n, height, width, -1)
        ones = torch.ones(1, 1, height, width, dtype=x.dtype)
        overlaps = F.avg_pool2d(ones, 3, 1, 1) * 9
        folded: Tensor = self.fold(to_fold.permute(0, 3, 1, 2)) + self.fold_bias(ones)
        return x * overlaps + folded

    def _attention(self, tokens: Tensor) -> Tensor:
        even = tokens.shape[1] - tokens.shape[1] % self.segments
        if even == tokens.shape[1]:
            return self._attend(tokens, self.segments)
        head = self._attend(tokens[:, :even], self.segments)
        return torch.cat([head, self._attend(tokens[:, even:], 1)], dim=1)

    def _attend(self, tokens: Tensor, segments: int) -> Tensor:
        n, length, _ = tokens.shape
        shape = (n * segments, length // segments, self.heads, -1)
        q, k, v = (
            linear(tokens).reshape(shape).transpose(1, 2) for linear in (self.q, self.k, self.v)
        )
        out = torch.softmax(q @ k.transpose(2, 3), dim=-1) @ v
        joined: Tensor = out.transpose(1, 2).reshape(n, length, -1)
        return joined


def _folding(weight: Tensor) -> Tensor:
    """(C * 9) x I matrix that writes tokens -> C x I x 3 x 3 kernel that writes their fold.

    The token at p writes its offset (dy, dx) to pixel ``p + (dy, dx) - 1``; seen from the
    pixel, the kernel is mirrored.
    """
    kernel = weight.detach().reshape(weight.shape[0] // 9, 3, 3, -1).flip(1, 2)
    return kernel.permute(0, 3, 1, 2).contiguous()
