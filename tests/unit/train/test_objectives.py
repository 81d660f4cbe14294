from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn

from edgerestore.errors import InputError, UnknownNameError
from edgerestore.networks import build_network, find_model
from edgerestore.networks.ipt import IPT
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import Batch
from edgerestore.train.objectives import objective_of
from edgerestore.train.objectives.contrastive import patch_contrast
from edgerestore.train.objectives.objective import Objective, run_network
from edgerestore.train.objectives.taps import Tap

SOURCE = {"clean": ["x"], "degradation": {"kind": "noise", "sigma": [30, 30]}}


def settings(**fields: object) -> TrainSettings:
    return msgspec.convert({"source": [SOURCE], "steps": 1, **fields}, TrainSettings)


def objective_for(network: nn.Module, settings: TrainSettings) -> Objective:
    return objective_of(network, find_model("ipt_s"), settings, Path())


@pytest.fixture(scope="module")
def ipt() -> IPT:
    from edgerestore.networks import ipt

    torch.manual_seed(0)
    return ipt.build(features=8, layers=1, heads=2, ffn_ratio=1, value_range=1.0)


def ipt_batch(images: int, task: int = 3) -> Batch:
    low = torch.rand(images, 3, 48, 48, generator=torch.Generator().manual_seed(images))
    return Batch(low, low.sqrt(), task)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l1", 0.25),
        ("mse", (0.25**2 + 0.5**2) / 3),
        ("charbonnier", sum(math.sqrt(d * d + 1e-6) for d in (0, 0.25, 0.5)) / 3),
    ],
)
def test_pixel_losses_are_means_over_values(kind, expected: float) -> None:
    batch = Batch(torch.tensor([[[[0.0, 0.25, 0.5]]]]), torch.tensor([[[[0.0, 0.5, 1.0]]]]), None)
    assert float(Objective(nn.Identity(), kind)(batch)) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["l1", "mse", "charbonnier"])
def test_pixel_losses_have_a_gradient_where_output_and_target_agree(kind) -> None:
    output = torch.zeros(1, 3, 4, 4, requires_grad=True)
    Objective(nn.Identity(), kind)(Batch(output, torch.zeros(1, 3, 4, 4), None)).backward()
    assert torch.isfinite(output.grad).all()


def test_task_reaches_the_network_only_where_there_are_several() -> None:
    class Tasks(nn.Module):
        def forward(self, image: Tensor, task: int) -> Tensor:
            return image + task

    low = torch.zeros(1, 3, 2, 2)
    assert (run_network(Tasks(), Batch(low, low, 2)) == 2).all()
    assert (run_network(nn.Identity(), Batch(low, low, None)) == 0).all()


def contrast_by_hand(features: Tensor) -> float:
    """The formula, pair by pair."""

    def d(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm()))

    images, patches, _ = features.shape
    losses = []
    for i, j, k in itertools.product(range(images), range(patches), range(patches)):
        if k == j:
            continue
        others = [
            math.exp(d(features[i, j], features[other, m]))
            for other in range(images)
            for m in range(patches)
            if other != i
        ]
        losses.append(-math.log(math.exp(d(features[i, j], features[i, k])) / sum(others)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("shape", [(2, 2, 3), (3, 4, 5), (4, 3, 2)])
def test_contrastive_loss_is_the_formula(shape: tuple[int, int, int]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    assert float(patch_contrast(features)) == pytest.approx(contrast_by_hand(features), rel=1e-5)


def test_contrastive_gradient_is_that_of_the_formula() -> None:
    features = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    features.requires_grad_()
    patch_contrast(features).backward()
    for place in itertools.product(range(2), range(2), range(3)):
        moved = [features.detach().double().clone() for _ in range(2)]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        slope = (contrast_by_hand(moved[0]) - contrast_by_hand(moved[1])) / 2e-5
        assert float(features.grad[place]) == pytest.approx(slope, abs=1e-4)


def test_contrastive_loss_falls_as_images_come_apart() -> None:
    together = torch.ones(3, 8, 4)
    apart = torch.eye(3, 4)[:, None].expand(3, 8, 4)
    # All similarities 1, then 1 inside an image and 0 between two.
    assert float(patch_contrast(together)) == pytest.approx(math.log(16))
    assert float(patch_contrast(apart)) == pytest.approx(math.log(16) - 1)


def test_contrastive_loss_of_silent_features_has_a_finite_gradient() -> None:
    features = torch.zeros(2, 4, 3, requires_grad=True)
    patch_contrast(features).backward()
    assert torch.isfinite(features.grad).all()


def test_contrastive_term_weighs_what_the_body_returns(ipt: IPT) -> None:
    batch = ipt_batch(2)
    plain = objective_for(ipt, settings())(batch)
    both = objective_for(ipt, settings(contrastive={"weight": 0.25}))(batch)
    tokens = []
    hook = ipt.body.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    run_network(ipt, batch)
    hook.remove()
    assert tokens[0].shape == (2, 256, 72)
    expected = 0.25 * patch_contrast(tokens[0])
    assert (both - plain).item() == pytest.approx(expected.item(), rel=1e-4)


def test_contrastive_term_learns_under_autocast(ipt: IPT) -> None:
    objective = objective_for(ipt, settings(contrastive={}))
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(ipt_batch(2))
    assert loss.dtype == torch.float32
    torch.autograd.backward(loss)
    gradients = [p.grad for p in ipt.body.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    ipt.zero_grad()


def test_one_image_cannot_be_contrasted(ipt: IPT) -> None:
    with pytest.raises(InputError, match="raise batch"):
        objective_for(ipt, settings(contrastive={}))(ipt_batch(1))
    with pytest.raises(msgspec.ValidationError, match="holds only one"):
        settings(batch=1, contrastive={})


def test_contrastive_wants_a_body_of_tokens() -> None:
    network = build_network(find_model("esrt_s_x2"))
    with pytest.raises(InputError, match=r"\[train.contrastive\]: the network has no body"):
        objective_for(network, settings(contrastive={}))

    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Identity()

        def forward(self, image: Tensor) -> Tensor:
            return self.body(image)

    low = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match="must be tokens, N x L x D"):
        objective_for(Maps(), settings(contrastive={}))(Batch(low, low, None))


def test_tap_names_modules_that_are_not_there_or_do_not_run(ipt: IPT) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'body.encoder.0'\?"):
        Tap(ipt, ["body.encoder.9"])
    tap = Tap(ipt, ["heads.x2"])
    run_network(ipt, ipt_batch(1, task=3))
    with pytest.raises(InputError, match=r"'heads.x2' does not run in every step"):
        tap.take()
