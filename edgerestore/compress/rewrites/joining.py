"""Convolutions with nothing but pixel shuffles between them, as the one that they are together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.compress.rewrites.products import convolution
from edgerestore.compress.rewrites.shuffle import ResizePhases
from edgerestore.networks.esrt import ESRT
from edgerestore.networks.ipt import IPT, Tail, each

REACH = 2
"""Pixels to each side that the joined weights read: what two or three 3 x 3 convolutions do, of
which all but the first see smaller pixels than the first, or are the second."""
EDGE = 2
"""Outermost rows that what happens at the edge depends on."""
BRIGHT = 2.0**20
"""A pixel beside which biases are small, so that taking them away again costs no digits."""


def join_convolutions(network: nn.Module) -> int:
    """Joins an upsampler's convolutions with the one behind its sunk pixel shuffle.

    The upsampler widens its features fourfold or more for the shuffles alone. Joined, the wide
    ones are never computed, and all is done at low resolution: at x2, 32 channels go to 12 through
    5 x 5 weights, a fifth of the work of 32 to 128 to 12 through 3 x 3 twice; at x4, to 48, half of
    the work of three convolutions.
    """
    if isinstance(network, IPT):
        tails = each(Tail, network.tails.values())
        return sum(_join(tail, (("up", "conv"),)) for tail in tails)
    if not isinstance(network, ESRT):
        return 0
    return _join(network, (("tail_up", "tail"), ("skip_up", "skip")))


class JoinedConvolutions(nn.Module):
    """A chain of convolutions, each padded by zeros, as one of 5 x 5.

    N x C x H x W -> N x O x H x W; H and W are at least 2. Within the chain everything is 0 outside
    the picture, where the joined weights see what the chain would have computed there. That only
    matters to the outermost pixels, to which narrow convolutions along the edges, and in the
    corners, add what is missing. All weights are read off the chain's answers to single pixels.
    """

    def __init__(
        self, chain: Callable[[Tensor], Tensor], channels: int, dtype: torch.dtype
    ) -> None:
        """``chain`` computes in float64."""
        super().__init__()
        side = 4 * REACH + 1
        middle, window = side // 2, slice(REACH, side - REACH)
        answers, rest = _answers(chain, channels, (side, side), [(middle, middle)])
        whole = answers[0, :, :, window, window].flip(2, 3).transpose(0, 1)
        self.whole = convolution(whole, rest[:, middle, middle], torch.float64)

        def missing(x: Tensor) -> Tensor:
            joined: Tensor = self.whole(x)
            return chain(x) - joined

        edges = []
        for last in (False, True):
            rows = range(side - EDGE, side) if last else range(EDGE)
            at = side - 1 if last else 0
            answers, rest = _answers(missing, channels, (side, side), [(y, middle) for y in rows])
            # Rows x C x O x taps.
            taps = answers[:, :, :, at, window].flip(3).permute(2, 1, 0, 3)
            edges.append(_edge(taps, rest[:, at, middle], padding=(0, REACH)))
            answers, rest = _answers(missing, channels, (side, side), [(middle, x) for x in rows])
            taps = answers[:, :, :, window, at].flip(3).permute(2, 1, 3, 0)
            edges.append(_edge(taps, rest[:, middle, at], padding=(REACH, 0)))
        self.top, self.left, self.bottom, self.right = edges

        def still_missing(x: Tensor) -> Tensor:
            return chain(x) - self._within_corners(x)

        ends = (range(EDGE), range(side - EDGE, side))
        corners = []
        for rows, columns in ((r, c) for r in ends for c in ends):
            places = [(y, x) for y in rows for x in columns]
            answers, rest = _answers(still_missing, channels, (side, side), places)
            y, x = (0 if part[0] == 0 else side - 1 for part in (rows, columns))
            taps = answers[..., y, x].reshape(EDGE, EDGE, channels, -1).permute(3, 2, 0, 1)
            corners.append(_edge(taps, rest[:, y, x], padding=(0, 0)))
        self.corners = nn.ModuleList(corners)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        first, last = slice(EDGE), slice(-EDGE, None)
        ends = ((first, first), (first, last), (last, first), (last, last))
        corners = [
            corner(x[:, :, rows, columns])
            for corner, (rows, columns) in zip(self.corners, ends, strict=True)
        ]
        return self._within_corners(x, corners)

    def _within_corners(self, x: Tensor, corners: Sequence[Tensor] = ()) -> Tensor:
        """The whole with its edges, and with ``corners`` where they are given."""
        out: Tensor = self.whole(x)
        height, width = out.shape[2:]
        top, bottom = self.top(x[:, :, :EDGE]), self.bottom(x[:, :, -EDGE:])
        left, right = self.left(x[..., :EDGE]), self.right(x[..., -EDGE:])
        if corners:
            top = top + F.pad(corners[0], (0, width - 1)) + F.pad(corners[1], (width - 1, 0))
            bottom = bottom + F.pad(corners[2], (0, width - 1)) + F.pad(corners[3], (width - 1, 0))
        out = out + F.pad(top, (0, 0, 0, height - 1)) + F.pad(bottom, (0, 0, height - 1, 0))
        return out + F.pad(left, (0, width - 1)) + F.pad(right, (width - 1, 0))


def _join(parent: ESRT | Tail, branches: Sequence[tuple[str, str]]) -> int:
    """Joins what each branch's upsampler ends in with its convolution; returns how many."""
    joined, inner = 0, 1
    for up, conv in branches:
        first, second = getattr(parent, up), getattr(parent, conv)
        if not (
            isinstance(first, nn.Sequential) and len(first) and isinstance(first[-1], nn.Conv2d)
        ):
            continue
        assert isinstance(first[0], nn.Conv2d)
        shuffles = (layer for layer in first if isinstance(layer, nn.PixelShuffle))
        inner = math.prod(layer.upscale_factor for layer in shuffles)
        chain = nn.Sequential(copy.deepcopy(first), copy.deepcopy(second)).double()
        outer = parent.shuffle
        assert isinstance(outer, nn.PixelShuffle)
        shuffled = _At(chain, inner, outer.upscale_factor)
        module = JoinedConvolutions(shuffled, first[0].in_channels, first[0].weight.dtype)
        setattr(parent, conv, module)
        setattr(parent, up, nn.Identity())
        joined += 1
    if inner > 1:
        assert isinstance(parent.shuffle, nn.PixelShuffle)
        parent.shuffle = nn.PixelShuffle(inner * parent.shuffle.upscale_factor)
        if isinstance(parent.phases, ResizePhases):
            scale = len(parent.phases.offsets)
            parent.phases = ResizePhases(scale, parent.shuffle.upscale_factor)
    return joined


class _At(nn.Module):
    """A chain whose output is taken back to its input's resolution.

    In the order of channels that one pixel shuffle by ``inner * outer`` expects.
    """

    def __init__(self, chain: nn.Module, inner: int, outer: int) -> None:
        super().__init__()
        self.chain, self.inner, self.outer = chain, inner, outer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.chain(x)
        n, _, height, width = x.shape
        parts = out.reshape(
            n, -1, self.outer, self.outer, height, self.inner, width, self.inner
        )  # N, O, outer y, outer x, y, inner y, x, inner x
        return parts.permute(0, 1, 5, 2, 7, 3, 4, 6).reshape(n, -1, height, width)


def _answers(
    chain: Callable[[Tensor], Tensor],
    channels: int,
    size: tuple[int, int],
    places: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """What a chain makes of single pixels, beyond what it makes of nothing.

    P x C x O x H x W for P ``places`` and C channels, and O x H x W.
    """
    lit = torch.zeros(len(places), channels, channels, *size, dtype=torch.float64)
    for number, (y, x) in enumerate(places):
        lit[number, :, :, y, x] = BRIGHT * torch.eye(channels, dtype=torch.float64)
    with torch.inference_mode():
        rest = chain(torch.zeros(1, channels, *size, dtype=torch.float64))
        answers = (torch.stack([chain(part) for part in lit]) - rest) / BRIGHT
    return answers.clone(), rest[0].clone()


def _edge(weight: Tensor, bias: Tensor, padding: tuple[int, int]) -> nn.Conv2d:
    """A convolution that reads the rows or columns of an edge into one."""
    conv = convolution(weight, bias, torch.float64)
    conv.padding = padding
    return conv
