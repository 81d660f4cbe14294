from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import sha256_of
from edgerestore.networks import build_network, find_model
from edgerestore.networks.weights import save_weights
from edgerestore.train.starting import read_start, start_file


def weights_of(model: str, folder: Path) -> Path:
    path = folder / f"{model}.safetensors"
    torch.manual_seed(1)
    save_weights(path, find_model(model), build_network(find_model(model)).state_dict(), {})
    return path


def test_same_model_gives_everything(tmp_path: Path) -> None:
    path = weights_of("drt_s", tmp_path)
    start = read_start(path, find_model("drt_s"))
    network = build_network(find_model("drt_s"))
    start.fill(network)
    assert start.facts == {
        "file": "drt_s.safetensors",
        "sha256": sha256_of(path),
        "model": "drt_s",
        "values_taken": 156_696,
        "values": 156_696,
    }
    assert all(
        torch.equal(network.state_dict()[name], start.tensors[name]) for name in start.tensors
    )
    assert set(start.tensors) == set(network.state_dict())


def test_other_scale_gives_what_fits_and_leaves_the_rest_fresh(tmp_path: Path) -> None:
    start = read_start(weights_of("esrt_s_x2", tmp_path), find_model("esrt_s_x4"))
    network = build_network(find_model("esrt_s_x4"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start.fill(network)
    after = network.state_dict()
    fresh = set(before) - set(start.tensors)
    assert fresh
    assert all(torch.equal(after[name], before[name]) for name in fresh)
    assert all(torch.equal(after[name], start.tensors[name]) for name in start.tensors)
    assert 120_000 < start.facts["values_taken"] < start.facts["values"] == 137_747


def test_one_task_goes_on_from_all_tasks_and_from_another(tmp_path: Path) -> None:
    child = find_model("ipt_s_derain")
    own = set(build_network(child).state_dict())
    assert set(read_start(weights_of("ipt_s", tmp_path), child).tensors) == own
    sibling = read_start(weights_of("ipt_s_denoise50", tmp_path), child)
    assert set(sibling.tensors) < own
    assert any(name.startswith("body.") for name in sibling.tensors)


def test_weights_that_hardly_fit_and_other_families_are_refused(tmp_path: Path) -> None:
    path = weights_of("drt_s", tmp_path)
    with pytest.raises(CheckpointError, match=r"'drt_s' shares only [\d,]+ of 1,180,347 values"):
        read_start(path, find_model("drt"))
    with pytest.raises(CheckpointError, match="'drt_s', from which 'esrt_s_x2' cannot go on"):
        read_start(path, find_model("esrt_s_x2"))
    with pytest.raises(InputError, match="no such file"):
        read_start(tmp_path / "none.safetensors", find_model("drt_s"))
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_start(tmp_path / "text.safetensors", find_model("drt_s"))


def test_shipped_weights_go_by_their_models_name(tmp_path: Path) -> None:
    assert start_file("esrt_s_x2", tmp_path) == find_model("esrt_s_x2").weights
    assert start_file("runs/w.safetensors", tmp_path) == tmp_path / "runs" / "w.safetensors"
    with pytest.raises(InputError, match="no weights are shipped for 'ipt'; let start name"):
        start_file("ipt", tmp_path)
