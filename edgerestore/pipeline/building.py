"""Building bundles from Python: the public function and what it takes for pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgerestore.bundle import Bundle
from edgerestore.calibration import CalibrationImages
from edgerestore.errors import InputError
from edgerestore.evaluation import ImagePair
from edgerestore.pipeline.job import Job, build_bundles
from edgerestore.pipeline.request import job_from

StrPath = str | os.PathLike[str]
Pictures = StrPath | Sequence[NDArray[Any]]
"""A folder, a shipped set's name, or pictures H x W x 3 or H x W in uint8."""
Pairs = StrPath | Sequence[tuple[NDArray[Any], NDArray[Any]]]
"""A folder of pairs, or tuples of degraded picture and truth in uint8."""


def build(
    network: nn.Module | StrPath,
    *,
    out: StrPath,
    target: str | Sequence[str] | None = None,
    precision: str | Sequence[str] | None = None,
    name: str | None = None,
    weights: StrPath | None = None,
    scale: int | None = None,
    value_range: tuple[float, float] | None = None,
    size_minimum: int | None = None,
    size_multiple: int | None = None,
    task: str | None = None,
    tile: int | Literal["auto"] | None = None,
    overlap: int | None = None,
    batch: int | None = None,
    calibration: Pictures | None = None,
    data: Pairs | None = None,
    keep_float: Sequence[str] = (),
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Bundle]:
    """Builds, verifies and seals one bundle for each target and precision.

    Args:
        network: A ``torch.nn.Module`` with its weights in it, which stays as it is; a model's
            name; or a recipe file. N x 3 x H x W in, the same enlarged by ``scale`` out.
        out: Folder that the bundles go into, as ``<name>-<precision>-<target>``.
        target: Names of targets; the recipe's, or ``x86-openvino``, where left out.
        precision: Of ``fp32``, ``fp16``, ``bf16`` and ``int8``; the recipe's, or
            ``fp32``, ``fp16`` and ``int8``, where left out.
        name: Name of a module's bundles; its class's in small letters where left out.
        weights: safetensors of a named model; the shipped ones where left out.
        scale: Output over input size of a module; inferred where left out.
        value_range: Black and white of a module, such as (0, 255); inferred where left out.
        size_minimum: Smallest side in pixels that a module takes; inferred where left out.
        size_multiple: Pixels that its sides are multiples of; inferred where left out.
        task: What a module restores, such as ``deraining``.
        tile: Input side in pixels; ``auto`` predicts which costs least on the targets.
        overlap: Input pixels that neighbouring tiles share.
        batch: Tiles in one inference.
        calibration: Degraded pictures that INT8 ranges are collected on; the shipped ones
            of the task where left out.
        data: Pairs that accuracy is judged on; the shipped ones where left out.
        keep_float: Modules excluded from INT8, such as ``blocks.0.low.*``.
        progress: Called with each stage.

    Raises:
        InputError: For whatever is wrong with what was given.
        AccuracyError: Where a bundle loses more than its precision may; those that hold are
            written.
        MissingPartError: Where what a target needs is not installed.
    """
    module = network if isinstance(network, nn.Module) else None
    facts = {
        "scale": scale,
        "value_range": value_range,
        "minimum": size_minimum,
        "multiple_of": size_multiple,
        "task": task,
    }
    own: dict[str, Any] = {key: value for key, value in facts.items() if value is not None}
    if module is not None:
        if weights is not None:
            raise InputError("weights: a module is built with the weights that are in it")
        name = name or type(module).__name__.lower()
        own["factory"] = f"memory.py:{type(module).__name__}"
    job: Job = job_from(
        None if module is not None else os.fspath(network),  # type: ignore[arg-type]
        out=Path(out),
        targets=[target] if isinstance(target, str) else target,
        precisions=precision.split(",") if isinstance(precision, str) else precision,
        weights=None if weights is None else Path(weights),
        tile=tile,
        overlap=overlap,
        calibration=_calibration(calibration),
        data=_pairs(data),
        keep_float=keep_float,
        name=name,
        network=own,
        module=module,
        batch=batch,
    )
    return build_bundles([job], progress)


def _calibration(given: Pictures | None) -> str | CalibrationImages | None:
    if given is None or isinstance(given, (str, os.PathLike)):
        return None if given is None else os.fspath(given)
    images = [
        as_rgb(image, f"calibration picture {number}") for number, image in enumerate(given, 1)
    ]
    if not images:
        raise InputError("calibration: holds no picture")
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.shape}\n".encode())
        digest.update(image.tobytes())
    return CalibrationImages("arrays", digest.hexdigest(), images)


def _pairs(given: Pairs | None) -> Path | list[ImagePair] | None:
    if given is None or isinstance(given, (str, os.PathLike)):
        return None if given is None else Path(given)
    pairs = [
        ImagePair(
            f"{number:04}",
            as_rgb(low, f"degraded picture {number}"),
            as_rgb(high, f"truth {number}"),
        )
        for number, (low, high) in enumerate(given, 1)
    ]
    if not pairs:
        raise InputError("data: holds no pair")
    return pairs


def as_rgb(image: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """The picture as H x W x 3 uint8; grey is repeated. Raises InputError for another type."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{what}: must be a uint8 array, not {kind}")
    if image.ndim == 2:
        image = image[:, :, None].repeat(3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"{what}: must be H x W x 3 or H x W, not of shape {image.shape}")
    return np.ascontiguousarray(image)
