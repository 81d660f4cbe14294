"""Two convolutions with nothing between them, as the one that they are together."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.models.esrt import ESRT
from edgerestore.models.ipt import IPT, Tail, each


def join_convolutions(network: nn.Module) -> int:
    """Joins the last convolution of an upsampler with the one behind its sunk pixel shuffle.

    The upsampler widens its features fourfold or more for the shuffle alone. Joined, the wide
    ones are never computed: 32 channels go to 12 through 5 x 5 weights, a fifth of the work of
    32 to 128 to 12 through 3 x 3 twice.
    """
    if isinstance(network, IPT):
        return sum(_join(tail, "up", "conv") for tail in each(Tail, network.tails.values()))
    if not isinstance(network, ESRT):
        return 0
    return _join(network, "tail_up", "tail") + _join(network, "skip_up", "skip")


class JoinedConvolutions(nn.Module):
    """Two 3 x 3 convolutions, each padded by zeros, as one of 5 x 5.

    N x C x H x W -> N x O x H x W; H and W are at least 2. The first one's output is 0 outside
    the picture, where the joined weights see what it would have computed there. That only matters
    to the outermost pixels, from which four narrow convolutions along the edges take it away again.
    """

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        inner, outer = first.weight.double(), second.weight.double()
        shift = torch.zeros(inner.shape[0]).double() if first.bias is None else first.bias.double()
        offset = torch.zeros(outer.shape[0]).double() if second.bias is None else second.bias
        dtype = first.weight.dtype
        whole = [
            F.pad(torch.einsum("om,mchw->ochw", outer[:, :, y, x], inner), (x, 2 - x, y, 2 - y))
            for y, x in itertools.product(range(3), repeat=2)
        ]
        self.whole = _filled(
            torch.stack(whole).sum(0), offset.double() + outer.sum((2, 3)) @ shift, dtype
        )
        self.top = _along_row(inner[:, :, 2], outer[:, :, 0], shift, dtype)
        self.bottom = _along_row(inner[:, :, 0], outer[:, :, 2], shift, dtype)
        self.left = _along_column(inner[:, :, :, 2], outer[:, :, :, 0], shift, dtype)
        self.right = _along_column(inner[:, :, :, 0], outer[:, :, :, 2], shift, dtype)

    def forward(self, x: Tensor) -> Tensor:
        out = self.whole(x)
        height, width = out.shape[2:]
        top, bottom = self.top(x[:, :, :1]), self.bottom(x[:, :, -1:])
        left, right = self.left(x[:, :, :, :1]), self.right(x[:, :, :, -1:])
        out = out - F.pad(top, (0, 0, 0, height - 1)) - F.pad(bottom, (0, 0, height - 1, 0))
        joined: Tensor = out - F.pad(left, (0, width - 1)) - F.pad(right, (width - 1, 0))
        return joined


def _join(parent: nn.Module, up: str, conv: str) -> int:
    """Joins the child ``conv`` with the end of the child ``up``, if that is a convolution."""
    first, second = getattr(parent, up), getattr(parent, conv)
    if not (isinstance(first, nn.Sequential) and len(first) and isinstance(first[-1], nn.Conv2d)):
        return 0
    setattr(parent, conv, JoinedConvolutions(first[-1], second))
    del first[-1]
    return 1


def _along_row(inner: Tensor, outer: Tensor, shift: Tensor, dtype: torch.dtype) -> nn.Conv2d:
    """What the outer row of pixels gets from the row outside; M x C x 3 and O x M x 3 taps.

    That row lies outside with both of its ends, so that its convolutions join, too.
    """
    taps = [F.pad(torch.einsum("om,mcw->ocw", outer[..., x], inner), (x, 2 - x)) for x in range(3)]
    return _filled(torch.stack(taps).sum(0)[:, :, None], outer.sum(2) @ shift, dtype)


def _along_column(inner: Tensor, outer: Tensor, shift: Tensor, dtype: torch.dtype) -> nn.Sequential:
    """The same for a column, whose ends belong to the rows: two convolutions, 0 beyond them."""
    return nn.Sequential(
        _filled(inner[..., None], shift, dtype), _filled(outer[..., None], None, dtype)
    )


def _filled(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    out, channels, height, width = weight.shape
    conv = nn.Conv2d(
        channels,
        out,
        (height, width),
        padding=(height // 2, width // 2),
        bias=bias is not None,
        dtype=dtype,
    ).requires_grad_(False)
    conv.weight.copy_(weight)
    if conv.bias is not None and bias is not None:
        conv.bias.copy_(bias)
    return conv
