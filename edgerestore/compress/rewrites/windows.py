"""DRT's recursion in the layout of its windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.compress.rewrites.products import Product
from edgerestore.compress.rewrites.replacing import replace_each
from edgerestore.networks.drt import RecursiveLayer, WindowBlock, from_windows, to_windows


def enter_windows(network: nn.Module) -> int:
    """Puts :class:`WindowLayer` in the place of every recursive layer."""
    return replace_each(network, RecursiveLayer, WindowLayer)


class WindowLayer(nn.Module):
    """The same function as the recursive layer it is made from.

    Windows never cross inside a layer and everything else in it is done token by token, so
    tokens enter the windows' layout once and leave it once, not at each of the six calls.
    """

    def __init__(self, source: RecursiveLayer) -> None:
        super().__init__()
        self.recursions = source.recursions
        self.window = source.block1.window
        self.block1 = WindowedBlock(source.block1)
        self.block2 = WindowedBlock(source.block2)
        self.conv = source.conv

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        shape = tokens.shape
        first = windows = to_windows(tokens, self.window)
        bias1, bias2 = self.block1.bias(), self.block2.bias()
        for _ in range(self.recursions):
            windows = self.block1(self.block2(windows, bias2), bias1) + first
        tokens = from_windows(windows, shape, self.window)
        out: Tensor = self.conv(tokens.permute(0, 3, 1, 2))
        return out


class WindowedBlock(nn.Module):
    """A window block over n x window^2 x dim, its products as the graph's MatMul wants them.

    - The score scale is in q's weights.
    - k has no bias: it adds the same to all scores of a row, which the softmax takes away.
    - v has none either: rows of attention sum to one, so its bias passes through them whole
      and is in the projection's.
    """

    def __init__(self, source: WindowBlock) -> None:
        super().__init__()
        attention = source.attention
        self.heads = attention.heads
        self.window = source.window
        self.norm1, self.norm2 = source.norm1, source.norm2
        q, k, v = attention.qkv.weight.detach().chunk(3)
        q_bias, _, v_bias = attention.qkv.bias.detach().chunk(3)
        scale = attention.score_scale
        self.q = Product(q * scale, q_bias * scale)
        self.k, self.v = Product(k), Product(v)
        proj = attention.proj.weight.detach()
        self.proj = Product(proj, attention.proj.bias.detach() + proj @ v_bias)
        self.fc1 = Product(source.fc1.weight, source.fc1.bias)
        self.fc2 = Product(source.fc2.weight, source.fc2.bias)
        self.bias_table = nn.Parameter(attention.bias_table.detach().t().contiguous())
        self.index: Tensor
        self.register_buffer("index", attention.get_buffer("bias_index").flatten().int())
        self.requires_grad_(False)

    def bias(self) -> Tensor:
        """What the relative positions add to the scores: heads x window^2 x window^2.

        A lookup in constants, which every runtime does once, when it loads the graph; the
        file holds the table and not its 14 times larger expansion.
        """
        side = self.window * self.window
        return self.bias_table.index_select(1, self.index).reshape(-1, side, side)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``bias`` is what :meth:`bias` gives: one for all calls of a recursion."""
        normed = self.norm1(x)
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (
            linear(normed).reshape(shape).transpose(1, 2) for linear in (self.q, self.k, self.v)
        )
        attended = torch.softmax(q @ k.transpose(2, 3) + bias, dim=-1) @ v
        x = x + self.proj(attended.transpose(1, 2).reshape(*x.shape[:2], -1))
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out
