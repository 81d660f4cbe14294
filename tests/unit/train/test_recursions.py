from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from edgerestore.errors import InputError
from edgerestore.networks import build_network, find_model
from edgerestore.networks.recursion import recur, recursions_of
from edgerestore.networks.weights import load_weights
from edgerestore.recipe.pictures import Noise, Pictures, Source
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.loop import train
from edgerestore.train.objectives import objective_of
from edgerestore.train.validation import validation_set

DRT_S = find_model("drt_s")
TINY = dataclasses.replace(DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1})
NOISE = Noise(sigma=(20, 20))
SETTINGS = TrainSettings(
    source=(Source(clean=("pictures",), degradation=NOISE),),
    validation=(Pictures(clean=("pictures",), degradation=NOISE, leave_out=("0.png",)),),
    steps=4,
    batch=2,
    patch=16,
    warmup_steps=1,
    checkpoint_every=2,
    amp="fp32",
    recursions=(1, 3),
)


class Depths:
    """How often a network recurred in each of its runs."""

    def __init__(self, network: nn.Module) -> None:
        self.seen: list[int | None] = []
        network.register_forward_pre_hook(lambda m, inputs: self.seen.append(recursions_of(m)))


def test_depth_is_drawn_evenly_and_from_the_seed() -> None:
    network = build_network(TINY)
    objective = objective_of(network, TINY, SETTINGS, Path())
    depths = Depths(network)
    low = torch.rand(1, 3, 16, 16)

    def drawn(step: int) -> int | None:
        torch.manual_seed(step)
        with torch.no_grad():
            objective(Batch(low, low, None))
        return depths.seen[-1]

    first = [drawn(step) for step in range(90)]
    assert first[:10] == [drawn(step) for step in range(10)]
    assert {depth: first.count(depth) for depth in (1, 2, 3)}.keys() == set(first)
    assert min(first.count(depth) for depth in (1, 2, 3)) > 20


def test_run_of_several_depths_resumes_to_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    data = TrainingData(pictures.parent, SETTINGS.source, TINY, SETTINGS.patch)
    whole = train(TINY, SETTINGS, data, [], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SETTINGS, data, [], tmp_path / "cut", stop=lambda: True)
    resumed = train(TINY, SETTINGS, data, [], tmp_path / "cut", resume=True)
    one, same = (load_weights(path, TINY).tensors for path in (whole, resumed))
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_validation_reports_every_depth(pictures: Path, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, steps=1)
    data = TrainingData(pictures.parent, settings.source, TINY, settings.patch)
    held_back = validation_set(pictures.parent, settings.validation[0], TINY)
    path = train(TINY, settings, data, [held_back], tmp_path)
    metadata = load_weights(path, TINY).metadata
    assert metadata["training"]["recursions"] == [1, 3]
    scores = {item["recursions"]: item for item in metadata["scores"]}
    assert [item["set"] for item in scores.values()] == [f"pictures r={n}" for n in (1, 2, 3)]
    network = build_network(TINY)
    network.load_state_dict(load_weights(path, TINY).tensors)
    for depth, score in scores.items():
        recur(network, depth)
        measured = held_back.measure(network, torch.device("cpu")).figures
        assert score["psnr_y_db"] == pytest.approx(measured.psnr_y_db)
    assert len({score["psnr_y_db"] for score in scores.values()}) == 3
    assert list(json.loads((tmp_path / "log.jsonl").read_text())["scores"]) == [
        "pictures r=1",
        "pictures r=2",
        "pictures r=3",
    ]


@pytest.mark.parametrize(
    ("model", "recursions", "message"),
    [
        ("ipt_s_derain", (1, 3), "recursions: nothing recurs in 'ipt_s_derain'"),
        ("drt_s", (1, 2), "'drt_s' recurs 3 times .* 1 to 2 leave it out"),
        ("esrt_s_x2", (6, 7), "'esrt_s_x2' recurs 5 times"),
    ],
)
def test_recursions_that_do_not_suit_are_refused(model: str, recursions, message: str) -> None:
    spec = find_model(model)
    settings = msgspec.structs.replace(SETTINGS, recursions=recursions)
    with pytest.raises(InputError, match=message):
        objective_of(build_network(spec), spec, settings, Path())


@pytest.mark.parametrize("recursions", [[0, 3], [3, 1], [1]])
def test_recursions_are_fewest_and_most(recursions: list[int]) -> None:
    fields = {**msgspec.to_builtins(SETTINGS), "recursions": recursions}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, TrainSettings)
