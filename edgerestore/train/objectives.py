"""What a training step minimises."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.train.data import Batch


class Objective(Protocol):
    """Runs a network on a batch and says how wrong it is."""

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Returns the loss, a scalar in float32; ``network`` may be wrapped for several processes.

        Called under autocast's rules of the loop.
        """


def run_network(network: nn.Module, batch: Batch) -> Tensor:
    """The network's output on a batch: N x 3 x sH x sW in float32, not clipped."""
    task = () if batch.task is None else (batch.task,)
    output: Tensor = network(batch.low, *task)
    return output.float()


class Pixels:
    """Mean absolute error of the output."""

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """As :class:`Objective` says."""
        return F.l1_loss(run_network(network, batch), batch.high)
