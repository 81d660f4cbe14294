from __future__ import annotations

import pytest
import torch
from torch import nn

from edgerestore.train.data import Batch
from edgerestore.train.objectives.objective import run_network
from edgerestore.train.objectives.pixels import Pixels


def test_pixel_losses_are_means_over_values() -> None:
    batch = Batch(torch.tensor([[[[0.0, 0.25, 0.5]]]]), torch.tensor([[[[0.0, 0.5, 1.0]]]]), None)
    loss = {
        kind: float(Pixels(kind)(nn.Identity(), batch)) for kind in ("l1", "mse", "charbonnier")
    }
    assert loss["l1"] == pytest.approx(0.25)
    assert loss["mse"] == pytest.approx((0.25**2 + 0.5**2) / 3)
    expected = sum((d * d + 1e-6) ** 0.5 for d in (0, 0.25, 0.5)) / 3
    assert loss["charbonnier"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["l1", "mse", "charbonnier"])
def test_pixel_losses_have_a_gradient_where_output_and_target_agree(kind) -> None:
    output = torch.zeros(1, 3, 4, 4, requires_grad=True)
    Pixels(kind)(nn.Identity(), Batch(output, torch.zeros(1, 3, 4, 4), None)).backward()
    assert torch.isfinite(output.grad).all()


def test_task_reaches_the_network_only_where_there_are_several() -> None:
    class Tasks(nn.Module):
        def forward(self, image: torch.Tensor, task: int) -> torch.Tensor:
            return image + task

    low = torch.zeros(1, 3, 2, 2)
    assert (run_network(Tasks(), Batch(low, low, 2)) == 2).all()
    assert (run_network(nn.Identity(), Batch(low, low, None)) == 0).all()
