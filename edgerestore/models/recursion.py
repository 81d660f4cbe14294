"""Networks that run some blocks several times over, and how often they do."""

from __future__ import annotations

from torch import nn


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
