"""Learned scalars folded into the convolutions around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgerestore.networks.esrt import ESRT, AdaptiveResidualBlock, ResidualUnit

SMALLEST_DIVISOR = 1e-2
"""A scale nearer to zero than this stays where it is: dividing by it would lose digits."""


def fold_scales(network: nn.Module) -> int:
    """Folds every learned scalar that exact arithmetic lets go; returns how many went.

    Of the eight scalars of an adaptive residual block one stays, that of its outer identity:
    the block that is run repeatedly feeds itself, so no convolution could take it over for
    all its calls.
    """
    folded = 0
    for module in network.modules():
        if isinstance(module, AdaptiveResidualBlock):
            folded += _fold_block(module)
        elif isinstance(module, ESRT):
            folded += _fold_body(module)
    return folded


def _fold_block(block: AdaptiveResidualBlock) -> int:
    """Rescales the two inner units so that their identities have scale one.

    With ``y1 = x1 / a1`` and ``y2 = x2 / (a1 * a2)`` the convolutions that read x1 and x2
    take the factors over: ``squeeze`` of the second unit, and the two halves of ``fuse``.
    """
    a1, a2 = value_of(block.unit1.identity_scale), value_of(block.unit2.identity_scale)
    if min(abs(a1), abs(a2)) < SMALLEST_DIVISOR:
        return 0
    channels = block.unit2.expand.out_channels
    _fold_unit(block.unit1, read=1.0, write=1 / a1)
    _fold_unit(block.unit2, read=a1, write=1 / (a1 * a2))
    with torch.no_grad():
        block.fuse.weight[:, :channels] *= _take(block, "unit2_scale") * a1 * a2
        block.fuse.weight[:, channels:] *= _take(block, "unit1_scale") * a1
        # A ReLU lets only a positive factor through.
        residual = value_of(block.residual_scale)
        if residual > 0:
            block.conv.weight *= _take(block, "residual_scale")
    return 7 if residual > 0 else 6


def _fold_unit(unit: ResidualUnit, *, read: Tensor | float, write: Tensor | float) -> None:
    """Lets ``squeeze`` read ``x / read`` and scales what ``expand`` writes."""
    with torch.no_grad():
        write = write * _take(unit, "residual_scale")
        _take(unit, "identity_scale")
        unit.squeeze.weight *= read
        unit.expand.weight *= write
        bias_of(unit.expand).mul_(write)


def _fold_body(network: ESRT) -> int:
    """``s * shallow + b * mix(...)`` becomes ``shallow + mix'(...)``, read by ``body_conv``."""
    if abs(value_of(network.skip_scale)) < SMALLEST_DIVISOR:
        return 0
    with torch.no_grad():
        skip = _take(network, "skip_scale")
        body = _take(network, "body_scale") / skip
        network.mix.weight *= body
        bias_of(network.mix).mul_(body)
        network.body_conv.weight *= skip
    return 2


def value_of(scale: nn.Module) -> Tensor:
    """Value of a learned scalar."""
    value = scale.scale
    assert isinstance(value, Tensor)
    return value.detach().clone()


def _take(owner: nn.Module, name: str) -> Tensor:
    """Returns the scalar's value and puts an identity in its place."""
    value = value_of(owner.get_submodule(name))
    setattr(owner, name, nn.Identity())
    return value


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias
