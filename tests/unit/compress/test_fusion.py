from __future__ import annotations

import torch
from torch import nn

from edgerestore.compress.rewrites.fusion import part_fusions
from edgerestore.compress.rewrites.scales import fold_scales
from edgerestore.networks.esrt import AdaptiveResidualBlock, HighPreservingBlock
from edgerestore.networks.layers import Scale

EXACT = {"rtol": 0, "atol": 1e-13}


def holding(block: nn.Module) -> nn.Sequential:
    """A network of one block, in float64, with scales of either sign."""
    torch.manual_seed(0)
    network = nn.Sequential(block).double().requires_grad_(False)
    scales = [module for module in block.modules() if isinstance(module, Scale)]
    for number, scale in enumerate(scales):
        scale.scale.fill_((0.7, -1.3, 0.9)[number % 3])
    return network


def test_a_unit_s_sum_and_the_concatenation_are_never_computed() -> None:
    network = holding(AdaptiveResidualBlock(16))
    x = torch.randn(2, 16, 7, 9, dtype=torch.float64)
    expected = network(x)
    assert part_fusions(network) == 1
    torch.testing.assert_close(network(x), expected, **EXACT)
    assert part_fusions(network) == 0
    assert network[0].fuse.in_channels == 16


def test_it_does_not_matter_whether_scales_were_folded_before() -> None:
    network = holding(AdaptiveResidualBlock(16))
    x = torch.randn(1, 16, 5, 6, dtype=torch.float64)
    expected = network(x)
    assert fold_scales(network) > 5
    part_fusions(network)
    torch.testing.assert_close(network(x), expected, **EXACT)


def test_low_frequencies_are_fused_before_they_are_enlarged() -> None:
    network = holding(HighPreservingBlock(16, recursions=2))
    sizes = []
    x = torch.randn(1, 16, 9, 10, dtype=torch.float64)
    expected = network(x)
    # Its four residual blocks, and itself.
    assert part_fusions(network) == 5
    network[0].fuse_low.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[2:]))
    torch.testing.assert_close(network(x), expected, **EXACT)
    assert sizes == [(4, 5)]
