from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgerestore.errors import InputError, MissingPartError
from edgerestore.networks import find_model
from edgerestore.networks.weights import load_weights
from edgerestore.recipe import Recipe, read_toml
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train
from edgerestore.train.processes import Processes, alone, joined

SPEC = find_model("drt_s")
RECIPE = """
model = "drt_s"
[train]
steps = 16
batch = 4
patch = 16
amp = "fp32"
warmup_steps = 5
checkpoint_every = 2
[[train.source]]
clean = ["pictures"]
degradation = { kind = "noise", sigma = [20, 20] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``r.toml`` and its pictures."""
    root: Path = tmp_path_factory.mktemp("torchrun")
    (root / "pictures").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(root / "pictures" / f"{number}.png")
    (root / "r.toml").write_text(RECIPE)
    return root


def torchrun(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", "-m", "edgerestore", "train", "r.toml", "--data", "."]
    return subprocess.Popen(
        [sys.executable, "-m", *command, "--out", str(out), "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def children(process: int) -> list[int]:
    """Direct ones, oldest first."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


@pytest.fixture(scope="module")
def shared_by_two(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of an uninterrupted run of two processes."""
    process = torchrun(folder, folder / "two")
    printed, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    # Only the leading one prints.
    assert json.loads(printed)["weights"] == str(folder / "two" / "drt_s.safetensors")
    assert "FutureWarning" not in said
    return load_weights(folder / "two" / "drt_s.safetensors", SPEC).tensors


def test_two_processes_come_to_what_one_does_with_the_whole_batch(
    folder: Path, shared_by_two: dict[str, torch.Tensor]
) -> None:
    settings = read_toml(folder / "r.toml", Recipe).train
    assert settings is not None
    data = TrainingData(folder, settings.source, SPEC, settings.patch)
    path = train(SPEC, settings, data, [], folder / "one")
    one = load_weights(path, SPEC).tensors
    moved = [float((one[name] - start).abs().max()) for name, start in fresh().items()]
    assert max(moved) > 1e-3
    for name, value in one.items():
        torch.testing.assert_close(shared_by_two[name], value, atol=1e-5, rtol=1e-4, msg=name)


def fresh() -> dict[str, torch.Tensor]:
    from edgerestore.networks import build_network

    torch.manual_seed(0)
    return build_network(SPEC).state_dict()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_lost_process_is_reported_and_the_run_goes_on_by_itself(
    folder: Path, shared_by_two: dict[str, torch.Tensor]
) -> None:
    out = folder / "lost"
    process = torchrun(folder, out)
    while not (out / "last.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    victim = children(process.pid)[-1]
    os.kill(victim, signal.SIGKILL)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert f"pid: {victim}" in said
    assert "SIGKILL" in said or "exitcode: -9" in said
    found = load_weights(out / "drt_s.safetensors", SPEC)
    for name, value in shared_by_two.items():
        assert torch.equal(found.tensors[name], value)


def test_several_machines_are_told_what_restarts_need(monkeypatch) -> None:
    told = {
        "TORCHELASTIC_RUN_ID": "run",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GROUP_WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(InputError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
        joined("cpu"),
    ):
        pass


def test_batch_is_shared_evenly() -> None:
    cpu = torch.device("cpu")
    assert alone("cpu").places(5) == range(5)
    shares = [Processes(cpu, rank, 3).places(6) for rank in range(3)]
    assert shares == [range(2), range(2, 4), range(4, 6)]
    with pytest.raises(InputError, match="a batch of 5 cannot be shared by 3 processes"):
        Processes(cpu, 1, 3).places(5)


def test_process_without_torchrun_is_alone() -> None:
    with joined("cpu") as processes:
        assert processes == Processes(torch.device("cpu"))
        assert processes.leads
        assert processes.agree(torch.tensor(2.5), True) == (2.5, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_device_is_named() -> None:
    assert alone("auto").device.type == "cpu"
    with pytest.raises(MissingPartError, match="no CUDA device"):
        alone("cuda")
