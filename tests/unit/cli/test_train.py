from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgerestore.networks import build_network, find_model
from edgerestore.networks.weights import load_weights, save_weights
from edgerestore.pictures import read_rgb
from edgerestore.recipe import Recipe, read_toml
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train

RECIPE = """
model = "drt_s"
[train]
steps = {steps}
batch = 2
patch = 16
warmup_steps = 5
checkpoint_every = 3
validate_every = 20
[[train.source]]
clean = ["pictures"]
degradation = {{ kind = "noise", sigma = [20, 20] }}
"""
VALIDATION = """
[[train.validation]]
clean = ["held-back"]
degradation = { kind = "noise", sigma = [20, 20] }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(steps=24))
    return path


def started(*arguments: object, out: Path) -> subprocess.Popen[str]:
    """A training process that has written a checkpoint."""
    last = out / "last.pt"
    before = last.stat().st_mtime_ns if last.exists() else None
    process = subprocess.Popen(
        [sys.executable, "-m", "edgerestore", "train", *map(str, arguments), "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not last.exists() or last.stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def test_run_ended_twice_resumes_to_the_bits_of_an_uninterrupted_one(
    recipe: Path, pictures: Path, tmp_path: Path, edgerestore
) -> None:
    out, arguments = tmp_path / "cut", (recipe, "--data", pictures.parent)
    killed = started(*arguments, out=out)
    # Anywhere: in a step, or while a checkpoint is written.
    time.sleep(random.uniform(0, 0.1))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    stopped = started(*arguments, "--resume", out=out)
    stopped.send_signal(signal.SIGINT)
    message = stopped.communicate()[1]
    assert stopped.returncode == 130
    assert message.count("\n") == 1
    assert not (out / "drt_s.safetensors").exists()
    done = edgerestore("train", *arguments, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr

    resumed = load_weights(out / "drt_s.safetensors", find_model("drt_s")).tensors
    whole = uninterrupted(recipe, pictures.parent, tmp_path / "whole")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def uninterrupted(recipe: Path, data: Path, out: Path) -> dict[str, torch.Tensor]:
    """The weights of the same training in this process, on as many threads."""
    spec, settings = find_model("drt_s"), read_toml(recipe, Recipe).train
    assert settings is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pictures = TrainingData(data, settings.source, spec, settings.patch)
        return load_weights(train(spec, settings, pictures, [], out), spec).tensors
    finally:
        torch.set_num_threads(threads)


def test_shipped_recipe_is_found_by_name_and_missing_data_is_named(tmp_path, edgerestore) -> None:
    done = edgerestore("train", "esrt_s_x2", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "sr/Set5: no such folder" in done.stderr
    assert done.stderr.count("\n") == 1
    done = edgerestore("train", "esrt_s_xx2", "--data", tmp_path)
    assert done.returncode == 3
    assert "unknown recipe 'esrt_s_xx2'; did you mean 'esrt_s_x2'?" in done.stderr


def test_short_run_goes_on_from_a_start_and_reports_in_json(
    recipe: Path, pictures: Path, tmp_path: Path, edgerestore
) -> None:
    spec = find_model("drt_s")
    # Relative to the recipe, and not to where the command runs.
    save_weights(tmp_path / "first.safetensors", spec, build_network(spec).state_dict(), {})
    text = RECIPE.format(steps=2).replace("batch", "start = 'first.safetensors'\nbatch", 1)
    recipe.write_text(text + VALIDATION)
    hold_back(pictures.parent, noise(40, 36))
    arguments = ["--data", pictures.parent, "--out", tmp_path / "run", "--json"]
    done = edgerestore("train", recipe, *arguments, cwd=pictures)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["model"] == "drt_s"
    metadata = load_weights(Path(document["weights"]), spec).metadata
    assert metadata["start"]["values_taken"] == 156_696
    assert metadata["scores"][0]["psnr_y_db"] > 5
    assert load_weights(tmp_path / "run" / "best.safetensors", spec).metadata["step"] == 2


def test_held_back_picture_among_the_training_ones_stops_the_run(
    recipe: Path, pictures: Path, tmp_path: Path, edgerestore
) -> None:
    recipe.write_text(RECIPE.format(steps=2) + VALIDATION)
    hold_back(pictures.parent, read_rgb(pictures / "3.png")[:, ::-1])
    done = edgerestore("train", recipe, "--data", pictures.parent, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "1 training picture shows what validation holds back: 3 shows mine;" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def hold_back(data: Path, image: np.ndarray) -> None:
    (data / "held-back").mkdir()
    Image.fromarray(image).save(data / "held-back" / "mine.png")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_recipe_without_training_and_with_a_wrong_key_are_one_line(tmp_path, edgerestore) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "esrt_s_x2"\n')
    done = edgerestore("train", recipe, "--data", tmp_path)
    assert done.returncode == 3
    assert "has no [train] table" in done.stderr
    recipe.write_text(RECIPE.format(steps=2).replace("batch", "bach"))
    done = edgerestore("train", recipe, "--data", tmp_path)
    assert done.returncode == 3
    assert "did you mean 'batch'?" in done.stderr
