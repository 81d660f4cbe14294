from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgerestore.errors import CheckpointError, InputError
from edgerestore.networks import MODELS, ModelSpec, build_network, find_model, spec
from edgerestore.networks.checkpoints import import_checkpoint, reference_names
from edgerestore.networks.ipt import IPT, IPTConfig
from edgerestore.networks.ipt_specs import TASKS
from edgerestore.networks.weights import load_network, load_weights, save_weights, state_shapes

GOLDEN = Path(__file__).parents[2] / "golden"
TOLERANCE = 1e-4
"""Largest difference over the output's standard deviation; 4e-6 is measured."""

SHAPE = {"features": 16, "side": 24, "layers": 2, "heads": 4}
"""Of the golden files: the published network made small, with values in [0, 255]."""

ONE_OF_SIX = list(TASKS)[:4]
"""The tasks that golden files exist for."""


def golden(number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"ipt_small_task{number}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
        return json.loads(str(file["meta"])), arrays


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelSpec]:
    """The network of the golden files and its one-task networks, as entries of the table."""
    made = {}
    for name in ("ipt", *find_model("ipt").tasks):
        given = find_model(name)
        parent = given.parent and "small"
        made[name] = dataclasses.replace(
            given,
            name=name.replace("ipt", "small"),
            config={**given.config, **SHAPE},
            parent=parent,
        )
        monkeypatch.setitem(MODELS, made[name].name, made[name])
    return {entry.name: entry for entry in made.values()}


def filled(name: str, shape: list[int]) -> Tensor:
    """A tensor's values, from its reference name alone; the golden outputs belong to them."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    values = values.astype(np.float32)
    if len(shape) > 1:
        return torch.from_numpy(values * np.float32(0.5 / np.sqrt(np.prod(shape[1:]))))
    return torch.from_numpy(np.float32(0.1) * values + np.float32(name.endswith("weight")))


@pytest.fixture(scope="module")
def six() -> dict[str, Tensor]:
    """A checkpoint of all six tasks, as the authors save it. Not to be changed."""
    meta, _ = golden(0)
    state = {name: filled(name, shape) for name, shape in meta["parameters"].items()}
    for name, shape in meta["other_entries"].items():
        kind = torch.int64 if name.endswith("ids") else torch.float32
        state[name] = torch.zeros(shape, dtype=kind)
    return state


def one(six: dict[str, Tensor], task: str) -> dict[str, Tensor]:
    """A checkpoint that was fine-tuned for one task: its head, tail and embedding alone."""
    number = list(TASKS).index(task)
    state = {}
    for name, value in six.items():
        top, _, rest = name.partition(".")
        if top not in ("head", "tail"):
            state[name] = value
        elif rest.startswith(f"{number}."):
            state[f"{top}.0.{rest.partition('.')[2]}"] = value
    table = "body.query_embed.weight"
    state[table] = six[table][number : number + 1]
    return state


def imported(state: dict[str, Tensor], entry: ModelSpec, folder: Path) -> Path:
    """Our file, made from the authors'."""
    torch.save(state, folder / "theirs.pth")
    weights = import_checkpoint(folder / "theirs.pth", entry)
    save_weights(folder / f"{entry.name}.safetensors", entry, weights.tensors, weights.metadata)
    return folder / f"{entry.name}.safetensors"


def output_error(network: Callable[..., Tensor], number: int, *task: int) -> float:
    """Of the output, against the reference network's, whose values lie in [0, 255]."""
    _, arrays = golden(number)
    with torch.inference_mode():
        result = network(torch.from_numpy(arrays["input0"]) / 255, *task).numpy() * 255
    expected = arrays["output0"]
    assert result.shape == expected.shape
    return float(np.abs(result - expected).max() / expected.std())


def test_imported_network_of_six_tasks_reproduces_the_reference_outputs(
    six: dict[str, Tensor], small: dict[str, ModelSpec], tmp_path: Path
) -> None:
    network = load_network(small["small"], imported(six, small["small"], tmp_path))
    for number in range(len(ONE_OF_SIX)):
        assert output_error(network, number, number) <= TOLERANCE


@pytest.mark.parametrize("task", ONE_OF_SIX)
def test_every_way_to_one_task_reproduces_the_reference_outputs(
    task: str, six: dict[str, Tensor], small: dict[str, ModelSpec], tmp_path: Path
) -> None:
    entry, number = small[f"small_{task}"], list(TASKS).index(task)
    ways = [
        imported(six, small["small"], tmp_path),
        imported(six, entry, tmp_path),
        imported(one(six, task), entry, tmp_path),
    ]
    for path in ways:
        network = load_network(entry, path)
        assert set(network.state_dict()) == set(state_shapes(entry))
        assert output_error(network, number) <= TOLERANCE


def test_constants_are_dropped_and_need_not_be_there(
    six: dict[str, Tensor], small: dict[str, ModelSpec], tmp_path: Path
) -> None:
    meta, _ = golden(0)
    path = imported(six, small["small_derain"], tmp_path)
    source = load_weights(path, small["small_derain"]).metadata["imported_from"]
    assert source["dropped"] == sorted(meta["other_entries"])
    bare = {name: value for name, value in six.items() if name in meta["parameters"]}
    path = imported(bare, small["small_derain"], tmp_path)
    source = load_weights(path, small["small_derain"]).metadata["imported_from"]
    assert source["dropped"] == []


def test_map_of_names_covers_the_reference_exactly(small: dict[str, ModelSpec]) -> None:
    meta, _ = golden(0)
    names = reference_names(small["small"])
    assert {name for name, ours in names.items() if ours} == set(meta["parameters"])
    assert {name for name, ours in names.items() if not ours} == set(meta["other_entries"])


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in names}


BAD: dict[str, tuple[str, Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "one task for six": ("small", lambda six: one(six, "x2"), "it fits 'small_x2'"),
    "another task": ("small_derain", lambda six: one(six, "x3"), "it fits 'small_x3'"),
    "wrong table": (
        "small_x2",
        lambda six: {**one(six, "x2"), "body.query_embed.weight": torch.ones(6, 9216)},
        "'body.query_embed.weight' is (6, 9216), but 'small_x2' needs (1, 9216)",
    ),
    "six without one's tail": (
        "small_x2",
        lambda six: without(six, "tail.3.1.bias"),
        "not a checkpoint of 'small': 1 missing (tail.3.1.bias); none unexpected",
    ),
    "NaN in another task": (
        "small_x2",
        lambda six: {**six, "tail.3.1.bias": torch.full((3,), torch.nan)},
        "'tail.3.1.bias' holds NaN or infinity",
    ),
    "stranger": ("small_x2", lambda six: {"conv.weight": torch.ones(3)}, "it fits no other model"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoint_is_one_clear_error(
    case: str, six: dict[str, Tensor], small: dict[str, ModelSpec], tmp_path: Path
) -> None:
    model, make, expected = BAD[case]
    torch.save(make(six), tmp_path / "bad.pth")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tmp_path / "bad.pth", small[model])
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'bad.pth'}: ")
    assert expected in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("task", TASKS)
def test_file_of_six_tasks_serves_each_of_them(task: str, tmp_path: Path) -> None:
    parent, entry = find_model("ipt_s"), find_model(f"ipt_s_{task}")
    network = build_network(parent)
    save_weights(tmp_path / "six.safetensors", parent, network.state_dict(), {"step": 7})
    assert (tmp_path / "six.safetensors").stat().st_size < 8_000_000
    weights = load_weights(tmp_path / "six.safetensors", entry)
    assert weights.metadata["step"] == 7
    assert {k: tuple(v.shape) for k, v in weights.tensors.items()} == state_shapes(entry)
    image = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        expected = network(image, list(TASKS).index(task))
        result = load_network(entry, tmp_path / "six.safetensors")(image)
    assert torch.allclose(result, expected, atol=1e-6)


def test_files_of_one_task_serve_neither_six_nor_another(tmp_path: Path) -> None:
    entry, path = find_model("ipt_s_derain"), tmp_path / "one.safetensors"
    save_weights(path, entry, build_network(entry).state_dict(), {})
    load_network(entry, path)
    for other in ("ipt_s", "ipt_s_denoise30", "ipt_derain"):
        with pytest.raises(CheckpointError, match=f"of 'ipt_s_derain', not of '{other}'"):
            load_network(find_model(other), path)
    save_weights(path, find_model("ipt_s"), build_network(find_model("ipt_s")).state_dict(), {})
    with pytest.raises(CheckpointError, match="of 'ipt_s', not of 'ipt_derain'"):
        load_network(find_model("ipt_derain"), path)


def test_shipped_file_of_all_tasks_is_that_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "SHIPPED_WEIGHTS", tmp_path)
    entry = find_model("ipt_s_derain")
    assert entry.weights is None
    (tmp_path / "ipt_s.safetensors").touch()
    assert entry.weights == find_model("ipt_s").weights == tmp_path / "ipt_s.safetensors"
    (tmp_path / "ipt_s_derain.safetensors").touch()
    assert entry.weights == tmp_path / "ipt_s_derain.safetensors"
    assert find_model("ipt_s_x2").weights == tmp_path / "ipt_s.safetensors"


FAMILY = [name for name in MODELS if name.split("_")[0] == "ipt"]


@pytest.mark.parametrize("name", FAMILY)
def test_declared_parameters_are_those_of_the_network(name: str) -> None:
    entry = find_model(name)
    assert sum(math.prod(shape) for shape in state_shapes(entry).values()) == entry.params


def test_parameter_counts_are_those_of_the_publication() -> None:
    counted = {name: find_model(name).params + find_model(name).dead_params for name in FAMILY}
    assert counted["ipt"] == 118_892_394
    assert counted["ipt_x2"] == 115_460_443
    assert counted["ipt_s"] < 1_900_000
    meta, _ = golden(0)
    shapes = state_shapes(find_model("small"))
    assert sum(math.prod(s) for s in shapes.values()) + 24 == meta["num_parameters"]


def test_tasks_and_parents_name_each_other() -> None:
    for name in ("ipt", "ipt_s"):
        entry = find_model(name)
        assert entry.tasks == tuple(f"{name}_{task}" for task in TASKS)
        assert [find_model(child).parent for child in entry.tasks] == [name] * len(TASKS)
        assert [find_model(child).scale for child in entry.tasks] == list(TASKS.values())


def test_every_tensor_learns_and_patches_are_at_hand_for_a_loss() -> None:
    network = IPT(IPTConfig(**SHAPE)).train()
    patches: list[Tensor] = []
    network.body.register_forward_hook(lambda module, given, out: patches.append(out))
    for number in range(len(TASKS)):
        network(torch.rand(2, 3, 24, 24), number).square().mean().backward()
    assert [tuple(out.shape) for out in patches] == [(2, 64, 144)] * len(TASKS)
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("changes", [{"tasks": ("x5",)}, {"tasks": ()}, {"patch": 5}, {"heads": 7}])
def test_impossible_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        IPTConfig(**{**SHAPE, **changes})


def test_compact_variant_has_no_authors_checkpoints(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no authors' checkpoints"):
        import_checkpoint(tmp_path / "w.pth", find_model("ipt_s_x2"))


@pytest.mark.slow
@pytest.mark.parametrize("name", find_model("ipt").tasks)
def test_published_network_runs_at_its_full_size(name: str) -> None:
    entry = find_model(name)
    with torch.inference_mode():
        result = build_network(entry)(torch.rand(1, 3, 48, 48))
    assert result.shape == (1, 3, 48 * entry.scale, 48 * entry.scale)
    assert torch.isfinite(result).all()
