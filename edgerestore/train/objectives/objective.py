"""A network and what its training minimises, as one module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgerestore.networks.recursion import recur
from edgerestore.recipe.objectives import PixelLoss
from edgerestore.train.data.crops import Batch
from edgerestore.train.objectives.pixels import pixel_loss
from edgerestore.train.quantization import FakeQuantized, Ranges


class Term(nn.Module, ABC):
    """What is added to the pixel loss.

    Parameters of its own learn together with the network's; its state is kept in checkpoints
    and is never shipped.
    """

    @abstractmethod
    def forward(self, output: Tensor, batch: Batch) -> Tensor:
        """A scalar in float32; ``output`` is what the network just made of ``batch``."""

    def facts(self) -> dict[str, Any]:
        """What trained weights should say of it beyond the recipe; JSON's types."""
        return {}


class Objective(nn.Module):
    """The pixel loss of a network's output against the target, and further terms.

    This, not the network, is what several processes wrap: so they average the gradients of
    the terms' parameters too, and hooks on the network's modules still run.

    With ``recursions``, fewest and most, the network recurs another number of times at each
    call, drawn evenly from torch's own generator.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: PixelLoss,
        terms: Sequence[Term] = (),
        recursions: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.terms = nn.ModuleList(terms)
        self.recursions = recursions
        self.ranges = network.ranges if isinstance(network, FakeQuantized) else Ranges()
        """Ranges of what the network's calls round; none where it does not learn for INT8."""

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch: a scalar in float32, under the caller's rules of autocast."""
        if self.recursions is not None:
            fewest, most = self.recursions
            recur(self.network, int(torch.randint(fewest, most + 1, ())))
        output = run_network(self.network, batch)
        loss = pixel_loss(self.loss, output, batch.high)
        for term in self.terms:
            loss = loss + term(output, batch)
        return loss

    def facts(self) -> dict[str, Any]:
        """What trained weights should say of the terms beyond the recipe."""
        facts = {}
        for term in self.terms:
            assert isinstance(term, Term)
            facts.update(term.facts())
        return facts


def run_network(network: nn.Module, batch: Batch) -> Tensor:
    """The network's output on a batch: N x 3 x sH x sW in float32, not clipped."""
    task = () if batch.task is None else (batch.task,)
    output: Tensor = network(batch.low, *task)
    return output.float()
