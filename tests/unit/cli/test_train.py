from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from edgerestore.models import find_model
from edgerestore.models.weights import load_weights

RECIPE = """
model = "esrt_s_x2"
[train]
data = ["pictures"]
steps = {steps}
batch = 2
patch = 12
warmup_steps = 5
checkpoint_every = 3
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(steps=40))
    return path


def started(recipe: Path, data: Path, out: Path) -> subprocess.Popen[str]:
    """A training process that has written its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgerestore", "train", recipe, "--data", data, "--out", out],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not (out / "last.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_run_resumes_to_the_same_bits(
    number: signal.Signals, recipe: Path, pictures: Path, tmp_path: Path, edgerestore
) -> None:
    data = pictures.parent
    process = started(recipe, data, tmp_path / "cut")
    process.send_signal(number)
    message = process.communicate()[1]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert message.count("\n") == 1
    assert not (tmp_path / "cut" / "esrt_s_x2.safetensors").exists()

    for folder, resume in (("cut", ["--resume"]), ("whole", [])):
        arguments = ["--data", data, "--out", tmp_path / folder, *resume]
        done = edgerestore("train", recipe, *arguments)
        assert done.returncode == 0, done.stderr
    spec = find_model("esrt_s_x2")
    cut, whole = (
        load_weights(tmp_path / folder / "esrt_s_x2.safetensors", spec).tensors
        for folder in ("cut", "whole")
    )
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_shipped_recipe_is_found_by_name_and_missing_data_is_named(tmp_path, edgerestore) -> None:
    done = edgerestore("train", "esrt_s_x2", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "BSDS500/train: no such folder of pictures" in done.stderr
    assert done.stderr.count("\n") == 1
    done = edgerestore("train", "esrt_s_x", "--data", tmp_path)
    assert done.returncode == 3
    assert "unknown recipe 'esrt_s_x'; did you mean 'esrt_s_x2'?" in done.stderr


def test_short_run_reports_in_json(recipe: Path, pictures: Path, tmp_path, edgerestore) -> None:
    recipe.write_text(RECIPE.format(steps=2))
    arguments = ["--data", pictures.parent, "--out", tmp_path / "run", "--json"]
    done = edgerestore("train", recipe, *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["model"] == "esrt_s_x2"
    assert Path(document["weights"]).is_file()
    done = edgerestore("train", recipe, *arguments)
    assert done.returncode == 3
    assert "--resume continues it" in done.stderr


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


def test_training_for_another_task_than_super_resolution_says_so(
    edgerestore, pictures: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "rain.toml"
    recipe.write_text('model = "drt_s"\n[train]\ndata = ["pictures"]\nsteps = 2\n')
    done = edgerestore("train", recipe, "--data", pictures.parent, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "'drt_s' is for deraining" in done.stderr
    assert not (tmp_path / "run").exists()
