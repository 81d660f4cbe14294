"""Two zeros in every four weights: what NVIDIA's sparse tensor cores compute in half the time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgerestore.networks.esrt import AdaptiveResidualBlock, EfficientTransformer
from edgerestore.networks.layers import Upsampler

COLOURS = 3
GROUP, KEPT = 4, 2
"""Size of a group of weights that one output reads in a row, and how many are not zero."""


def sparsify(network: nn.Module) -> dict[str, Tensor]:
    """Zeroes the two smallest of every four weights, and keeps them zero while ``network`` trains.

    Returns what is kept, by module. A convolution's groups run along its input channels, as
    TensorRT wants them, and so do those of layers that read unfolded neighbourhoods, whose
    features the deployable form puts into that order. Dense stay layers that do not read a
    multiple of four channels, those that write the image, an upsampler's convolutions, which that
    form joins with them, and those that it joins with ESRT's fusions: products of sparse weights
    are dense. Done again, it changes nothing.
    """
    kept = {}
    for name, weight, inputs in _products(network):
        with torch.no_grad():
            mask = _largest(weight.reshape(len(weight), *inputs))
            mask = mask.reshape(weight.shape)
            weight *= mask
        # Where weight, gradient and so Adam's averages are zero, every update is zero.
        weight.register_hook(_Masking(mask))  # type: ignore[no-untyped-call]
        kept[name] = mask
    return kept


class _Masking:
    """Takes the gradient off what stays zero."""

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self._mask.to(gradient.device)


def _products(network: nn.Module) -> Iterator[tuple[str, Tensor, tuple[int, int]]]:
    """Layers that can be sparse: name, weight, and their inputs as channels x places."""
    unfolded = {
        layer
        for module in network.modules()
        if isinstance(module, EfficientTransformer)
        for layer in (module.attention.reduce, module.fc1)
    }
    joined: set[nn.Module] = set()
    for module in network.modules():
        if isinstance(module, Upsampler):
            joined.update(module)
        elif isinstance(module, AdaptiveResidualBlock):
            joined.update((module.unit2.expand, module.fuse))
    for name, module in network.named_modules():
        if module in joined:
            continue
        if isinstance(module, nn.Conv2d) and module.groups == 1 and module.out_channels != COLOURS:
            inputs = (module.in_channels, module.weight[0, 0].numel())
        elif isinstance(module, nn.Linear):
            places = 9 if module in unfolded else 1
            inputs = (module.in_features // places, places)
        else:
            continue
        if inputs[0] % GROUP == 0:
            yield name, module.weight, inputs


def _largest(weight: Tensor) -> Tensor:
    """Whether each weight is among the largest of its group: O x channels x places."""
    outputs, channels, places = weight.shape
    groups = weight.abs().reshape(outputs, channels // GROUP, GROUP, places)
    ranks = groups.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    return (ranks < KEPT).reshape(weight.shape)
