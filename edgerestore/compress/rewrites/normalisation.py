"""Gains and offsets of normalisations folded into the products behind them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgerestore.networks.drsformer import SparseBlock
from edgerestore.networks.drt import DRT, LeaveStatistics, WindowBlock


def fold_norms(network: nn.Module) -> int:
    """Folds every layer normalisation's gain and offset into the products that read it."""
    changed = 0
    for module in network.modules():
        if isinstance(module, SparseBlock):
            _fold(module.norm1, module.attention.qkv)
            _fold(module.norm2, module.feed_forward.expand)
        elif isinstance(module, WindowBlock):
            _fold(module.norm1, module.attention.qkv)
            _fold(module.norm2, module.fc1)
        else:
            continue
        changed += 2
    return changed


def fold_statistics(network: nn.Module) -> int:
    """Folds ImageNet's statistics into DRT's first and last convolution.

    The first one has no padding, so the mean folds into its bias. Behind the last one,
    ``(y + (image - m) / s + m) * s`` is ``s * y + image - m + s * m``: the image is added as
    it came, and everything else is in the convolution.
    """
    if not isinstance(network, DRT) or not isinstance(network.leave, LeaveStatistics):
        return 0
    embed, unembed, leave = network.embed, network.unembed, network.leave
    mean, deviation = leave.mean.reshape(3), leave.deviation.reshape(3)
    assert embed.bias is not None
    assert unembed.bias is not None
    with torch.no_grad():
        embed.weight /= deviation[:, None, None]
        embed.bias -= (embed.weight.sum(dim=(2, 3)) * mean).sum(dim=1)
        phases = unembed.out_channels // 3
        gain = deviation.repeat_interleave(phases)
        unembed.weight *= gain[:, None, None, None]
        unembed.bias *= gain
        if not leave.inverse:
            unembed.bias += (deviation * mean - mean).repeat_interleave(phases)
    network.enter = network.leave = nn.Identity()
    return 2


def _fold(norm: nn.LayerNorm, reader: Tensor | nn.Module) -> None:
    """Leaves ``norm`` without gain and offset; ``reader`` is linear or a 1x1 convolution."""
    assert isinstance(reader, (nn.Linear, nn.Conv2d))
    shape = (1, -1, *[1] * (reader.weight.dim() - 2))
    gain, offset = (value.detach().reshape(shape) for value in (norm.weight, norm.bias))
    with torch.no_grad():
        bias = (reader.weight * offset).flatten(1).sum(dim=1)
        if reader.bias is not None:
            bias += reader.bias
        reader.bias = nn.Parameter(bias, requires_grad=False)
        reader.weight *= gain
    norm.elementwise_affine = False
    for name in ("weight", "bias"):
        norm.register_parameter(name, None)
