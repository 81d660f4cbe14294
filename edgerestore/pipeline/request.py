"""What a command line or a recipe asks for, as a checked job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec
from torch import nn

from edgerestore.calibration import CalibrationImages, read_set
from edgerestore.errors import InputError, RecipeError, UnknownNameError, suggestion
from edgerestore.evaluation import ImagePair, data_label, read_pairs
from edgerestore.networks import find_model
from edgerestore.pipeline.depths import origin_at_depth
from edgerestore.pipeline.job import Job, check_cases
from edgerestore.pipeline.origin import (
    Origin,
    origin_of_file,
    origin_of_model,
    origin_of_module,
)
from edgerestore.pipeline.tiles import LARGEST, choose_tile
from edgerestore.recipe import Budget, BuildSettings, NetworkSettings, Recipe, Target, read_toml
from edgerestore.recipe.scalars import PrecisionName
from edgerestore.shipped import evaluation_folder, shipped_folder, shipped_toml, toml_folder
from edgerestore.tiling import DEFAULT_OVERLAP

DEFAULTS = BuildSettings(targets=("x86-openvino",), precisions=("fp32", "fp16", "int8"))

OF_ANY_TASK = "photos"
"""The calibration set of a network whose task has none of its own."""
NOT_OF_THE_TASK = (
    "INT8 ranges are collected on the shipped photographs; --calibration DIR takes degraded "
    "pictures of your own task"
)
NOT_GATED = (
    "no pairs given: accuracy was not gated, only parity with the FP32 network is verified; "
    "--data DIR gates it"
)


def job_from(
    model: str | None,
    *,
    out: Path,
    targets: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    weights: Path | None = None,
    tile: int | Literal["auto"] | None = None,
    overlap: int | None = None,
    calibration: str | CalibrationImages | None = None,
    data: Path | list[ImagePair] | None = None,
    keep_float: Sequence[str] = (),
    name: str | None = None,
    network: Mapping[str, Any] | None = None,
    module: nn.Module | None = None,
    budget: Budget | None = None,
    batch: int | None = None,
    recursions: int | None = None,
) -> Job:
    """Reads a recipe if ``model`` is one; what is given beside it has precedence.

    ``network`` holds fields of :class:`NetworkSettings` for a network of the user's own, and
    ``name`` its name; ``module`` is that network where it is in memory. ``recursions`` is how
    often a recursive network is to recur. Raises UnknownNameError, RecipeError or InputError
    before any work begins.
    """
    recipe, folder = _recipe(model, name, network or {})
    settings = recipe.build or DEFAULTS
    chosen = [find_target(target) for target in targets or settings.targets]
    wanted = [_precision(precision) for precision in precisions or settings.precisions]
    cases = tuple((t, p) for t in chosen for p in wanted)
    check_cases(cases)
    _check_names(settings, chosen)
    source = weights or (folder / recipe.weights if recipe.weights else None)
    if module is not None and recipe.network:
        origin = origin_of_module(recipe.model, recipe.network, module)
    elif recipe.network:
        origin = origin_of_file(recipe.model, recipe.network, source, folder)
    else:
        origin = origin_of_model(find_model(recipe.model), source)
    if recursions is not None:
        origin = origin_at_depth(origin, recursions)
    side = tile or settings.tile or origin.spec.tile
    if side != "auto" and budget not in (None, Budget()):
        raise InputError("--budget-ms and --budget-mib choose a tile: give --tile auto")
    root, pairs = _pairs(origin, data)
    chosen_set = calibration or settings.calibration
    job = Job(
        origin=origin,
        cases=cases,
        tile=origin.spec.tile if side == "auto" else side,
        overlap=DEFAULT_OVERLAP if overlap is None else overlap,
        calibration=chosen_set
        if isinstance(chosen_set, CalibrationImages)
        else read_set(chosen_set or origin.spec.pictures or OF_ANY_TASK),
        evaluation=pairs,
        evaluation_name=data_label(root, pairs) if pairs else "",
        out=out,
        batch=batch or settings.batch,
        keep_float=(*settings.keep_float, *keep_float),
        keep_float_on=settings.keep_float_on,
        notes=_notes(origin, wanted, own_set=bool(chosen_set), gated=bool(pairs)),
    )
    return _with_best_tile(job, budget or Budget()) if side == "auto" else job


def find_target(name: str) -> Target:
    """Reads a target by its shipped name or from a file."""
    path = shipped_toml("targets", name)
    target = read_toml(path, Target)
    if target.compute_capabilities and target.backend != "tensorrt-rtx":
        raise RecipeError(f"{path}: only tensorrt-rtx takes compute_capabilities")
    return target


def _check_names(settings: BuildSettings, chosen: Sequence[Target]) -> None:
    """Refuses a misspelt target, whose modules would be quantized without a word."""
    known = {path.stem for path in toml_folder("targets").glob("*.toml")}
    known |= {Path(name).stem for name in settings.targets} | {target.name for target in chosen}
    for pattern in settings.keep_float_on:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise RecipeError(
                f"[build.keep_float_on] '{pattern}' matches no target; {suggestion(pattern, known)}"
            )


def shipped_settings(model: str) -> BuildSettings:
    """How the shipped recipe of a model builds it; the defaults where it has none."""
    return _shipped_recipe(model)[0].build or DEFAULTS


def _shipped_recipe(model: str) -> tuple[Recipe, Path]:
    """With the folder that its paths are relative to; only the name where none is shipped."""
    shipped = shipped_folder("recipes") / f"{model}.toml"
    if shipped.is_file():
        return read_toml(shipped, Recipe), shipped.parent
    return Recipe(model=model), Path()


def _recipe(model: str | None, name: str | None, network: Mapping[str, Any]) -> tuple[Recipe, Path]:
    """A recipe file as given, the shipped recipe of a model, a model alone, or a network."""
    if model is None:
        if "factory" not in network:
            raise InputError("nothing to build: give a model's name, a recipe file or --network")
        file = network["factory"].rpartition(":")[0] or network["factory"]
        own = name or Path(file).stem
        return Recipe(model=own, network=_settings({}, network)), Path()
    if model.endswith(".toml"):
        path = Path(model)
        recipe, folder = read_toml(path, Recipe), path.parent
        if recipe.network and "factory" not in network:
            given = msgspec.structs.asdict(recipe.network)
            merged = _settings(given, network)
            recipe = msgspec.structs.replace(recipe, model=name or recipe.model, network=merged)
            return recipe, folder
    else:
        find_model(model)
        recipe, folder = _shipped_recipe(model)
    if name or network:
        raise InputError(
            f"'{model}' is given: --network, --name and a network's facts belong to a network of "
            "your own, without a model"
        )
    return recipe, folder


def _settings(declared: Mapping[str, Any], given: Mapping[str, Any]) -> NetworkSettings:
    try:
        return msgspec.convert({**declared, **given}, NetworkSettings)
    except msgspec.ValidationError as error:
        raise InputError(f"a fact of the network: {error}".replace("`$.", "`")) from error


def _with_best_tile(job: Job, budget: Budget) -> Job:
    """The job at the tile that its targets' rates choose."""
    # INT8 ranges need calibration pictures of a tile's size or more.
    sides = [side for image in job.calibration.images for side in image.shape[:2]]
    choice = choose_tile(
        job.spec,
        job.origin.load,
        job.cases,
        overlap=job.overlap,
        largest=min(sides) if job.quantizes else LARGEST,
        budget=budget,
    )
    return dataclasses.replace(job, tile=choice.chosen.tile, choice=choice)


def _notes(
    origin: Origin, precisions: Sequence[PrecisionName], *, own_set: bool, gated: bool
) -> tuple[str, ...]:
    """What was assumed, for people."""
    notes = list(origin.notes)
    if not (own_set or origin.spec.pictures) and "int8" in precisions:
        notes.append(NOT_OF_THE_TASK)
    if not gated:
        notes.append(NOT_GATED)
    return tuple(notes)


def _pairs(origin: Origin, data: Path | list[ImagePair] | None) -> tuple[Path, list[ImagePair]]:
    """Pairs to judge accuracy on: those given, or the shipped ones if they fit the task."""
    if isinstance(data, list):
        return Path("arrays"), data
    shipped = origin.spec.pictures
    if data is None and not shipped:
        return Path(), []
    root = data or evaluation_folder(shipped)
    return root, read_pairs(root, origin.spec.scale)


def _precision(name: str) -> PrecisionName:
    known = get_args(PrecisionName)
    if name not in known:
        raise UnknownNameError("precision", name, known)
    return cast(PrecisionName, name)
