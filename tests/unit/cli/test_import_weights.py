"""Hostile input through the real command line: one line, exit code 3, nothing written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgerestore.networks import build_network, find_model
from edgerestore.networks.checkpoints import reference_names
from edgerestore.networks.weights import load_weights


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hacked",)


def reference_state(model: str = "esrt_x2") -> dict[str, torch.Tensor]:
    state = build_network(find_model(model)).state_dict()
    names = reference_names(find_model(model))
    return {name: torch.ones(1) if ours is None else state[ours] for name, ours in names.items()}


def truncated(path: Path) -> None:
    torch.save(reference_state(), path)
    os.truncate(path, path.stat().st_size // 2)


def giant(path: Path) -> None:
    path.touch()
    os.truncate(path, (2 << 30) + 1)


def not_finite(path: Path) -> None:
    state = reference_state()
    state["head.0.bias"] = torch.full((32,), torch.nan)
    torch.save(state, path)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncated, "damaged or not a checkpoint"),
    "code": (lambda path: torch.save({"a": Hostile()}, path), "could run code"),
    "NaN": (not_finite, "'head.0.bias' holds NaN or infinity"),
    "giant": (giant, "no checkpoint of these models exceeds 2 GiB"),
    "sibling": (lambda path: torch.save(reference_state("esrt_x4"), path), "it fits 'esrt_x4'"),
    "folder": (Path.mkdir, "not a plain file"),
    "nothing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoint_is_one_line_and_exit_code_3(case: str, tmp_path: Path, edgerestore) -> None:
    make, expected = BAD[case]
    make(tmp_path / "bad.pth")
    done = edgerestore(
        "import-weights", "esrt_x2", "bad.pth", "--out", "out.safetensors", cwd=tmp_path
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("edgerestore: bad.pth: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.pth"}


def test_import_writes_weights_and_says_so_in_json(tmp_path: Path, edgerestore) -> None:
    state = reference_state()
    torch.save(state, tmp_path / "good.pth")
    out = tmp_path / "new" / "w.safetensors"
    done = edgerestore("import-weights", "esrt_x2", tmp_path / "good.pth", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "model": "esrt_x2",
        "weights": str(out),
        "params": 677_771,
        "dropped": 12,
    }
    weights = load_weights(out, find_model("esrt_x2"))
    assert torch.equal(weights.tensors["head.weight"], state["head.0.weight"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["esrt_x22", "good.pth", "--out", "w.safetensors"], "did you mean 'esrt_x2'?"),
        (["esrt_x2", "good.pth", "--out", "w.pth"], "must end in .safetensors"),
        (["esrt_x2", "good.pth", "--out", "good.pth/w.safetensors"], "cannot be written"),
    ],
    ids=["unknown model", "suffix", "unwritable"],
)
def test_bad_argument_is_one_line_and_exit_code_3(
    arguments: list[str], expected: str, tmp_path: Path, edgerestore
) -> None:
    torch.save(reference_state(), tmp_path / "good.pth")
    done = edgerestore("import-weights", *arguments, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["good.pth"]
