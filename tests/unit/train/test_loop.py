from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import msgspec
import pytest
import torch

from edgerestore.errors import CheckpointError, InputError
from edgerestore.networks import build_network, find_model
from edgerestore.networks.weights import load_weights, save_weights
from edgerestore.recipe.pictures import Noise, Pictures, Source
from edgerestore.recipe.training import TrainSettings
from edgerestore.train import loop
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train
from edgerestore.train.validation import ValidationSet, validation_set

DRT_S = find_model("drt_s")
TINY = dataclasses.replace(DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1})
"""DRT-S with a twentieth of its values, so that a step takes milliseconds."""
NOISE = Noise(sigma=(20, 20))
SETTINGS = TrainSettings(
    source=(Source(clean=("pictures",), degradation=NOISE),),
    validation=(Pictures(clean=("pictures",), degradation=NOISE),),
    steps=4,
    batch=2,
    patch=16,
    warmup_steps=1,
    checkpoint_every=2,
    amp="fp32",
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(pictures: Path) -> TrainingData:
    return TrainingData(pictures.parent, SETTINGS.source, TINY, SETTINGS.patch)


@pytest.fixture
def held_back(pictures: Path) -> list[ValidationSet]:
    return [validation_set(pictures.parent, item, TINY) for item in SETTINGS.validation]


def same_weights(first: Path, second: Path) -> bool:
    one, other = (load_weights(path, TINY).tensors for path in (first, second))
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_run_ends_with_weights_that_explain_themselves(data, held_back, tmp_path: Path) -> None:
    path = train(TINY, SETTINGS, data, held_back, tmp_path / "run")
    assert path == tmp_path / "run" / "drt_s.safetensors"
    metadata = load_weights(path, TINY).metadata
    assert metadata["training"]["steps"] == 4
    assert metadata["pictures"] == {"count": 5, "sha256": data.digest}
    assert metadata["scores"][0]["set"] == "pictures"
    assert metadata["scores"][0]["images"] == ["0", "1", "2", "3", "4"]
    assert 5 < metadata["scores"][0]["psnr_y_db"] < 60
    assert 5 < metadata["scores"][0]["psnr_rgb_db"] < 60
    # Luma averages the three channels' noise, and spans 219 of 255.
    assert metadata["scores"][0]["input_psnr_y_db"] == pytest.approx(26.9, abs=0.5)
    assert metadata["code"].startswith("edgerestore ")
    assert metadata["hardware"].endswith("1 process of 1 thread")
    assert metadata["torch"] == torch.__version__
    assert metadata["wall_time_s"] > 0
    lines = [json.loads(s) for s in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    assert math.isfinite(lines[0]["loss"])


def test_one_seed_gives_one_result(data, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, steps=2)
    first = train(TINY, settings, data, [], tmp_path / "a")
    second = train(TINY, settings, data, [], tmp_path / "b")
    assert same_weights(first, second)
    other = msgspec.structs.replace(settings, seed=1)
    assert not same_weights(first, train(TINY, other, data, [], tmp_path / "c"))


def test_stopped_run_resumes_to_the_same_weights(data, tmp_path: Path) -> None:
    whole = train(TINY, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    (tmp_path / "cut" / "log.jsonl").write_text('{"step": 1}\n{"step": 3}\n{"st')
    resumed = train(TINY, SETTINGS, data, [], tmp_path / "cut", resume=True)
    assert same_weights(resumed, whole)
    lines = (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 4]


def test_average_is_what_ships(data, tmp_path: Path) -> None:
    path = train(TINY, SETTINGS, data, [], tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    tensors = load_weights(path, TINY).tensors
    assert all(torch.equal(tensors[name], state["average"][name]) for name in tensors)
    assert any(not torch.equal(tensors[name], state["network"][name]) for name in tensors)


def test_last_weights_ship_where_nothing_is_averaged(data, tmp_path: Path) -> None:
    path = train(TINY, msgspec.structs.replace(SETTINGS, ema=0), data, [], tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    tensors = load_weights(path, TINY).tensors
    assert all(torch.equal(tensors[name], state["network"][name]) for name in tensors)


def test_best_weights_are_kept(data, held_back, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, validate_every=1, ema=0, learning_rate=0.05)
    train(TINY, settings, data, held_back, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["scores"]["pictures"]["psnr_y_db"] for line in lines}
    assert list(scores) == [1, 2, 3, 4]
    best = load_weights(tmp_path / "best.safetensors", TINY)
    assert best.metadata["step"] == max(scores, key=scores.__getitem__)
    assert best.metadata["scores"][0]["psnr_y_db"] == max(scores.values())
    network = build_network(TINY)
    network.load_state_dict(best.tensors)
    measured = held_back[0].measure(network, torch.device("cpu")).figures
    assert measured.psnr_y_db == pytest.approx(max(scores.values()), abs=1e-3)


def test_processes_that_make_batches_change_nothing(data, tmp_path: Path) -> None:
    whole = train(TINY, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    helped = msgspec.structs.replace(SETTINGS, workers=1)
    resumed = train(TINY, helped, data, [], tmp_path / "cut", resume=True)
    assert same_weights(resumed, whole)


def test_run_goes_on_from_a_start(data, tmp_path: Path) -> None:
    torch.manual_seed(5)
    tensors = build_network(TINY).state_dict()
    save_weights(tmp_path / "first.safetensors", TINY, tensors, {})
    settings = msgspec.structs.replace(
        SETTINGS, start="first.safetensors", learning_rate=1e-9, steps=1
    )
    train(TINY, settings, data, [], tmp_path / "run", folder=tmp_path)
    (tmp_path / "first.safetensors").unlink()
    path = train(TINY, settings, data, [], tmp_path / "run", folder=tmp_path, resume=True)
    weights = load_weights(path, TINY)
    for name, value in weights.tensors.items():
        torch.testing.assert_close(value, tensors[name], atol=1e-6, rtol=0)
    assert weights.metadata["start"]["model"] == "drt_s"
    assert weights.metadata["start"]["values_taken"] == weights.metadata["start"]["values"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", ["fp32", "bf16", "fp16"])
def test_cuda_trains_and_resumes(amp: str, data, held_back, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, amp=amp, device="cuda")
    with pytest.raises(KeyboardInterrupt):
        train(TINY, settings, data, held_back, tmp_path, stop=lambda: True)
    path = train(TINY, settings, data, held_back, tmp_path, resume=True)
    weights = load_weights(path, TINY)
    assert weights.metadata["scores"][0]["psnr_y_db"] > 5
    assert weights.metadata["hardware"].startswith("1 x ")


def test_second_run_into_a_folder_is_refused(data, pictures: Path, tmp_path: Path) -> None:
    train(TINY, SETTINGS, data, [], tmp_path)
    with pytest.raises(InputError, match="--resume continues it"):
        train(TINY, SETTINGS, data, [], tmp_path)
    longer = msgspec.structs.replace(SETTINGS, steps=5)
    with pytest.raises(InputError, match="other settings"):
        train(TINY, longer, data, [], tmp_path, resume=True)
    (pictures / "4.png").unlink()
    fewer = TrainingData(pictures.parent, SETTINGS.source, TINY, SETTINGS.patch)
    with pytest.raises(InputError, match="other pictures"):
        train(TINY, SETTINGS, fewer, [], tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["cut", "text", "keys"])
def test_damaged_checkpoint_is_named(damage: str, data, tmp_path: Path) -> None:
    train(TINY, SETTINGS, data, [], tmp_path)
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
        train(TINY, SETTINGS, data, [], tmp_path, resume=True)


def test_loss_that_is_not_finite_stops_before_it_spoils_the_weights(
    data, tmp_path: Path, monkeypatch
) -> None:
    batch = data.batch

    def poisoned(seed: int, step: int, places: range):
        drawn = batch(seed, step, places)
        return dataclasses.replace(drawn, low=drawn.low * torch.nan) if step == 2 else drawn

    monkeypatch.setattr(TrainingData, "batch", lambda self, *a: poisoned(*a))
    with pytest.raises(InputError, match=r"diverged: the loss of step 3 is nan; lower"):
        train(TINY, SETTINGS, data, [], tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["network"].values())


def test_unwritable_folder_is_our_error(data, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        train(TINY, SETTINGS, data, [], tmp_path / "file" / "run")


def test_progress_reaches_the_caller(data, held_back, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    seen = []
    train(TINY, SETTINGS, data, held_back, tmp_path, report=seen.append)
    assert [at.step for at in seen] == [1, 2, 3, 4]
    assert seen[2].scores == {}
    assert seen[3].scores["pictures"].psnr_y_db > 5
    assert seen[3].steps_per_s > 0
    assert seen[0].learning_rate == SETTINGS.learning_rate
