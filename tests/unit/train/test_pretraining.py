"""IPT's way: pre-train on several tasks at once, then fine-tune for one that was not among them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch

from edgerestore.networks import MODELS, ModelSpec, SizeRule, build_network, find_model
from edgerestore.networks.weights import load_weights
from edgerestore.recipe.pictures import Source
from edgerestore.recipe.training import TrainSettings
from edgerestore.shipped import shipped_folder
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.loop import train

SIDE = 24
TINY = {"features": 8, "layers": 1, "heads": 2, "ffn_ratio": 1, "side": SIDE, "value_range": 1.0}
PRETRAINING_STEPS, STEPS = 300, 60
CLEAN = ["evaluation/photos/HR", "demo/HR"]
HELD_BACK = ("astronaut-face.png", "astronaut-suit.png", "rocket-night.png", "rocket-lattice.png")
LEARNT = ("friends-dog.png", "friends-planks.png", "life-forest.png", "life-stream.png")
NEW_TASK = {"kind": "noise", "sigma": [70, 70]}


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> tuple[ModelSpec, ModelSpec]:
    """IPT-S and its entry for noise, made tiny in the table of models."""
    for name in ("ipt_s", "ipt_s_denoise50"):
        spec = find_model(name)
        task = {"task": "denoise50"} if spec.parent else {}
        size = SizeRule(minimum=SIDE, multiple_of=SIDE, maximum=SIDE)
        tiny = dataclasses.replace(spec, config={**task, **TINY}, tile=SIDE, size_rule=size)
        monkeypatch.setitem(MODELS, name, tiny)
    return find_model("ipt_s"), find_model("ipt_s_denoise50")


def source(degradation: dict[str, object], **changes: object) -> dict[str, object]:
    fields = {"clean": CLEAN, "degradation": degradation, "leave_out": HELD_BACK}
    return {**fields, **changes}


def settings(**fields: object) -> TrainSettings:
    common = {"batch": 4, "patch": SIDE, "warmup_steps": 20, "ema": 0.99, "amp": "fp32"}
    return msgspec.convert({**common, **fields}, TrainSettings)


def trained(spec: ModelSpec, asked: TrainSettings, out: Path) -> Path:
    data = TrainingData(shipped_folder("calibration"), asked.source, spec, SIDE)
    return train(spec, asked, data, [], out, folder=out.parent)


def psnr_db(path: Path, spec: ModelSpec, batch: Batch) -> float:
    """Mean PSNR over RGB."""
    network = build_network(spec)
    network.load_state_dict(load_weights(path, spec).tensors)
    with torch.inference_mode():
        errors = (network(batch.low).clamp(0, 1) - batch.high).square().mean((1, 2, 3))
    return float(-10 * errors.log10().mean())


def test_pretraining_beats_training_from_scratch_on_a_task_held_back(
    family: tuple[ModelSpec, ModelSpec], tmp_path: Path
) -> None:
    """Noise of sigma 70, which no task of pre-training has, on pictures that none has either.

    The paper tries its network on noise of strengths that it was not pre-trained on as well.
    On other crops of these pictures, seeds 0 to 2 gained 3.3, 1.9 and 1.8 dB; after 600 steps of
    pre-training 3.7, 2.7 and 3.4 dB.
    """
    parent, child = family
    tasks = {
        "ipt_s_x2": {"kind": "bicubic"},
        "ipt_s_denoise30": {"kind": "noise", "sigma": [30, 30]},
        "ipt_s_denoise50": {"kind": "noise", "sigma": [50, 50]},
    }
    sources = [source(degradation, task=task) for task, degradation in tasks.items()]
    before = settings(source=sources, steps=PRETRAINING_STEPS, learning_rate=2e-3, contrastive={})
    trained(parent, before, tmp_path / "before")
    scratch = settings(source=[source(NEW_TASK)], steps=STEPS, learning_rate=1e-3)
    fine = msgspec.structs.replace(scratch, start="before/ipt_s.safetensors")
    view = msgspec.convert([source(NEW_TASK, clean=CLEAN[:1], leave_out=LEARNT)], list[Source])
    batch = TrainingData(shipped_folder("calibration"), view, child, SIDE).batch(0, 0, range(48))
    score = {
        asked.start: psnr_db(trained(child, asked, tmp_path / name), child, batch)
        for name, asked in (("scratch", scratch), ("fine", fine))
    }
    assert score[fine.start] > score[None] + 0.5
    # What ships is of one task: the other heads and tails are gone.
    tensors = load_weights(tmp_path / "fine" / "ipt_s_denoise50.safetensors", child).tensors
    assert not any("x2" in name or "denoise30" in name for name in tensors)
