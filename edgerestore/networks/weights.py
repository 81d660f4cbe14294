"""Weights files of this package: safetensors whose header explains itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import write_beside
from edgerestore.networks import ModelSpec, build_network, find_model
from edgerestore.networks.pruned import at_widths
from edgerestore.networks.spec import PRUNED
from edgerestore.networks.widths import Widths

FORMAT = "edgerestore-weights-1"
MAX_FILE_BYTES = 2 << 30
MAX_NAMES_SHOWN = 4
CONVERTS = "'edgerestore import-weights' converts it"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's tensors under our names, and what their file says of them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def save_weights(
    path: Path, spec: ModelSpec, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Writes safetensors whose header holds the model, its configuration and ``metadata``.

    The configuration of a pruned network holds its widths. Equal arguments give equal bytes.
    """
    header = {"model": spec.pruned_from or spec.name, "config": dict(spec.config), **metadata}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    data = save(contiguous, {"format": FORMAT, "edgerestore": json.dumps(header)})
    write_beside(path, _canonical(data))


def load_weights(path: Path, spec: ModelSpec) -> Weights:
    """Reads our safetensors. Raises CheckpointError for damage, NaN or another model.

    Of a file that holds the model's parent, only the model's own tensors are returned.
    """
    tensors, header = read_safetensors(path)
    metadata = _metadata(path, header)
    held = _held(path, spec, metadata)
    check_tensors(path, held.name, tensors, state_shapes(held))
    if held is not spec:
        tensors = part_of(tensors, spec)
    return Weights(tensors, metadata)


def spec_in(path: Path, spec: ModelSpec) -> ModelSpec:
    """The entry of what our safetensors hold: ``spec``, at the widths that their header names.

    Raises CheckpointError for widths that the network cannot have. What else may be wrong with
    the file, :func:`load_weights` says.
    """
    match metadata_in(path):
        case {"model": spec.name, "config": {"pruned": widths}}:
            pass
        case _:
            return spec
    try:
        return at_widths(spec, msgspec.convert(widths, Widths))
    except (msgspec.ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0].replace("`$.", "`")
        raise CheckpointError(f"{path}: damaged: its header's widths: {reason}") from error


def model_in(path: Path) -> str:
    """The model whose weights our safetensors say they are. Raises CheckpointError for others'."""
    return str(metadata_in(path).get("model"))


def metadata_in(path: Path) -> dict[str, Any]:
    """What the header of our safetensors says, without their tensors.

    Raises CheckpointError for damage and for others' files.
    """
    with _opened(path) as file:
        return _metadata(path, file.metadata() or {})


def load_network(spec: ModelSpec, path: Path | None = None) -> nn.Module:
    """Builds the reference form with the weights of ``path``, or the shipped ones.

    Those of a pruned network give it their widths.
    """
    source = given_or_shipped(spec, path)
    spec = spec_in(source, spec)
    network = build_network(spec)
    network.load_state_dict(load_weights(source, spec).tensors)
    return network


def given_or_shipped(
    spec: ModelSpec, path: Path | None, cure: str = "give --weights FILE.safetensors"
) -> Path:
    """The weights file to use. Raises InputError where none is given and none is shipped.

    ``cure`` says how one is given.
    """
    source = path or spec.weights
    if source is None:
        raise InputError(f"no weights are shipped for '{spec.name}'; {cure}")
    return source


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of any safetensors file. Raises CheckpointError for damage."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def require_plain_file(path: Path) -> None:
    """Raises InputError for what is no file, CheckpointError for one of over 2 GiB."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'not a plain file' if path.exists() else 'no such file'}")
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"{path}: {size / (1 << 30):.1f} GiB; no checkpoint of these models exceeds "
            f"{MAX_FILE_BYTES >> 30} GiB"
        )


def state_shapes(spec: ModelSpec) -> dict[str, Shape]:
    """Names and shapes of a model's tensors, without memory for their values."""
    with torch.device("meta"):
        return {
            name: tuple(value.shape) for name, value in build_network(spec).state_dict().items()
        }


def part_of(tensors: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Picks a model's tensors out of its parent's."""
    return {name: tensors[name] for name in state_shapes(spec)}


def check_tensors(
    path: Path,
    model: str,
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Shape],
    hint: Callable[[], str] = lambda: "",
) -> None:
    """Raises CheckpointError unless ``tensors`` are the wanted ones: all, alone and finite.

    ``hint`` is asked for what the file may be instead, once it is known not to fit.
    """
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    if missing or extra:
        raise CheckpointError(
            f"{path}: not a checkpoint of '{model}': {_some('missing', missing)}; "
            f"{_some('unexpected', extra)}{hint()}"
        )
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{path}: '{name}' is {tuple(tensor.shape)}, but '{model}' needs {shape}{hint()}"
            )
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not (plain and tensor.is_floating_point()):
            raise CheckpointError(f"{path}: '{name}' is no plain tensor of floating-point numbers")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: '{name}' holds NaN or infinity")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    require_plain_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        cure = f"; {CONVERTS}" if path.suffix in (".pth", ".pt") else ""
        raise CheckpointError(f"{path}: not a safetensors file: {error}{cure}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _metadata(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    try:
        metadata = json.loads(header.get("edgerestore", "null"))
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: its header is not JSON: {error}") from error
    if header.get("format") != FORMAT or not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: not written by edgerestore; {CONVERTS}")
    return metadata


def _held(path: Path, spec: ModelSpec, metadata: Mapping[str, Any]) -> ModelSpec:
    """Which model a file's header names: ``spec`` itself or its parent."""
    for held in (spec, find_model(spec.parent)) if spec.parent else (spec,):
        # As the header gives it back: JSON has no tuples.
        config = _comparable(json.loads(json.dumps(dict(held.config))))
        if (
            metadata.get("model") == (held.pruned_from or held.name)
            and _comparable(metadata.get("config")) == config
        ):
            return held
    pruned = isinstance(metadata.get("config"), dict) and PRUNED in metadata["config"]
    raise CheckpointError(
        f"{path}: holds {'pruned ' * pruned}weights of '{metadata.get('model')}', not of "
        f"'{spec.name}'"
    )


def _comparable(config: Any) -> Any:
    """A configuration in which widths are equal however much of them is left unsaid."""
    try:
        return {**config, PRUNED: msgspec.convert(config[PRUNED], Widths)}
    except (KeyError, TypeError, msgspec.ValidationError):
        return config


def _canonical(data: bytes) -> bytes:
    """Sorts a safetensors header, whose metadata the library writes in random order."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = {"__metadata__": dict(sorted(header.pop("__metadata__").items()))}
    text = json.dumps(metadata | header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _some(word: str, names: list[str]) -> str:
    if not names:
        return f"none {word}"
    shown = ", ".join(name[:80] for name in names[:MAX_NAMES_SHOWN])
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return f"{len(names)} {word} ({shown}{more})"
