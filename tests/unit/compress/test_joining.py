from __future__ import annotations

import pytest
import torch
from torch import nn

from edgerestore.compress.rewrites.joining import JoinedConvolutions


def two(bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(5, 20, 3, padding=1, bias=bias), nn.Conv2d(20, 12, 3, padding=1, bias=bias))
    return nn.Sequential(*layers).double().requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(2, 2), (2, 7), (7, 3), (12, 13)])
def test_one_convolution_is_exact_up_to_the_edges_and_corners(
    size: tuple[int, int], bias: bool
) -> None:
    network = two(bias)
    x = torch.randn(2, 5, *size, dtype=torch.float64)
    torch.testing.assert_close(JoinedConvolutions(*network)(x), network(x), rtol=0, atol=1e-13)


def test_without_its_edges_it_would_not_be() -> None:
    network = two(bias=True)
    x = torch.randn(1, 5, 8, 8, dtype=torch.float64)
    off = (JoinedConvolutions(*network).whole(x) - network(x)).abs().amax((0, 1))
    assert off[1:-1, 1:-1].max() < 1e-13
    assert min(off[0].min(), off[-1].min(), off[:, 0].min(), off[:, -1].min()) > 1e-3
