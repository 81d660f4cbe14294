"""Bundles of one set of weights at several numbers of recursions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgerestore.bundle import read_bundle
from edgerestore.errors import InputError
from edgerestore.files import sha256_of
from edgerestore.networks import find_model
from edgerestore.networks.weights import save_weights
from edgerestore.pipeline.depths import origin_at_depth
from edgerestore.pipeline.origin import Origin, origin_of_model

DRT_S = find_model("drt_s")
TILE = 32


@pytest.fixture(scope="module")
def file(tmp_path_factory, filled_network: Callable[[str], nn.Module]) -> Path:
    """Made-up weights that say they were trained at one to three recursions."""
    path: Path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    facts = {"training": {"recursions": [1, 3]}}
    save_weights(path, DRT_S, filled_network("drt_s").state_dict(), facts)
    return path


@pytest.mark.needs_backend("openvino")
def test_every_depth_becomes_a_verified_bundle(file: Path, edgerestore, tmp_path: Path) -> None:
    for kind in ("input", "target"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 255, (TILE, TILE, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pairs" / kind / "a.png")
    options = (
        *("--weights", file, "--tile", TILE, "--data", tmp_path / "pairs"),
        *("--target", "x86-openvino", "--precision", "fp32", "--out", tmp_path / "out"),
    )
    done = edgerestore("build", "drt_s", "--recursions", "1,2", *options, "--json")
    assert done.returncode == 0, done.stderr
    made = [read_bundle(Path(item["bundle"])) for item in json.loads(done.stdout)["bundles"]]
    assert [bundle.path.name for bundle in made] == [
        "drt_s-r1-fp32-x86-openvino",
        "drt_s-r2-fp32-x86-openvino",
    ]
    origin = origin_of_model(DRT_S, file)
    for depth, bundle in enumerate(made, 1):
        manifest = bundle.manifest
        assert manifest.parity.status == "verified"
        assert manifest.model.name == f"drt_s-r{depth}"
        assert manifest.model.config == {**DRT_S.config, "recursions": depth}
        assert manifest.model.weights_sha256 == sha256_of(file)
        image, output = bundle.probe()
        network = origin_at_depth(origin, depth).load()
        with torch.inference_mode():
            assert np.allclose(network(torch.from_numpy(image)).numpy(), output, atol=1e-5)
    once, twice = (bundle.manifest.costs for bundle in made)
    assert once.params == twice.params == DRT_S.params
    assert 1.5 * once.macs < twice.macs < 2 * once.macs
    assert twice.attention_score_bytes == 2 * once.attention_score_bytes


def origin(model: str, file: Path, facts: dict[str, object], filled_network) -> Origin:
    spec = find_model(model)
    save_weights(file, spec, filled_network(model).state_dict(), facts)
    return origin_of_model(spec, file)


@pytest.mark.parametrize(
    ("model", "facts", "recursions", "message"),
    [
        ("ipt_s_derain", {}, 2, "nothing recurs in 'ipt_s_derain'"),
        ("drt_s", {}, 2, "trained for 3 only; a recipe's 'recursions' trains for several"),
        ("drt_s", {"training": {"recursions": [2, 3]}}, 1, "trained for 2 to 3"),
        ("drt_s", {"training": {"recursions": [1, 3]}}, 4, "trained for 1 to 3"),
        ("drt_s", {"training": {"recursions": "1-3"}}, 2, "trained for 3 only"),
        ("esrt_s_x2", {}, 4, "trained for 5 only"),
    ],
)
def test_depth_that_was_not_trained_is_refused(
    model, facts, recursions, message, tmp_path: Path, filled_network
) -> None:
    made = origin(model, tmp_path / "w.safetensors", facts, filled_network)
    with pytest.raises(InputError, match=message):
        origin_at_depth(made, recursions)


def test_depth_that_needs_no_training_is_the_network_itself(tmp_path, filled_network) -> None:
    made = origin("esrt_s_x2", tmp_path / "w.safetensors", {}, filled_network)
    same = origin_at_depth(made, 5)
    assert same.spec.name == "esrt_s_x2-r5"
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(same.load()(image), made.load()(image))


@pytest.mark.parametrize(
    ("given", "message"),
    [("0", "0 is not in the range"), ("1,x", "is not numbers such as 1,2,3")],
)
def test_recursions_are_numbers(given: str, message: str, edgerestore, tmp_path: Path) -> None:
    done = edgerestore("build", "drt_s", "--recursions", given, "--out", tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
