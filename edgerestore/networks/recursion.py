"""Networks that run some blocks several times over, and how often they do."""

from __future__ import annotations

import dataclasses

from torch import nn

from edgerestore.networks.spec import ModelSpec


class Recurrent(nn.Module):
    """A part of a network that runs blocks several times over with the same weights."""

    def __init__(self, recursions: int) -> None:
        super().__init__()
        self.recursions = recursions


def recursions_of(network: nn.Module) -> int | None:
    """How often a network runs what recurs in it; None where nothing does."""
    for module in network.modules():
        if isinstance(module, Recurrent):
            return module.recursions
    return None


def recur(network: nn.Module, recursions: int) -> None:
    """Lets a network run what recurs in it this often from now on, everywhere."""
    for module in network.modules():
        if isinstance(module, Recurrent):
            module.recursions = recursions


def at_depth(spec: ModelSpec, recursions: int) -> ModelSpec:
    """The entry of a recursive network that recurs this often, with the weights of ``spec``."""
    return dataclasses.replace(
        spec, name=f"{spec.name}-r{recursions}", config={**spec.config, "recursions": recursions}
    )
