"""Weights files: ours (safetensors with metadata) and those of the networks' authors."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import write_beside
from edgerestore.models import MODELS, ModelSpec, build_network

FORMAT = "edgerestore-weights-1"
MAX_CHECKPOINT_BYTES = 2 << 30
NESTED_KEYS = ("state_dict", "params_ema", "params", "model")
"""Where training frameworks put the tensors inside a checkpoint."""
MAX_NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's tensors under our names, and what their file says of them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def save_weights(
    path: Path, spec: ModelSpec, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Writes safetensors whose header holds the model, its configuration and ``metadata``."""
    header = {"model": spec.name, "config": dict(spec.config), **metadata}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    data = save(contiguous, {"format": FORMAT, "edgerestore": json.dumps(header)})
    write_beside(path, data)


def load_weights(path: Path, spec: ModelSpec) -> Weights:
    """Reads our safetensors. Raises CheckpointError for damage, NaN or another model."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(header.get("edgerestore", "null"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if header.get("format") != FORMAT or not isinstance(metadata, dict):
        raise CheckpointError(
            f"{path}: not written by edgerestore; 'edgerestore import-weights' converts it"
        )
    if metadata.get("config") != dict(spec.config):
        raise CheckpointError(
            f"{path}: holds weights of '{metadata.get('model')}', not of '{spec.name}'"
        )
    check_tensors(path, spec, tensors)
    return Weights(tensors, metadata)


def load_network(spec: ModelSpec, path: Path | None = None) -> nn.Module:
    """Builds the reference form with the weights of ``path``, or the shipped ones."""
    source = path or spec.weights
    if source is None:
        raise InputError(
            f"no weights are shipped for '{spec.name}'; give --weights FILE.safetensors"
        )
    network = build_network(spec)
    network.load_state_dict(load_weights(source, spec).tensors)
    return network


def import_checkpoint(path: Path, spec: ModelSpec) -> Weights:
    """Reads an authors' checkpoint under its own names into ours.

    ``.pth`` and ``.pt`` load with ``weights_only=True``; ``module.`` prefixes and one level
    of nesting are taken off; tensors that the network declares but never uses are dropped.
    Raises CheckpointError for anything that does not fit, naming keys and shapes.
    """
    foreign = _read_checkpoint(path)
    tensors: dict[str, Tensor] = {}
    dropped: list[str] = []
    rename = reference_names(spec)
    for name, tensor in foreign.items():
        ours = rename(name)
        if ours is None:
            dropped.append(name)
        else:
            tensors[ours] = tensor.to(torch.float32)
    check_tensors(path, spec, tensors, said={rename(name) or "": name for name in foreign})
    metadata = {"imported_from": path.name, "dropped": sorted(dropped)}
    return Weights(tensors, metadata)


def reference_names(spec: ModelSpec) -> Callable[[str], str | None]:
    """Returns the map from the authors' tensor names to ours; None for dead tensors."""
    from edgerestore.models.esrt import from_reference_name

    return from_reference_name


def check_tensors(
    path: Path, spec: ModelSpec, tensors: Mapping[str, Tensor], said: Mapping[str, str] | None = None
) -> None:
    """Raises CheckpointError unless every tensor of the model is there, alone and finite.

    ``said`` maps our names to the file's own, for messages.
    """
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in build_network(spec).state_dict().items()}
    names = said or {}
    missing = [k for k in wanted if k not in tensors]
    extra = [names.get(k, k) for k in tensors if k not in wanted]
    if missing or extra:
        raise CheckpointError(
            f"{path}: not a checkpoint of '{spec.name}': "
            f"{_some('missing', missing)}; {_some('unexpected', extra)}{_other(tensors, spec)}"
        )
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{path}: '{names.get(name, name)}' is {tuple(tensor.shape)}, but "
                f"'{spec.name}' needs {shape}{_other(tensors, spec)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: '{names.get(name, name)}' holds NaN or infinity")


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        if path.stat().st_size > MAX_CHECKPOINT_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_CHECKPOINT_BYTES >> 30} GiB")
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds Python objects that could run code, not only tensors; refused"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, SafetensorError, zipfile.BadZipFile) as e:
        raise CheckpointError(f"{path}: damaged or not a checkpoint: {_first_line(e)}") from e
    return _tensors_of(path, content)


def _tensors_of(path: Path, content: object) -> dict[str, Tensor]:
    for key in NESTED_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path}: no mapping of names to tensors at its top or in "
                              f"{', '.join(NESTED_KEYS)}")
    return {re.sub(r"^(module\.)+", "", str(name)): value for name, value in content.items()}


def _other(tensors: Mapping[str, Tensor], spec: ModelSpec) -> str:
    """Says which other model the tensors fit, if one does."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for other in MODELS.values():
        if other is spec:
            continue
        with torch.device("meta"):
            state = build_network(other).state_dict()
        if {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes:
            return f"; it fits '{other.name}'"
    return ""


def _some(word: str, names: list[str]) -> str:
    if not names:
        return f"none {word}"
    shown = ", ".join(names[:MAX_NAMES_SHOWN])
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return f"{len(names)} {word} ({shown}{more})"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(os.linesep)[0]
