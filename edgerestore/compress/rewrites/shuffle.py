"""The last pixel shuffle moved behind everything that is computed."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.networks.esrt import ESRT
from edgerestore.networks.ipt import IPT, Tail, each
from edgerestore.networks.layers import BilinearResize, Upsampler


def sink_pixel_shuffle(network: nn.Module) -> int:
    """Computes the last convolutions at low resolution and shuffles their sum.

    A 3x3 convolution to 3 channels after a pixel shuffle becomes one to ``3 * s * s`` before
    it. The shuffle then moves 3 channels and not the features, and no convolution with three
    output channels, a shape that no vector unit fills, runs at full resolution.
    """
    if isinstance(network, IPT):
        return _sink_tails(network)
    if not isinstance(network, ESRT):
        return 0
    shuffle, network.tail = _sink(network.tail_up, network.tail)
    network.shuffle = shuffle
    changed = 1
    if network.skip is not None and network.skip_up is not None:
        assert isinstance(network.skip_up, Upsampler)
        assert isinstance(network.skip, nn.Conv2d)
        _, network.skip = _sink(network.skip_up, network.skip)
        changed += 1
    return changed + _sink_resize(network, shuffle)


class ResizePhases(nn.Module):
    """A bilinear enlargement as the phases that a pixel shuffle puts in their places.

    N x C x H x W -> N x (C l l) x sH/l x sW/l, where the last shuffle enlarges by l, in
    shifted multiply-adds. Without a resize operator between the image and the last addition,
    OpenVINO's BF16 mode leaves the global skip in FP32: rounding the image itself to 8 bits of
    mantissa would cost 0.06 dB on a bright one.
    """

    def __init__(self, scale: int, last: int) -> None:
        super().__init__()
        self.offsets = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
        self.last = last
        self.first = nn.PixelShuffle(scale // last) if scale > last else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        n, channels, height, width = image.shape
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        # The last shuffle's phases are the outer ones: it comes after the first.
        order = [self.offsets[start :: self.last] for start in range(self.last)]
        rows = [[_between(padded, offset, 2, height) for offset in part] for part in order]
        phases = [
            _between(row, offset, 3, width)
            for row_part, part in itertools.product(rows, order)
            for row, offset in itertools.product(row_part, part)
        ]
        stacked = torch.stack(phases, dim=2).reshape(n, channels * len(phases), height, width)
        out: Tensor = self.first(stacked)
        return out


def _sink_tails(network: IPT) -> int:
    """Sinks the shuffle of every task that enlarges."""
    changed = 0
    for tail in each(Tail, network.tails.values()):
        if isinstance(tail.up, Upsampler):
            shuffle, tail.conv = _sink(tail.up, tail.conv)
            tail.shuffle = shuffle
            changed += 1 + _sink_resize(tail, shuffle)
    return changed


def _sink_resize(network: ESRT | Tail, shuffle: nn.PixelShuffle) -> int:
    """Enlarges the image that is added last before ``shuffle``, if there is one."""
    if not isinstance(network.resize, BilinearResize):
        return 0
    network.phases = ResizePhases(network.resize.scale, shuffle.upscale_factor)
    network.resize = None
    return 1


def _sink(up: Upsampler, conv: nn.Conv2d) -> tuple[nn.PixelShuffle, nn.Conv2d]:
    """Takes the last shuffle off ``up`` and returns it with the convolution before it."""
    shuffle = up[-1]
    assert isinstance(shuffle, nn.PixelShuffle)
    del up[-1]
    s = shuffle.upscale_factor
    wide = nn.Conv2d(
        conv.in_channels * s * s,
        conv.out_channels * s * s,
        3,
        padding=1,
        bias=conv.bias is not None,
        dtype=conv.weight.dtype,
    ).requires_grad_(False)
    wide.weight.copy_(_before_shuffle(conv.weight, s))
    if conv.bias is not None and wide.bias is not None:
        wide.bias.copy_(conv.bias.repeat_interleave(s * s))
    return shuffle, wide


def _before_shuffle(weight: Tensor, s: int) -> Tensor:
    """O x C x 3 x 3 at high resolution -> (O s s) x (C s s) x 3 x 3 at low resolution.

    The high-resolution neighbour at offset v of phase d lies ``(d + v) // s`` low-resolution
    pixels away, in phase ``(d + v) % s``.
    """
    out, channels = weight.shape[:2]
    wide = torch.zeros(out, s, s, channels, s, s, 3, 3, dtype=weight.dtype)
    for dy in range(s):
        for dx in range(s):
            for ky in range(3):
                for kx in range(3):
                    (ly, py), (lx, px) = divmod(dy + ky - 1, s), divmod(dx + kx - 1, s)
                    wide[:, dy, dx, :, py, px, ly + 1, lx + 1] += weight[:, :, ky, kx]
    return wide.reshape(out * s * s, channels * s * s, 3, 3)


def _between(padded: Tensor, offset: float, axis: int, length: int) -> Tensor:
    """Linear interpolation at ``offset`` pixels from each centre; ``axis`` has one pixel more."""
    centre = padded.narrow(axis, 1, length)
    neighbour = padded.narrow(axis, 2 if offset > 0 else 0, length)
    return centre * (1 - abs(offset)) + neighbour * abs(offset)
