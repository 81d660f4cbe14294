from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
import torch

from edgerestore.errors import InputError
from edgerestore.files import sha256_of
from edgerestore.networks import MODELS, build_network, find_model
from edgerestore.networks.weights import load_network, load_weights, save_weights, spec_in
from edgerestore.pruning import rounds
from edgerestore.pruning.latency import Stopwatch
from edgerestore.pruning.rounds import Journal, Telling, macs_of, prune
from edgerestore.recipe.pictures import Noise, Pictures, Source
from edgerestore.recipe.pruning import PruneSettings
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train
from edgerestore.train.starting import spec_to_train
from edgerestore.train.validation import ValidationSet, validation_set

DRT_S = find_model("drt_s")
TINY = dataclasses.replace(
    DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1, "recursions": 2}, tile=16
)
TINY_PARAMS = sum(value.numel() for value in build_network(TINY).parameters())
NOISE = Noise(sigma=(20, 20))
TRAINING = TrainSettings(
    source=(Source(clean=("pictures",), degradation=NOISE),),
    validation=(Pictures(clean=("pictures",), degradation=NOISE),),
    steps=3,
    batch=2,
    patch=16,
    warmup_steps=1,
    checkpoint_every=1,
    amp="fp32",
)
SETTINGS = PruneSettings(macs=0.3, rounds=2, weights="dense.safetensors", batches=2)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "dense.safetensors"
    save_weights(path, TINY, build_network(TINY).state_dict(), {})
    return path


@pytest.fixture
def data(pictures: Path) -> TrainingData:
    return TrainingData(pictures.parent, TRAINING.source, TINY, TRAINING.patch)


@pytest.fixture
def held_back(pictures: Path) -> list[ValidationSet]:
    return [validation_set(pictures.parent, item, TINY) for item in TRAINING.validation]


def run(
    data: TrainingData, dense: Path, name: str, *, validation: list | None = None, **changes: object
) -> Journal:
    folder = dense.parent
    options = {key: changes.pop(key) for key in ("resume", "telling") if key in changes}
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return prune(
        TINY, settings, TRAINING, data, validation or [], folder / name, folder=folder, **options
    )


def test_each_round_prunes_its_part_and_trains_what_is_left(data, dense, held_back) -> None:
    journal = run(data, dense, "run", validation=held_back)
    first, second, third = journal.stages
    out = dense.parent / "run"
    assert first.macs == macs_of(build_network(TINY), TINY.tile)
    assert 0.78 < second.macs / first.macs <= 0.85
    assert 0.63 < third.macs / first.macs <= 0.7
    assert first.params > second.params > third.params
    assert first.pruned_db is None
    for stage in (second, third):
        assert stage.psnr_y_db != stage.pruned_db
        network = load_network(TINY, out / stage.weights)
        assert macs_of(network, TINY.tile) == stage.macs
        spec = spec_in(out / stage.weights, TINY)
        assert spec.params == stage.params
        assert Path(stage.weights).name == f"{spec.name}.safetensors"
    assert msgspec.json.decode((out / "prune.json").read_bytes(), type=Journal) == journal


def test_killed_run_ends_with_the_weights_of_one_that_was_not(data, dense) -> None:
    whole = run(data, dense, "whole")
    for round_ in (1, 2):
        at: list[int] = []

        def stop(at: list[int] = at, round_: int = round_) -> bool:
            return round_ in at

        telling = Telling(training=lambda number, progress, at=at: at.append(number), stop=stop)
        with pytest.raises(KeyboardInterrupt):
            run(data, dense, "cut", resume=True, telling=telling)
    resumed = run(data, dense, "cut", resume=True)
    assert resumed == whole
    one, same = (
        load_weights(path, spec_in(path, TINY)).tensors
        for path in (dense.parent / name / whole.stages[-1].weights for name in ("whole", "cut"))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert run(data, dense, "cut", resume=True) == whole


def test_dense_network_teaches_where_it_is_asked_to(data, dense, monkeypatch) -> None:
    monkeypatch.setitem(MODELS, "drt_s", TINY)
    stage = run(data, dense, "taught", rounds=1, dense_weight=0.5).stages[-1]
    path = dense.parent / "taught" / stage.weights
    taught = load_weights(path, spec_in(path, TINY)).metadata["teacher"]
    assert taught == {"model": "drt_s", "weights_sha256": sha256_of(dense)}


def test_folder_of_another_run_is_refused(data, dense) -> None:
    run(data, dense, "run", rounds=1)
    with pytest.raises(InputError, match="holds a run already; --resume continues it"):
        run(data, dense, "run", rounds=1)
    with pytest.raises(InputError, match="was made by other settings"):
        run(data, dense, "run", rounds=1, macs=0.2, resume=True)
    (dense.parent / "run" / "prune.json").write_text("{")
    with pytest.raises(InputError, match="damaged; delete it"):
        run(data, dense, "run", rounds=1, resume=True)


def test_share_beyond_the_limits_is_refused(data, dense) -> None:
    with pytest.raises(InputError, match="nothing more may go"):
        run(data, dense, "run", parts=("heads",), macs=0.8)


def test_network_of_several_tasks_is_refused(data, dense) -> None:
    with pytest.raises(InputError, match="'ipt_s' holds several tasks; prune ipt_s_"):
        prune(find_model("ipt_s"), SETTINGS, TRAINING, data, [], dense.parent / "run")


def test_training_goes_on_from_pruned_weights(data, dense) -> None:
    stage = run(data, dense, "run", rounds=1).stages[-1]
    folder, start = dense.parent, f"run/{stage.weights}"
    spec = spec_to_train(TINY, start, folder)
    assert spec.name == Path(stage.weights).stem
    settings = msgspec.structs.replace(TRAINING, start=start)
    path = train(spec, settings, data, [], folder / "on", folder=folder)
    assert path.name == f"{spec.name}.safetensors"
    metadata = load_weights(path, spec).metadata
    assert metadata["start"]["values_taken"] == metadata["start"]["values"]
    assert json.loads(json.dumps(dict(spec.config))) == metadata["config"]


def test_latency_budget_is_kept_by_pruning_until_it_is(data, dense, monkeypatch) -> None:
    asked: list[float] = []

    class Clock:
        """Of a machine on which half of the values gone are a quarter of the time gone."""

        def __init__(self, spec, dense, target, precision, folder) -> None:
            assert (target, precision) == ("x86-onnxruntime", "fp32")
            assert load_weights(dense, spec)

        def share(self, weights: Path) -> float:
            params = sum(tensor.numel() for tensor in load_network(TINY, weights).parameters())
            asked.append(1 - (1 - params / TINY_PARAMS) / 2)
            return asked[-1]

    monkeypatch.setattr(rounds, "Stopwatch", Clock)
    journal = run(
        data,
        dense,
        "fast",
        macs=None,
        latency=0.1,
        rounds=1,
        parts=("channels", "hidden"),
        target="x86-onnxruntime",
        precision="fp32",
    )
    left = [1 - (1 - stage.params / TINY_PARAMS) / 2 for stage in journal.stages]
    assert left[0] == 1
    assert left[1] == asked[-1] <= 0.9 < asked[0]


def test_stopwatch_times_what_runs_here_and_refuses_the_rest(dense, tmp_path: Path) -> None:
    watch = Stopwatch(TINY, dense, "x86-onnxruntime", "fp32", tmp_path / "times")
    assert 0 < watch.share(dense) < 100
    with pytest.raises(InputError, match="has no bf16"):
        Stopwatch(TINY, dense, "x86-onnxruntime", "bf16", tmp_path / "never")


def test_macs_or_latency_is_given() -> None:
    for shares in ({}, {"macs": 0.3, "latency": 0.3}):
        with pytest.raises(ValueError, match="either macs or latency"):
            PruneSettings(**shares)
