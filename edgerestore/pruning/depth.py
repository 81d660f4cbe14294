"""A network of fewer blocks, or one that recurs less often."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edgerestore.errors import InputError
from edgerestore.networks.layers import Stack
from edgerestore.networks.recursion import recur, recursions_of


def with_blocks(
    network: nn.Module, count: int, losses: Sequence[Callable[[nn.Module], Tensor]]
) -> nn.Module:
    """A copy with ``count`` blocks: one by one goes that without which the loss is least.

    Raises InputError where the network has fewer, or no row of blocks.
    """
    if not isinstance(network, Stack) or len(network.row()) < count:
        has = len(network.row()) if isinstance(network, Stack) else "no row of"
        raise InputError(f"blocks = {count}: the network has {has} blocks")
    while len(network.row()) > count:
        places = range(len(network.row()))
        trials = [_kept(network, [place for place in places if place != out]) for out in places]
        network = min(trials, key=lambda trial: _mean(trial, losses))
    return network


def with_recursions(network: nn.Module, count: int) -> nn.Module:
    """A copy that recurs ``count`` times. Raises InputError where it does so less often."""
    own = recursions_of(network)
    if own is None or own < count:
        has = "nothing recurs in the network" if own is None else f"the network recurs {own} times"
        raise InputError(f"recursions = {count}: {has}")
    shallow = copy.deepcopy(network)
    recur(shallow, count)
    return shallow


def _kept(network: Stack, places: Sequence[int]) -> Stack:
    kept = copy.deepcopy(network)
    kept.keep_blocks(places)
    return kept


@torch.no_grad()
def _mean(network: nn.Module, losses: Sequence[Callable[[nn.Module], Tensor]]) -> float:
    return sum(float(loss(network)) for loss in losses) / len(losses)
