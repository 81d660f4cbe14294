"""Checkpoints of the networks' authors, read under the authors' own tensor names."""

from __future__ import annotations

import importlib
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import sha256_of
from edgerestore.networks import MODELS, ModelSpec, find_model
from edgerestore.networks.weights import (
    MAX_FILE_BYTES,
    Shape,
    Weights,
    check_tensors,
    part_of,
    read_safetensors,
    require_plain_file,
    state_shapes,
)

NESTED_KEYS = ("state_dict", "params_ema", "params", "model")
"""Where training frameworks put the tensors inside a checkpoint, in order of preference."""

_PREFIX = re.compile(r"^(module\.)+")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")

OurNames = str | tuple[str, ...] | None
"""One tensor of ours; those that are the rows of one table of theirs; or none."""

NamesOf = Callable[[Iterable[str]], Mapping[str, OurNames]]


def import_checkpoint(path: Path, spec: ModelSpec) -> Weights:
    """Reads an authors' ``.pth``, ``.pt`` or ``.safetensors`` file into our names, in float32.

    Nothing in the file is executed. ``module.`` prefixes and one level of nesting are taken
    off; tensors that the authors' network declares but never uses are dropped. Raises
    CheckpointError, in the authors' names, for whatever is missing, unexpected, of another
    shape or not finite, and says which other model the file fits.
    """
    foreign = read_tensors(path)
    form = _form(foreign, spec)
    names = reference_names(form)
    dropped = sorted(name for name in foreign if name in names and names[name] is None)
    used = {name: tensor for name, tensor in foreign.items() if name not in dropped}
    check_tensors(path, form.name, used, _wanted(form), hint=lambda: _fitting(foreign, spec))
    tensors = _renamed(used, form)
    if form is not spec:
        tensors = part_of(tensors, spec)
    source = {"file": path.name, "sha256": sha256_of(path), "dropped": dropped}
    return Weights(tensors, {"imported_from": source})


def reference_names(spec: ModelSpec) -> dict[str, OurNames]:
    """Maps the authors' tensor names to ours; tensors that take no part map to None.

    Raises InputError where no form of the authors' checkpoints is known for the model.
    """
    if not spec.reference_names:
        raise InputError(f"'{spec.name}' has no authors' checkpoints to import")
    module, function = spec.reference_names.split(":")
    names_of: NamesOf = getattr(importlib.import_module(module), function)
    return dict(names_of(state_shapes(spec)))


def _form(foreign: Mapping[str, Tensor], spec: ModelSpec) -> ModelSpec:
    """Whose names the tensors bear: the model's own, or those that only its parent has."""
    own = reference_names(spec)
    if spec.parent:
        parent = find_model(spec.parent)
        if any(name in foreign for name in reference_names(parent) if name not in own):
            return parent
    return spec


def _wanted(spec: ModelSpec) -> dict[str, Shape]:
    """Shapes of a model's tensors under the authors' names."""
    shapes = state_shapes(spec)
    return {
        name: (len(ours), math.prod(shapes[ours[0]])) if isinstance(ours, tuple) else shapes[ours]
        for name, ours in reference_names(spec).items()
        if ours
    }


def _renamed(foreign: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """The authors' tensors under our names, tables cut into their rows, in float32."""
    shapes = state_shapes(spec)
    tensors: dict[str, Tensor] = {}
    for name, ours in reference_names(spec).items():
        if isinstance(ours, tuple):
            for row, part in zip(foreign[name].to(torch.float32), ours, strict=True):
                tensors[part] = row.reshape(shapes[part])
        elif ours:
            tensors[ours] = foreign[name].to(torch.float32)
    return tensors


def _fitting(foreign: Mapping[str, Tensor], spec: ModelSpec) -> str:
    """Says which other model the tensors fit, if one does."""
    found = {name: tuple(tensor.shape) for name, tensor in foreign.items()}
    for other in MODELS.values():
        if other is spec or not other.reference_names:
            continue
        names = reference_names(other)
        used = {name: shape for name, shape in found.items() if names.get(name, name) is not None}
        # Names first: shapes take two more networks to be built, if without memory.
        if used.keys() == {name for name, ours in names.items() if ours} and used == _wanted(other):
            return f"; it fits '{other.name}'"
    return "; it fits no other model either"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint from anywhere, by name; nothing in the file is executed.

    ``module.`` prefixes and one level of nesting are taken off. Raises CheckpointError for
    damage and for whatever else than tensors the file holds.
    """
    if path.suffix == ".safetensors":
        return _without_prefix(path, read_safetensors(path)[0].items())
    require_plain_file(path)
    try:
        _refuse_zip_bomb(path)
        with warnings.catch_warnings():
            # Torch warns of old storage classes and of TorchScript, which fails right after.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {_refusal(str(error))}") from error
    except Exception as error:
        # Damaged files make the unpickler raise nearly anything: 12 types in 12,000 trials.
        raise CheckpointError(f"{path}: damaged or not a checkpoint: {_reason(error)}") from error
    return _without_prefix(path, _nested(path, content).items())


def _refuse_zip_bomb(path: Path) -> None:
    """Torch writes its archives uncompressed; one that unpacks to more is no checkpoint."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: unpacks to more than {MAX_FILE_BYTES >> 30} GiB; refused")


def _nested(path: Path, content: object) -> dict[object, object]:
    if isinstance(content, dict):
        for key in NESTED_KEYS:
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path}: no mapping of names to tensors, neither at its top nor in "
            f"{', '.join(NESTED_KEYS)}"
        )
    return content


def _without_prefix(path: Path, items: Iterable[tuple[object, object]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in items:
        name = _PREFIX.sub("", str(key))
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: '{name[:80]}' is {type(value).__name__}, not a tensor")
        if name in tensors:
            raise CheckpointError(f"{path}: '{name[:80]}' occurs with and without 'module.'")
        tensors[name] = value
    return tensors


def _refusal(message: str) -> str:
    """Why the restricted unpickler gave up: an object other than tensors, or damage."""
    found = _GLOBAL.search(message)
    if found:
        return (
            f"holds the Python object '{found[1]}', which could run code, not only tensors; "
            "refused. Save the state_dict() alone and import that"
        )
    return "damaged or not a checkpoint of tensors only; refused"


def _reason(error: BaseException) -> str:
    """The first sentence of a message, without torch's advice on what to do instead."""
    lines = str(error).strip().splitlines() or [""]
    first = re.split(r"\. (?=[A-Z])", lines[0])[0]
    return f"{type(error).__name__}: {first[:160]}" if first else type(error).__name__
