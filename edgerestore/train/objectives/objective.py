"""What every objective is, and how one runs a network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from edgerestore.train.data import Batch


class Objective(nn.Module, ABC):
    """Runs a network on a batch and says how wrong it is.

    Parameters of its own learn together with the network's; they and its buffers are kept in
    checkpoints, and are never shipped.
    """

    @abstractmethod
    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """Returns the loss, a scalar in float32, under the loop's rules of autocast."""


class LossOf(nn.Module):
    """A network and its objective as one module.

    This, not the network, is what several processes wrap: so they average the gradients of
    the objective's own parameters too, and hooks on the network's modules still run.
    """

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch."""
        loss: Tensor = self.objective(self.network, batch)
        return loss


def run_network(network: nn.Module, batch: Batch) -> Tensor:
    """The network's output on a batch: N x 3 x sH x sW in float32, not clipped."""
    task = () if batch.task is None else (batch.task,)
    output: Tensor = network(batch.low, *task)
    return output.float()
