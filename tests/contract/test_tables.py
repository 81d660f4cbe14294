"""Laws over every entry of every table: what is named exists, and files say who they are."""

from __future__ import annotations

import fnmatch
import functools
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import edgerestore as package
from edgerestore.backends import BACKENDS, Backend, find_backend
from edgerestore.calibration import CalibrationSet, crops, read_set
from edgerestore.doctor import HOST_PARTS
from edgerestore.errors import UnknownNameError
from edgerestore.evaluation import read_pairs
from edgerestore.networks import MODELS, ModelSpec, build_network, find_model
from edgerestore.recipe import Recipe, Target, read_toml
from edgerestore.recipe.scalars import PrecisionName
from edgerestore.shipped import shipped_folder, shipped_toml, toml_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(package.__file__).parents[1]
PRECISIONS = get_args(PrecisionName)
TARGETS = sorted(toml_folder("targets").glob("*.toml"))
RECIPES = sorted(toml_folder("recipes").glob("*.toml"))
SETS = sorted(toml_folder("calibration").glob("*.toml"))


def stem(path: Path) -> str:
    return path.stem


def extras() -> dict[str, list[str]]:
    """Names of the distributions that each extra of pyproject.toml installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        extra: [re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in lines]
        for extra, lines in project["optional-dependencies"].items()
    }


HEAVY = 20_000_000
"""Parameters beyond which a network is built for real in the slow tier only."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow if spec.params > HEAVY else ())
        for name, spec in MODELS.items()
    ]
)
def network(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip("torch")
    return build_network(find_model(request.param)).requires_grad_(False), MODELS[request.param]


def calls(net, spec) -> list[tuple[Any, int]]:
    """What to run and by how much it enlarges: one function for each task of the network."""
    if not spec.tasks:
        return [(net, spec.scale)]
    return [
        (functools.partial(net, task=number), find_model(name).scale)
        for number, name in enumerate(spec.tasks)
    ]


def test_every_model_multiplies_every_size_of_its_rule_by_its_scale(network) -> None:
    import torch

    net, spec = network
    step, least = spec.size_rule.multiple_of, spec.size_rule.minimum
    sizes = [(least, least), (least, least + step), (least + 2 * step, least + 5 * step)]
    for run, scale in calls(net, spec):
        for height, width in sizes[:1] if spec.size_rule.maximum else sizes:
            with torch.inference_mode():
                result = run(torch.rand(2, 3, height, width))
            assert result.shape == (2, 3, scale * height, scale * width)
            assert torch.isfinite(result).all()


def test_every_model_takes_other_sizes_padded_and_cropped(network) -> None:
    import torch

    from edgerestore.networks.sizing import run_padded

    net, spec = network
    for run, scale in calls(net, spec):
        for height, width in [(1, 1), (spec.size_rule.minimum - 1 or 1, 37)]:
            with torch.inference_mode():
                result = run_padded(run, torch.rand(1, 3, height, width), spec.size_rule, scale)
            assert result.shape == (1, 3, scale * height, scale * width)


NO_MODULES = ("skip", "*.matmul")
"""Patterns for what only some networks of a family have, and for attention's own products."""


@pytest.mark.parametrize("name", MODELS)
def test_every_model_states_facts_of_its_own_network(name: str) -> None:
    torch = pytest.importorskip("torch")
    spec = MODELS[name]
    with torch.device("meta"):
        net = build_network(spec)
    assert sum(p.numel() for p in net.parameters()) == spec.params
    modules = [module for module, _ in net.named_modules()]
    for pattern in spec.keep_float:
        assert pattern in NO_MODULES or fnmatch.filter(modules, pattern), pattern
    assert not net.training
    assert spec.size_rule.takes(spec.tile)
    assert bool(spec.tasks) == (spec.task == "several")
    for task in spec.tasks:
        assert MODELS[task].parent == name


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_found_under_its_own_name(name: str) -> None:
    spec = find_model(name)
    assert spec.name == name
    assert spec.params > 0
    assert spec.tasks or spec.costs.macs > spec.params
    assert spec.source
    assert spec.task in {"super-resolution", "deraining", "denoising", "deblurring", "several"}


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.weights])
def test_shipped_weights_are_those_of_their_model(name: str) -> None:
    pytest.importorskip("torch")
    from edgerestore.networks.weights import load_network

    load_network(find_model(name))


def test_every_rewrite_resolves_and_leaves_strangers_alone() -> None:
    pytest.importorskip("torch")
    from torch import nn

    from edgerestore.compress.rewrites import REWRITES, find_rewrite

    for name in REWRITES:
        assert find_rewrite(name)(nn.Sequential(nn.Conv2d(3, 3, 3))) == 0


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_resolves_without_its_runtime_and_names_a_real_extra(name: str) -> None:
    backend = find_backend(name)
    assert isinstance(backend, Backend)
    assert backend.name == name
    assert backend.distribution in extras()[backend.extra]
    reason = backend.why_not()
    assert reason is None or "\n" not in reason


def test_unknown_backend_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        find_backend("openvin")


def test_every_cure_of_doctor_is_an_extra_that_installs_the_part() -> None:
    for part, cure in HOST_PARTS.items():
        extra = re.search(r"edgerestore\[([a-z-]+)\]", cure)
        assert extra, cure
        assert part in extras()[extra[1]]


def test_host_extra_names_what_one_line_errors_promise() -> None:
    from edgerestore.cli import HOST_PACKAGES

    assert set(HOST_PACKAGES) <= set(extras()["host"])


@pytest.mark.parametrize("path", TARGETS, ids=stem)
def test_every_target_parses_and_what_it_names_exists(path: Path) -> None:
    target = read_toml(path, Target)
    assert target.name == path.stem
    assert target.description
    assert target.precisions
    assert find_backend(target.backend).name == target.backend
    assert set(target.options) <= set(target.precisions)
    for options in (*target.options.values(), *target.fallback.values()):
        assert set(options) <= find_backend(target.backend).options
    assert all(re.fullmatch(r"\d+\.\d", sm) for sm in target.compute_capabilities)
    assert (target.backend == "tensorrt-rtx") == bool(target.compute_capabilities)
    if target.backend.startswith("tensorrt"):
        assert target.int8.symmetric, "TensorRT takes no zero point but 0"
    if target.operators or target.arithmetic == "fp16":
        assert target.backend == "openvino"
        assert set(target.precisions) <= {"fp16", "int8"}
        assert (target.int8.rest == "fp16") == (target.arithmetic == "fp16")
    elif target.backend == "openvino":
        # Unset, OpenVINO computes in BF16 where the CPU can, whatever a bundle is called.
        assert {"fp32", "fp16"} <= set(target.options)


@pytest.mark.parametrize(
    "spec", [s for s in MODELS.values() if s.params < HEAVY], ids=lambda s: s.name
)
def test_every_models_weights_are_read_back(spec: ModelSpec, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edgerestore.networks.weights import load_weights, save_weights, state_shapes

    path = tmp_path / "w.safetensors"
    save_weights(path, spec, {n: torch.ones(s) for n, s in state_shapes(spec).items()}, {})
    assert load_weights(path, spec).metadata["model"] == spec.name


@pytest.mark.parametrize("path", RECIPES, ids=stem)
def test_every_recipe_parses_and_what_it_names_exists(path: Path) -> None:
    recipe = read_toml(path, Recipe)
    # What is behind the model's name says how the recipe differs from the model's own.
    assert path.stem == find_model(recipe.model).name or path.stem.startswith(f"{recipe.model}_")
    if recipe.weights:
        assert (path.parent / recipe.weights).is_file()
    if recipe.build:
        assert recipe.build.targets
        for name in recipe.build.targets:
            target = read_toml(shipped_toml("targets", name), Target)
            assert set(recipe.build.precisions) <= set(target.precisions)
        assert recipe.build.calibration in {None, *(file.stem for file in SETS)}


@pytest.mark.parametrize("spec", [s for s in MODELS.values() if not s.tasks], ids=lambda s: s.name)
def test_every_model_has_shipped_pictures_of_its_task(spec: ModelSpec) -> None:
    (manifest,) = (read_toml(file, CalibrationSet) for file in SETS if file.stem == spec.pictures)
    assert manifest.task == spec.task
    pairs = read_pairs(shipped_folder("calibration") / "evaluation" / spec.pictures, spec.scale)
    assert len(pairs) >= 4
    assert min(side for pair in pairs for side in pair.low.shape[:2]) >= spec.tile


@pytest.mark.parametrize("path", SETS, ids=stem)
def test_every_calibration_set_is_whole_and_large_enough(path: Path) -> None:
    manifest = read_toml(path, CalibrationSet)
    assert manifest.name == path.stem
    assert manifest.description
    images = read_set(path.stem)
    assert images.sha256 == manifest.sha256
    for spec in MODELS.values():
        if spec.task == manifest.task:
            assert len(crops(images.images, spec.tile)) >= len(images.images)


def test_every_precision_has_a_gate() -> None:
    pytest.importorskip("torch")
    from edgerestore.pipeline.gate import ALLOWED, CURES

    assert set(ALLOWED) == set(CURES) == set(PRECISIONS)
    assert all(0 < drops.mean_drop_db <= drops.worst_drop_db for drops in ALLOWED.values())


def test_tables_are_not_empty() -> None:
    assert all([MODELS, BACKENDS, TARGETS, RECIPES, SETS])
