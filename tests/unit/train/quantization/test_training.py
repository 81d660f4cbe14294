"""Runs of ``train`` whose networks learn for INT8."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
import torch

from edgerestore.errors import RecipeError
from edgerestore.networks import find_model
from edgerestore.networks.weights import load_weights
from edgerestore.recipe import Recipe, read_toml
from edgerestore.recipe.pictures import Noise, Pictures, Source
from edgerestore.recipe.quantization import Quantization
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train
from edgerestore.train.validation import validation_set

DRT_S = find_model("drt_s")
TINY = dataclasses.replace(DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1}, tile=32)
NOISE = Noise(sigma=(20, 20))
ONE = ("1.png", "2.png", "3.png", "4.png")
SETTINGS = TrainSettings(
    source=(Source(clean=("pictures",), degradation=NOISE),),
    validation=(Pictures(clean=("pictures",), degradation=NOISE, leave_out=ONE),),
    steps=4,
    batch=2,
    patch=16,
    warmup_steps=1,
    checkpoint_every=2,
    amp="fp32",
    quantization=Quantization(),
)


@pytest.fixture
def data(pictures: Path) -> TrainingData:
    return TrainingData(pictures.parent, SETTINGS.source, TINY, SETTINGS.patch)


def test_stopped_run_resumes_to_the_same_weights(data: TrainingData, tmp_path: Path) -> None:
    whole = train(TINY, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    resumed = train(TINY, SETTINGS, data, [], tmp_path / "cut", resume=True)
    one, same = (load_weights(path, TINY).tensors for path in (whole, resumed))
    assert all(torch.equal(one[name], same[name]) for name in one)
    states = [torch.load(tmp_path / run / "last.pt", weights_only=True) for run in ("whole", "cut")]
    ranges, others = (state["ranges"] for state in states)
    assert {site for site in ranges if site.startswith("layers.0.block1.fc1")} == {
        f"layers.0.block1.fc1#{call}" for call in (1, 2, 3)
    }
    assert all(torch.equal(ranges[site], others[site]) for site in ranges)
    plain = msgspec.structs.replace(SETTINGS, quantization=None)
    other = load_weights(train(TINY, plain, data, [], tmp_path / "plain"), TINY).tensors
    assert list(other) == list(one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_validation_tells_what_rounding_costs(
    data: TrainingData, pictures: Path, tmp_path: Path
) -> None:
    held_back = [validation_set(pictures.parent, item, TINY) for item in SETTINGS.validation]
    path = train(TINY, SETTINGS, data, held_back, tmp_path)
    scores = load_weights(path, TINY).metadata["scores"]
    assert [score["set"] for score in scores] == [
        "pictures",
        "pictures in tiles",
        "pictures in tiles, INT8",
    ]
    whole, tiles, rounded = (score["psnr_y_db"] for score in scores)
    assert tiles != rounded
    assert abs(whole - rounded) < 3
    assert "float32" in scores[1]["protocol"]
    assert scores[2]["protocol"].startswith("tiles of 32 with 8 shared, products of values rounded")
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["scores"]["pictures in tiles, INT8"]["psnr_y_db"] == rounded


def test_network_learns_what_its_steps_can_say(data: TrainingData, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, steps=20, learning_rate=3e-3, ema=0.0)
    losses = []
    train(TINY, settings, data, [], tmp_path, report=lambda at: losses.append(at.loss))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[train.quantization]\ntie_noize = 1.0", "unknown key 'tie_noize'"),
        ("[train.quantization]\ntie_noise = -1.0", "Expected `float` >= 0"),
        ("compile = true\n[train.quantization]", "leave compile out"),
    ],
)
def test_bad_recipes_are_told_in_one_line(table: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    sources = '[[train.source]]\nclean = ["a"]\ndegradation = { kind = "bicubic" }\n'
    head, _, rest = table.partition("[train.q")
    path.write_text(f'model = "drt_s"\n[train]\nsteps = 1\n{head}[train.q{rest}\n{sources}')
    with pytest.raises(RecipeError, match=r"^[^\n]*$") as caught:
        read_toml(path, Recipe)
    assert words in str(caught.value)
