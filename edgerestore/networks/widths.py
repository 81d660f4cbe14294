"""Networks of other widths: what pruning leaves of a network, as facts and as modules.

The dense network is built from its configuration and then narrowed, so a pruned one computes
with the dense one's constants, such as the scale of its attention scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import torch
from torch import Tensor, nn

from edgerestore.networks.layers import MultiHead, Stack
from edgerestore.networks.recursion import recur, recursions_of

Places = Sequence[int]
"""Channels, hidden units or heads, counted from 0, in ascending order."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of one layer; None where nothing went."""

    read: Places | None = None
    """Inputs of the layer that are left."""
    written: Places | None = None
    """Outputs of the layer that are left. A normalisation writes what it reads; so does a PReLU."""


class Widths(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a pruned network differs from the one that its configuration describes."""

    layers: dict[str, tuple[int, int]] = {}
    """Channels read and channels written, by module."""
    heads: dict[str, int] = {}
    """Attention heads, by module."""
    blocks: int | None = None
    """Blocks in the row that is the network's body; None where none went."""
    recursions: int | None = None
    """Times that what recurs runs; None for the configuration's own."""


@dataclass(slots=True)
class Selection:
    """What to keep of a network, by module; of the modules left out, everything."""

    layers: dict[str, Kept] = field(default_factory=dict)
    heads: dict[str, Places] = field(default_factory=dict)


def select(network: nn.Module, selection: Selection) -> None:
    """Takes everything else out of ``network``, in place."""
    modules = dict(network.named_modules())
    for name, kept in selection.layers.items():
        keep_channels(modules[name], kept)
    for name, heads in selection.heads.items():
        attention = modules[name]
        assert isinstance(attention, MultiHead)
        attention.keep_heads(heads)


def keep_channels(layer: nn.Module, kept: Kept) -> None:
    """Takes all other channels out of one layer, in place."""
    _SELECTORS[type(layer)](layer, kept)


def narrow(network: nn.Module, widths: Widths) -> None:
    """Brings ``network`` to these widths, in place, with the first values of every layer.

    Raises ValueError for a module that it does not have, or that is not so wide.
    """
    present = widths_of(network)
    for name, wanted in widths.layers.items():
        _require(name, wanted, present.layers.get(name))
    for name, heads in widths.heads.items():
        _require(name, (heads,), (present.heads[name],) if name in present.heads else None)
    layers = {n: Kept(range(read), range(made)) for n, (read, made) in widths.layers.items()}
    select(network, Selection(layers, {name: range(n) for name, n in widths.heads.items()}))
    if widths.blocks is not None:
        _require("blocks", (widths.blocks,), (present.blocks,) if present.blocks else None)
        assert isinstance(network, Stack)
        # What reads all of them is as wide as those that stay by now.
        Stack.keep_blocks(network, range(widths.blocks))
    if widths.recursions is not None:
        own = present.recursions
        _require("recursions", (widths.recursions,), (own,) if own else None)
        recur(network, widths.recursions)


def widths_of(network: nn.Module) -> Widths:
    """All widths of a network that pruning may change."""
    layers, heads = {}, {}
    for name, module in network.named_modules():
        width = _width(module)
        if width is not None:
            layers[name] = width
        if isinstance(module, MultiHead):
            heads[name] = module.heads
    blocks = len(network.row()) if isinstance(network, Stack) else None
    return Widths(layers=layers, heads=heads, blocks=blocks, recursions=recursions_of(network))


def changed(dense: Widths, pruned: Widths) -> Widths:
    """What of ``pruned`` is not as in ``dense``."""
    return Widths(
        layers={n: width for n, width in pruned.layers.items() if width != dense.layers[n]},
        heads={n: heads for n, heads in pruned.heads.items() if heads != dense.heads[n]},
        blocks=None if pruned.blocks == dense.blocks else pruned.blocks,
        recursions=None if pruned.recursions == dense.recursions else pruned.recursions,
    )


def _require(name: str, wanted: Iterable[int], present: Iterable[int] | None) -> None:
    if present is None:
        raise ValueError(f"no layer or attention '{name[:80]}' has a width to change")
    for least, most in zip(wanted, present, strict=True):
        if not 1 <= least <= most:
            raise ValueError(f"'{name}' cannot be {least}: 1 to {most}")


def _width(module: nn.Module) -> tuple[int, int] | None:
    """Channels read and written; None where they cannot be changed."""
    if isinstance(module, nn.Conv2d):
        read, written = module.in_channels, module.out_channels
        return (
            (read, written)
            if module.groups in (1, read) and module.groups in (1, written)
            else None
        )
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return module.normalized_shape[0], module.normalized_shape[0]
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return module.num_parameters, module.num_parameters
    return None


def _select_conv(module: nn.Module, kept: Kept) -> None:
    assert isinstance(module, nn.Conv2d)
    if module.groups > 1:
        # Depthwise: each channel is read where it is written.
        _cut(module, ("weight", "bias"), 0, kept.written)
    else:
        _cut(module, ("weight",), 1, kept.read)
        _cut(module, ("weight", "bias"), 0, kept.written)
    module.out_channels, module.in_channels = module.weight.shape[:2]
    if module.groups > 1:
        module.groups = module.in_channels = module.out_channels


def _select_linear(module: nn.Module, kept: Kept) -> None:
    assert isinstance(module, nn.Linear)
    _cut(module, ("weight",), 1, kept.read)
    _cut(module, ("weight", "bias"), 0, kept.written)
    module.out_features, module.in_features = module.weight.shape


def _select_norm(module: nn.Module, kept: Kept) -> None:
    assert isinstance(module, nn.LayerNorm)
    _cut(module, ("weight", "bias"), 0, kept.written)
    module.normalized_shape = tuple(module.weight.shape)


def _select_prelu(module: nn.Module, kept: Kept) -> None:
    assert isinstance(module, nn.PReLU)
    _cut(module, ("weight",), 0, kept.written)
    module.num_parameters = len(module.weight)


_SELECTORS = {
    nn.Conv2d: _select_conv,
    nn.Linear: _select_linear,
    nn.LayerNorm: _select_norm,
    nn.PReLU: _select_prelu,
}


def _cut(module: nn.Module, names: Iterable[str], axis: int, kept: Places | None) -> None:
    if kept is None:
        return
    for name in names:
        value = getattr(module, name)
        if value is not None:
            setattr(module, name, keep(value, axis, kept))


def keep(value: Tensor, axis: int, kept: Places) -> nn.Parameter:
    """A learned tensor without the places of ``axis`` that are not kept."""
    index = torch.tensor(list(kept), device=value.device)
    return nn.Parameter(value.detach().index_select(axis, index), value.requires_grad)
