from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edgerestore.errors import CheckpointError, InputError
from edgerestore.evaluation import ImagePair
from edgerestore.models import find_model
from edgerestore.models.weights import load_weights
from edgerestore.recipe.training import TrainSettings
from edgerestore.train import loop
from edgerestore.train.data import SuperResolutionData
from edgerestore.train.loop import learning_rate_at, mean_psnr_y_db, train

SPEC = find_model("esrt_s_x2")
SETTINGS = TrainSettings(
    data=("pictures",), steps=4, batch=2, patch=12, warmup_steps=1, checkpoint_every=2, amp="fp32"
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(pictures: Path) -> SuperResolutionData:
    return SuperResolutionData(pictures.parent, ("pictures",), SPEC.scale, SETTINGS.patch)


@pytest.fixture
def pairs(data: SuperResolutionData) -> list[ImagePair]:
    return [ImagePair(pair.name, pair.low, pair.high) for pair in data.pairs[:2]]


def test_run_ends_with_weights_that_explain_themselves(data, pairs, tmp_path: Path) -> None:
    path = train(SPEC, SETTINGS, data, pairs, tmp_path / "run")
    assert path == tmp_path / "run" / "esrt_s_x2.safetensors"
    metadata = load_weights(path, SPEC).metadata
    assert metadata["training"]["steps"] == 4
    assert metadata["pictures"] == {"count": 5, "sha256": data.digest()}
    assert metadata["scores"][0]["images"] == ["0.png", "1.png"]
    assert 5 < metadata["scores"][0]["psnr_y_db"] < 60
    lines = [json.loads(s) for s in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    assert math.isfinite(lines[0]["loss"])


def test_one_seed_gives_one_result(data, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, steps=2)
    first = train(SPEC, settings, data, [], tmp_path / "a")
    second = train(SPEC, settings, data, [], tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    other = msgspec.structs.replace(settings, seed=1)
    assert first.read_bytes() != train(SPEC, other, data, [], tmp_path / "c").read_bytes()


def test_stopped_run_resumes_to_the_same_weights(data, tmp_path: Path) -> None:
    whole = train(SPEC, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(SPEC, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    (tmp_path / "cut" / "log.jsonl").write_text('{"step": 1}\n{"step": 3}\n{"st')
    resumed = train(SPEC, SETTINGS, data, [], tmp_path / "cut", resume=True)
    assert resumed.read_bytes() == whole.read_bytes()
    lines = (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 4]


def test_average_is_what_ships(data, tmp_path: Path) -> None:
    path = train(SPEC, SETTINGS, data, [], tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    tensors = load_weights(path, SPEC).tensors
    assert all(torch.equal(tensors[name], state["average"][name]) for name in tensors)
    assert any(not torch.equal(tensors[name], state["network"][name]) for name in tensors)


def test_second_run_into_a_folder_is_refused(data, tmp_path: Path) -> None:
    train(SPEC, SETTINGS, data, [], tmp_path)
    with pytest.raises(InputError, match="--resume continues it"):
        train(SPEC, SETTINGS, data, [], tmp_path)
    longer = msgspec.structs.replace(SETTINGS, steps=5)
    with pytest.raises(InputError, match="other settings"):
        train(SPEC, longer, data, [], tmp_path, resume=True)
    data.pairs.pop()
    with pytest.raises(InputError, match="other pictures"):
        train(SPEC, SETTINGS, data, [], tmp_path, resume=True)


def test_checkpoint_of_before_pictures_were_recorded_still_resumes(data, tmp_path: Path) -> None:
    whole = train(SPEC, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(SPEC, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    last = tmp_path / "cut" / "last.pt"
    state = torch.load(last, weights_only=True)
    del state["data"]
    torch.save(state, last)
    resumed = train(SPEC, SETTINGS, data, [], tmp_path / "cut", resume=True)
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "text", "keys"])
def test_damaged_checkpoint_is_named(damage: str, data, tmp_path: Path) -> None:
    train(SPEC, SETTINGS, data, [], tmp_path)
    last = tmp_path / "last.pt"
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:-100])
    elif damage == "text":
        last.write_text("hello")
    else:
        state = torch.load(last, weights_only=True)
        state["network"].popitem()
        torch.save(state, last)
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged"):
        train(SPEC, SETTINGS, data, [], tmp_path, resume=True)


def test_loss_that_is_not_finite_stops_before_it_spoils_the_weights(
    data, tmp_path: Path, monkeypatch
) -> None:
    batch = data.batch

    def poisoned(seed: int, step: int, size: int):
        low, high = batch(seed, step, size)
        return (low * torch.nan if step == 2 else low), high

    monkeypatch.setattr(SuperResolutionData, "batch", lambda self, *a: poisoned(*a))
    with pytest.raises(InputError, match=r"diverged: the loss of step 3 is nan; lower"):
        train(SPEC, SETTINGS, data, [], tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["network"].values())


def test_unwritable_folder_is_our_error(data, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        train(SPEC, SETTINGS, data, [], tmp_path / "file" / "run")


def test_learning_rate_warms_up_and_follows_a_cosine() -> None:
    settings = TrainSettings(data=("x",), steps=1000, warmup_steps=100)
    rates = [learning_rate_at(settings, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[100] == settings.learning_rate
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))
    assert rates[550] == pytest.approx(5e-4, rel=0.01)
    assert rates[-1] == pytest.approx(settings.final_learning_rate, abs=1e-5)


def test_progress_reaches_the_caller(data, pairs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    seen = []
    train(SPEC, SETTINGS, data, pairs, tmp_path, report=seen.append)
    assert [at.step for at in seen] == [2, 4]
    assert seen[0].psnr_y_db is None
    assert seen[1].psnr_y_db is not None
    assert seen[1].steps_per_s > 0


def test_validation_is_psnr_of_rounded_whole_images(pairs) -> None:
    class Doubling(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=2.0)

    low = pairs[0].low
    exact = ImagePair("same", low, low.repeat(2, 0).repeat(2, 1))
    off = ImagePair("off", low, np.clip(exact.high.astype(int) + 0, 0, 255).astype(np.uint8) ^ 1)
    assert mean_psnr_y_db(Doubling(), [exact], find_model("esrt_x2")) > 300
    assert 40 < mean_psnr_y_db(Doubling(), [off], find_model("esrt_x2")) < 60
