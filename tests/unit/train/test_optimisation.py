from __future__ import annotations

import copy
import itertools

import msgspec
import pytest
import torch
from torch import nn

from edgerestore.errors import InputError, RecipeError
from edgerestore.recipe import Recipe, read_toml
from edgerestore.recipe.optimisation import Constant, Cosine, Optimizer, Steps
from edgerestore.recipe.pictures import Source
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.optimisation import Updates, learning_rate_at, move_average

CPU = torch.device("cpu")
SETTINGS = TrainSettings(source=(Source(pairs="pairs"),), steps=1000, warmup_steps=0, amp="fp32")


def changed(**fields) -> TrainSettings:
    return msgspec.structs.replace(SETTINGS, **fields)


def rates(settings: TrainSettings) -> list[float]:
    return [learning_rate_at(settings, step) for step in range(settings.steps)]


def test_rate_warms_up_and_follows_a_cosine() -> None:
    found = rates(changed(warmup_steps=100))
    assert found[0] == pytest.approx(1e-5)
    assert max(found) == found[100] == SETTINGS.learning_rate
    assert all(a >= b for a, b in itertools.pairwise(found[100:]))
    assert found[550] == pytest.approx(5e-4, rel=0.01)
    assert found[-1] == pytest.approx(1e-6, abs=1e-5)


def test_cosine_waits_as_drsformers_does() -> None:
    found = rates(changed(schedule=Cosine(constant_steps=300)))
    assert set(found[:301]) == {SETTINGS.learning_rate}
    assert found[301] < SETTINGS.learning_rate
    assert found[650] == pytest.approx(5e-4, rel=0.01)


def test_rate_halves_as_esrts_does_and_stays_as_drts_does() -> None:
    found = rates(changed(schedule=Steps(every=200), warmup_steps=10))
    assert found[10] == found[199] == 1e-3
    assert found[200] == found[399] == 5e-4
    assert found[999] == pytest.approx(1e-3 / 16)
    assert set(rates(changed(schedule=Constant()))) == {1e-3}


@pytest.mark.parametrize(
    ("wanted", "peer"),
    [
        (Optimizer(), torch.optim.Adam),
        (Optimizer(betas=(0.8, 0.99), weight_decay=0.1), torch.optim.Adam),
        (Optimizer(kind="adamw", weight_decay=0.1), torch.optim.AdamW),
    ],
)
def test_updates_are_the_optimizers_own(wanted: Optimizer, peer) -> None:
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs = copy.deepcopy(ours)
    settings = changed(optimizer=wanted, clip_norm=0, schedule=Constant())
    updates = Updates(ours.parameters(), settings, CPU)
    plain = peer(theirs.parameters(), lr=1e-3, betas=wanted.betas, weight_decay=wanted.weight_decay)
    for step in range(5):
        x = torch.randn(2, 4)
        norm = updates.make(ours(x).square().sum(), step)
        plain.zero_grad()
        theirs(x).square().sum().backward()
        assert norm == pytest.approx(
            float(nn.utils.get_total_norm(p.grad for p in theirs.parameters()))
        )
        plain.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_gradients_are_shortened_to_the_limit() -> None:
    layer = nn.Linear(4, 3)
    updates = Updates(layer.parameters(), changed(clip_norm=0.01), CPU)
    norm = updates.make(layer(torch.ones(1, 4)).sum() * 100, 0)
    assert norm > 100
    assert float(nn.utils.get_total_norm(p.grad for p in layer.parameters())) == pytest.approx(
        0.01, rel=1e-3
    )


def test_gradient_that_is_not_finite_leaves_the_weights_alone() -> None:
    layer = nn.Linear(4, 3)
    before = layer.weight.detach().clone()
    updates = Updates(layer.parameters(), SETTINGS, CPU)
    root = layer(torch.zeros(1, 4)).sum().sub(layer.bias.sum()).abs().sqrt()
    assert float(root.detach()) == 0
    with pytest.raises(InputError, match=r"diverged: the gradient of step 3 is nan"):
        updates.make(root, 2)
    assert torch.equal(layer.weight, before)


def test_state_carries_on() -> None:
    torch.manual_seed(0)
    first = nn.Linear(4, 3)
    updates = Updates(first.parameters(), SETTINGS, CPU)
    updates.make(first(torch.ones(1, 4)).square().sum(), 0)
    second = copy.deepcopy(first)
    again = Updates(second.parameters(), SETTINGS, CPU)
    again.load_state_dict(copy.deepcopy(updates.state_dict()))
    for layer, one in ((first, updates), (second, again)):
        one.make(layer(torch.full((1, 4), 2.0)).square().sum(), 1)
    assert torch.equal(first.weight, second.weight)


def test_precision_is_the_recipes() -> None:
    layer = nn.Linear(4, 3)
    for amp, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with Updates(layer.parameters(), changed(amp=amp), CPU).autocast():
            assert layer(torch.ones(1, 4)).dtype == expected
    with pytest.raises(InputError, match="fp16 needs a CUDA device; on a CPU say 'bf16'"):
        Updates(layer.parameters(), changed(amp="fp16"), CPU)


def test_average_follows_the_weights() -> None:
    network, average = (nn.Linear(1, 1).requires_grad_(False) for _ in range(2))
    network.weight.fill_(1)
    average.weight.fill_(0)
    move_average(average, network, 0.999, 0)
    assert float(average.weight) == pytest.approx(1 - 2 / 11)
    average.weight.fill_(0)
    move_average(average, network, 0.999, 1_000_000)
    assert float(average.weight) == pytest.approx(0.001)
    move_average(average, network, 0, 0)
    assert float(average.weight) == 1


PAPERS = {
    "esrt_x2": """
optimizer = { kind = "adam" }
learning_rate = 2e-4
schedule = { kind = "steps", every = 10000 }
batch = 16
patch = 48
""",
    "drt": """
loss = "mse"
learning_rate = 1e-4
schedule = { kind = "constant" }
batch = 5
patch = 56
""",
    "drsformer": """
optimizer = { kind = "adamw", weight_decay = 1e-4 }
learning_rate = 3e-4
schedule = { kind = "cosine", constant_steps = 92000, final_learning_rate = 1e-6 }
clip_norm = 0.01
batch = 8
patch = 128
""",
}


@pytest.mark.parametrize("model", PAPERS)
def test_papers_settings_can_be_said(model: str, tmp_path) -> None:
    path = tmp_path / "r.toml"
    rest = "warmup_steps = 0\nema = 0\n[[train.source]]\npairs = 'pairs'\n"
    path.write_text(f"model = '{model}'\n[train]\nsteps = 300000{PAPERS[model]}{rest}")
    train = read_toml(path, Recipe).train
    assert train is not None
    assert train.ema == 0
    if model == "drsformer":
        assert train.optimizer == Optimizer(kind="adamw", weight_decay=1e-4)
        assert learning_rate_at(train, 91_999) == 3e-4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("schedule = { kind = 'steps', evry = 5 }", "unknown key 'evry'.*did you mean 'every'"),
        ("schedule = { kind = 'step', every = 5 }", "Invalid value 'step'"),
        ("optimizer = { kind = 'sgd' }", "Invalid enum value 'sgd'"),
        ("optimizer = { betas = [0.9, 1] }", "Expected `float` < 1"),
        ("clip_norm = -1", "Expected `float` >= 0"),
        ("seed = -1", "Expected `int` >= 0"),
    ],
)
def test_wrong_values_are_named(line: str, message: str, tmp_path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f"model = 'drt_s'\n[train]\nsteps = 5\n{line}\n")
    with pytest.raises(RecipeError, match=message):
        read_toml(path, Recipe)
