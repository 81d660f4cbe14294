"""What a command line or a recipe asks for, as a checked job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from edgerestore.build.job import Job
from edgerestore.calibration import read_set
from edgerestore.errors import InputError, RecipeError, UnknownNameError
from edgerestore.evaluation import data_label, read_pairs
from edgerestore.models import find_model
from edgerestore.recipe import BuildSettings, PrecisionName, Recipe, Target, read_toml
from edgerestore.shipped import shipped_folder, shipped_toml
from edgerestore.tiling import DEFAULT_OVERLAP

DEFAULTS = BuildSettings(targets=("x86-openvino",), precisions=("fp32", "fp16", "int8"))


def job_from(
    model: str,
    *,
    targets: Sequence[str] | None,
    precisions: Sequence[str] | None,
    weights: Path | None,
    tile: int | None,
    overlap: int | None,
    calibration: str | None,
    data: Path | None,
    keep_float: Sequence[str],
    out: Path,
) -> Job:
    """Reads a recipe if ``model`` is one; what is given beside it has precedence.

    Raises UnknownNameError, RecipeError or InputError before any work begins.
    """
    recipe, folder = _recipe(model)
    spec = find_model(recipe.model)
    settings = recipe.build or DEFAULTS
    source = weights or (folder / recipe.weights if recipe.weights else spec.weights)
    if source is None:
        raise InputError(
            f"no weights are shipped for '{spec.name}'; give --weights FILE.safetensors"
        )
    if not source.is_file():
        raise InputError(f"{source}: no such weights file")
    root = data or shipped_folder("calibration") / "evaluation"
    pairs = read_pairs(root, spec.scale)
    chosen = [find_target(name) for name in targets or settings.targets]
    wanted = [_precision(name) for name in precisions or settings.precisions]
    return Job(
        spec=spec,
        weights=source,
        cases=tuple((t, p) for t in chosen for p in wanted),
        tile=tile or settings.tile or spec.tile,
        overlap=DEFAULT_OVERLAP if overlap is None else overlap,
        calibration=read_set(calibration or settings.calibration),
        evaluation=pairs,
        evaluation_name=data_label(root, pairs),
        out=out,
        keep_float=(*settings.keep_float, *keep_float),
    )


def find_target(name: str) -> Target:
    """Reads a target by its shipped name or from a file."""
    path = shipped_toml("targets", name)
    target = read_toml(path, Target)
    if target.compute_capabilities and target.backend != "tensorrt-rtx":
        raise RecipeError(f"{path}: only tensorrt-rtx takes compute_capabilities")
    return target


def _recipe(model: str) -> tuple[Recipe, Path]:
    """A recipe file as given, the shipped recipe of a model, or a model alone."""
    if model.endswith(".toml"):
        path = Path(model)
        return read_toml(path, Recipe), path.parent
    find_model(model)
    shipped = shipped_folder("recipes") / f"{model}.toml"
    if shipped.is_file():
        return read_toml(shipped, Recipe), shipped.parent
    return Recipe(model=model), Path()


def _precision(name: str) -> PrecisionName:
    known = get_args(PrecisionName)
    if name not in known:
        raise UnknownNameError("precision", name, known)
    return cast(PrecisionName, name)
