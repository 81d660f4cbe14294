from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgerestore import metrics
from edgerestore.errors import CheckpointError, InputError
from edgerestore.evaluation import read_pairs
from edgerestore.networks import MODELS, build_network, find_model
from edgerestore.networks.checkpoints import import_checkpoint, reference_names
from edgerestore.networks.weights import load_network, load_weights, save_weights

GOLDEN = Path(__file__).parents[2] / "golden"
PUBLISHED = ["esrt_x2", "esrt_x3", "esrt_x4", "drt", "drsformer", "drsformer_light"]
TOLERANCE = 1e-4
"""Largest difference over the output's standard deviation; 2e-6 is measured."""


def golden(model: str) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{model}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "meta"}
        return json.loads(str(file["meta"])), arrays


def filled(name: str, shape: list[int]) -> Tensor:
    """A tensor's values, from its reference name alone; the golden outputs belong to them."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    values = values.astype(np.float32)
    if len(shape) > 1:
        return torch.from_numpy(values * np.float32(0.5 / np.sqrt(np.prod(shape[1:]))))
    offset = 1 if name.endswith(("weight", "scale")) else 0
    return torch.from_numpy(np.float32(0.1) * values + np.float32(offset))


def reference_state(model: str) -> dict[str, Tensor]:
    meta, _ = golden(model)
    return {name: filled(name, shape) for name, shape in meta["parameters"].items()}


@pytest.mark.parametrize("model", PUBLISHED)
def test_imported_network_reproduces_the_reference_outputs(model: str, tmp_path: Path) -> None:
    spec = find_model(model)
    torch.save(reference_state(model), tmp_path / "theirs.pth")
    weights = import_checkpoint(tmp_path / "theirs.pth", spec)
    save_weights(tmp_path / "ours.safetensors", spec, weights.tensors, weights.metadata)
    network = load_network(spec, tmp_path / "ours.safetensors")
    _, arrays = golden(model)
    for number in range(sum(name.startswith("input") for name in arrays)):
        with torch.inference_mode():
            result = network(torch.from_numpy(arrays[f"input{number}"])).numpy()
        expected = arrays[f"output{number}"]
        assert np.abs(result - expected).max() / expected.std() <= TOLERANCE


@pytest.mark.parametrize("model", PUBLISHED)
def test_parameter_counts_are_those_of_the_publication(model: str) -> None:
    spec = find_model(model)
    meta, _ = golden(model)
    assert spec.params + spec.dead_params == meta["num_parameters"]
    assert sum(p.numel() for p in build_network(spec).parameters()) == spec.params


@pytest.mark.parametrize("model", PUBLISHED)
def test_map_of_names_covers_the_reference_exactly(model: str) -> None:
    spec = find_model(model)
    meta, _ = golden(model)
    names = reference_names(spec)
    assert set(names) == {*meta["parameters"], *meta["other_entries"]}
    dead = [name for name, ours in names.items() if ours is None]
    shapes = [meta["parameters"][name] for name in dead if name in meta["parameters"]]
    assert sum(int(np.prod(shape)) for shape in shapes) == spec.dead_params
    used = [ours for ours in names.values() if ours]
    assert sorted(used) == sorted(build_network(spec).state_dict())


def test_declared_parameters_hold_for_every_model() -> None:
    with torch.device("meta"):
        for spec in MODELS.values():
            assert sum(p.numel() for p in build_network(spec).parameters()) == spec.params


def test_constants_of_a_checkpoint_are_optional(tmp_path: Path) -> None:
    meta, _ = golden("drt")
    constants = {name: torch.zeros(shape) for name, shape in meta["other_entries"].items()}
    torch.save(reference_state("drt") | constants, tmp_path / "full.pth")
    torch.save(reference_state("drt"), tmp_path / "bare.pth")
    full, bare = (
        import_checkpoint(tmp_path / f"{name}.pth", find_model("drt")) for name in ("full", "bare")
    )
    assert full.tensors.keys() == bare.tensors.keys()
    dropped = set(full.metadata["imported_from"]["dropped"])
    assert dropped - set(bare.metadata["imported_from"]["dropped"]) == set(constants)


def wrapped(state: dict[str, Tensor]) -> object:
    return {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}


@pytest.mark.parametrize(
    "form",
    [wrapped, lambda state: {"params": state}, lambda state: {"params_ema": state, "params": {}}],
    ids=["state_dict+module", "params", "params_ema"],
)
def test_nesting_and_prefixes_are_taken_off(
    form: Callable[[dict[str, Tensor]], object], tmp_path: Path
) -> None:
    state = reference_state("esrt_x2")
    torch.save(form(state), tmp_path / "w.pt")
    weights = import_checkpoint(tmp_path / "w.pt", find_model("esrt_x2"))
    assert torch.equal(weights.tensors["head.weight"], state["head.0.weight"])
    assert len(weights.metadata["imported_from"]["dropped"]) == 12


def test_half_precision_and_old_format_become_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in reference_state("esrt_x2").items()}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    weights = import_checkpoint(tmp_path / "w.pth", find_model("esrt_x2"))
    assert {value.dtype for value in weights.tensors.values()} == {torch.float32}


def test_metadata_holds_model_configuration_and_source(tmp_path: Path) -> None:
    spec = find_model("esrt_x2")
    torch.save(reference_state("esrt_x2"), tmp_path / "w.pth")
    weights = import_checkpoint(tmp_path / "w.pth", spec)
    save_weights(tmp_path / "w.safetensors", spec, weights.tensors, weights.metadata)
    metadata = load_weights(tmp_path / "w.safetensors", spec).metadata
    assert metadata["model"] == "esrt_x2"
    assert metadata["config"] == {"scale": 2}
    assert metadata["imported_from"]["file"] == "w.pth"
    with pytest.raises(CheckpointError, match="holds weights of 'esrt_x2', not of 'esrt_x3'"):
        load_weights(tmp_path / "w.safetensors", find_model("esrt_x3"))


def test_model_without_authors_checkpoints_says_so(tmp_path: Path) -> None:
    torch.save(reference_state("esrt_x2"), tmp_path / "w.pth")
    with pytest.raises(InputError, match="no authors' checkpoints"):
        import_checkpoint(tmp_path / "w.pth", find_model("esrt_s_x2"))


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hacked",)


def saved(content: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in names}


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_one(name: str, value: Tensor) -> bytes:
    return saved({**reference_state("esrt_x2"), name: value})


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "damaged or not a checkpoint"),
    "text": (lambda: b"<html>404</html>\n" * 9, "damaged or not a checkpoint"),
    "truncated": (lambda: saved(reference_state("esrt_x2"))[:-5000], "damaged"),
    "other zip": (lambda: zipped(letter=b"hello"), "damaged or not a checkpoint"),
    "code": (lambda: saved({"a": Hostile()}), "'posix.system', which could run code"),
    "code in a pickle": (lambda: pickle.dumps(Hostile()), "refused"),
    "whole module": (lambda: saved(torch.nn.Linear(2, 2)), "torch.nn.modules.linear.Linear"),
    "list": (lambda: saved([torch.ones(2)]), "no mapping of names to tensors"),
    "numbers": (lambda: saved({"lr": 0.1}), "'lr' is float, not a tensor"),
    "NaN": (
        lambda: with_one("head.0.bias", torch.full((32,), torch.nan)),
        "'head.0.bias' holds NaN or infinity",
    ),
    "integers": (
        lambda: with_one("head.0.bias", torch.ones(32, dtype=torch.int64)),
        "'head.0.bias' is no plain tensor",
    ),
    "without storage": (
        lambda: with_one("head.0.bias", torch.ones(32, device="meta")),
        "'head.0.bias' is no plain tensor",
    ),
    "wrong shape": (
        lambda: with_one("head.0.bias", torch.ones(16)),
        r"'head.0.bias' is (16,), but 'esrt_x2' needs (32,)",
    ),
    "huge by stride": (
        lambda: with_one("head.0.bias", torch.ones(1).expand(10**9)),
        "'head.0.bias' is (1000000000,)",
    ),
    "missing": (
        lambda: saved(without(reference_state("esrt_x2"), "tail.1.bias")),
        "1 missing (tail.1.bias); none unexpected",
    ),
    "unexpected": (lambda: with_one("neck.weight", torch.ones(2)), "1 unexpected (neck.weight)"),
    "twice": (
        lambda: with_one("module.head.0.bias", torch.ones(32)),
        "occurs with and without 'module.'",
    ),
    "sibling": (lambda: saved(reference_state("esrt_x3")), "it fits 'esrt_x3'"),
    "stranger": (lambda: saved({"conv.weight": torch.ones(3)}), "it fits no other model"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_one_clear_error(case: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = BAD_FILES[case]
    path = tmp_path / "bad.pth"
    path.write_bytes(make())
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path, find_model("esrt_x2"))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert len(message) < 500
    assert not Path("hacked").exists()


def test_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.filelist[0].file_size = 3 << 30
    with pytest.raises(CheckpointError, match="unpacks to more than 2 GiB"):
        import_checkpoint(path, find_model("esrt_x2"))


@pytest.mark.parametrize("start", range(4))
def test_damage_anywhere_raises_nothing_but_our_errors(start: int, tmp_path: Path) -> None:
    good = saved({"a": torch.ones(3)}, _use_new_zipfile_serialization=bool(start % 2))
    path = tmp_path / "w.pth"
    rng = np.random.default_rng(start)
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, min(len(data), 900), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)])
        with pytest.raises((CheckpointError, InputError)):
            import_checkpoint(path, find_model("esrt_x2"))


def test_authors_weights_reach_their_published_accuracy(shared: Path, tmp_path: Path) -> None:
    spec = find_model("esrt_x3")
    weights = import_checkpoint(shared / "checkpoints" / "ESRT" / "ESRT_x3.pth", spec)
    network = build_network(spec)
    network.load_state_dict(weights.tensors)
    scores = []
    for pair in read_pairs(shared / "data" / "sr" / "Set5", 3):
        image = torch.tensor(pair.low).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            result = metrics.to_uint8(network(image)[0].permute(1, 2, 0).numpy())
        scores.append(metrics.psnr_y_db(result, pair.high, border=3))
    assert np.mean(scores) == pytest.approx(33.58, abs=0.01)
