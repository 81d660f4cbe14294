from __future__ import annotations

import pytest
import torch
from torch import nn

from edgerestore.compress.rewrites.joining import JoinedConvolutions

CHANNELS = 5
SIZES = [(2, 2), (2, 7), (7, 3), (12, 13)]


def chain(bias: bool, shuffles: int = 0) -> nn.Sequential:
    """An upsampler's convolutions and shuffles, and the one behind, back at the input's size."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(CHANNELS, 20, 3, padding=1, bias=bias)]
    for _ in range(shuffles):
        layers += [nn.PixelShuffle(2), nn.Conv2d(5, 20, 3, padding=1, bias=bias)]
    layers += [nn.Conv2d(20, 12, 3, padding=1, bias=bias)] if not shuffles else []
    layers += [nn.PixelUnshuffle(2**shuffles)]
    return nn.Sequential(*layers).double().requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shuffles", [0, 1])
@pytest.mark.parametrize("size", SIZES)
def test_one_convolution_is_exact_up_to_the_edges_and_corners(
    size: tuple[int, int], shuffles: int, bias: bool
) -> None:
    network = chain(bias, shuffles)
    joined = JoinedConvolutions(network, CHANNELS, torch.float64)
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    torch.testing.assert_close(joined(x), network(x), rtol=0, atol=1e-13)


def test_without_its_edges_and_corners_it_would_not_be() -> None:
    network = chain(bias=True)
    joined = JoinedConvolutions(network, CHANNELS, torch.float64)
    x = torch.randn(1, CHANNELS, 8, 8, dtype=torch.float64)
    off = (joined.whole(x) - network(x)).abs().amax((0, 1))
    assert off[1:-1, 1:-1].max() < 1e-13
    assert min(off[0].min(), off[-1].min(), off[:, 0].min(), off[:, -1].min()) > 1e-3
    for corner in joined.corners:
        corner.weight.zero_()
    off = (joined(x) - network(x)).abs().amax((0, 1))
    corners = off[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() > 1e-3
    off[[0, 0, -1, -1], [0, -1, 0, -1]] = 0
    assert off.max() < 1e-13
