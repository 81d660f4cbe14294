"""TOML files as checked values: recipes, targets, calibration sets."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from edgerestore.errors import InputError, RecipeError, suggestion
from edgerestore.recipe.card import Card
from edgerestore.recipe.pruning import PruneSettings
from edgerestore.recipe.scalars import Count, Positive, PrecisionName, Rate
from edgerestore.recipe.training import TrainSettings

MAX_TOML_BYTES = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)


class BuildSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``edgerestore build`` makes; the command line overrides each field."""

    targets: tuple[str, ...]
    precisions: tuple[PrecisionName, ...]
    tile: Positive | Literal["auto"] | None = None
    """Input pixels on a side; the model's default tile where absent. With ``auto`` the
    targets' rates and budgets choose."""
    batch: Positive = 1
    """Tiles that a bundle runs at once, which fills a GPU that one tile leaves idle."""
    calibration: str | None = None
    """A set's name or manifest, or a folder; the shipped set of the model's task where absent."""
    keep_float: tuple[str, ...] = ()
    """Further modules kept out of INT8, as patterns such as ``blocks.0.low.*``."""
    keep_float_on: dict[str, tuple[str, ...]] = {}
    """Still further ones, by target or a pattern such as ``*-tensorrt``, where a target's rules
    are harder on the network."""


class Int8Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a target's INT8 graphs may hold."""

    symmetric: bool = False
    """All zero points 0, as TensorRT demands."""
    symmetric_factors: bool = False
    """Zero points 0 where two activations are multiplied: OpenVINO computes others in float."""
    rest: Literal["fp32", "fp16"] = "fp32"
    """Type of what is not quantized."""
    kinds: tuple[Literal["Conv", "MatMul"], ...] = ("Conv", "MatMul")
    """Products that are quantized: those whose INT8 kernels the runtime really uses."""
    whole_products: bool = False
    """Tokens times a weight as one operator of ONNX Runtime's own, from integers to floats with
    its bias, since pairs around such a product stay pairs around a float one."""
    int16_pairs: bool = False
    """Kernels may add products of two neighbouring inputs in 16 bits, and cut off what is more
    (vpmaddubsw, on x86 CPUs without VNNI): weights and second factors leave room for any two."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one tile may cost where ``--tile auto`` chooses."""

    latency_ms: Rate | None = None
    memory_mib: Rate | None = None


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device sustains, roughly: a few tens of per cent off is near enough to rank tiles."""

    gmacs_per_s: dict[PrecisionName, Rate]
    """Billions of multiply-accumulates in a second, for each precision."""
    gbytes_per_s: Rate
    """Memory read and written in a second, in units of 10^9 bytes."""
    operator_us: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What starting one operator takes, in microseconds: it makes small tiles dear."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device and the runtime on it."""

    name: str
    description: str
    backend: Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
    device: str
    """The runtime's own name of the device."""
    executes_on: str
    """The hardware, for people."""
    precisions: tuple[PrecisionName, ...]
    options: dict[PrecisionName, dict[str, str]] = {}
    """Runtime options for each precision."""
    fallback: dict[PrecisionName, dict[str, str]] = {}
    """Runtime options in place of ``options`` where a bundle would miss its accuracy gate."""
    compute_capabilities: tuple[str, ...] = ()
    """GPU generations that an engine is built for ahead of time."""
    operators: tuple[str, ...] = ()
    """What the device's compiler takes, by OpenVINO's names; empty where it takes all."""
    arithmetic: Literal["as-written", "fp16"] = "as-written"
    """``fp16`` where the device computes in FP16 whatever types a graph has."""
    int8: Int8Rules = Int8Rules()
    rates: Rates | None = None
    budget: Budget = Budget()


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network of the user's own; what is left out is found by trying."""

    factory: str
    """``file.py:function``, relative to the recipe. The file is executed."""
    scale: Positive | None = None
    """Output size over input size."""
    channels: Positive | None = None
    minimum: Positive | None = None
    """The smallest side that the network takes, in pixels."""
    multiple_of: Positive | None = None
    """What every side must be a multiple of, in pixels."""
    value_range: tuple[float, float] | None = None
    """What the network takes black and white as, such as 0 and 255."""
    task: str | None = None
    border: Count | None = None
    """Pixels cut on each side before PSNR; the scale where absent, and 0 at scale 1."""
    keep_float: tuple[str, ...] | None = None
    """Modules that INT8 leaves in float; the first and last convolution where absent."""
    tile: Positive | None = None
    """Input side that deployment defaults to, in pixels."""

    def __post_init__(self) -> None:
        if self.value_range:
            low, high = self.value_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"value range {low:g} to {high:g}: must be finite and grow")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model, how it is trained and what is built from it."""

    model: str
    """A name of ours; with ``[network]``, the name that bundles of the user's own get."""
    weights: str | None = None
    """A safetensors file, relative to the recipe; the shipped weights where absent."""
    network: NetworkSettings | None = None
    train: TrainSettings | None = None
    prune: PruneSettings | None = None
    build: BuildSettings | None = None
    card: Card | None = None
    """What the model card of trained weights says beside their figures."""


def read_toml(path: Path, kind: type[T]) -> T:
    """Reads a TOML file into ``kind``; unknown keys and wrong types are errors.

    Raises RecipeError, which names the file, the key and the nearest known key.
    """
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise RecipeError(f"{path}: larger than {MAX_TOML_BYTES} bytes; not a {kind.__name__}")
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {_explain(str(error), kind)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error


def _explain(message: str, kind: type[msgspec.Struct]) -> str:
    """Adds the nearest known key to msgspec's message about an unknown one."""
    unknown = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?", message)
    if not unknown:
        return message.replace("`$.", "key `")
    key, place = unknown.group(1), unknown.group(2) or ""
    fields = _fields_at(kind, place)
    where = f" in [{place}]" if place else ""
    return f"unknown key '{key}'{where}; {suggestion(key, fields)}"


def _fields_at(kind: type[msgspec.Struct], place: str) -> set[str]:
    """Names of the fields of the tables that may stand at a dotted path such as ``train``."""
    found = _structs_in(msgspec.inspect.type_info(kind))
    for step in re.findall(r"[A-Za-z_]+", place):
        types = [f.type for struct in found for f in struct.fields if f.encode_name == step]
        found = [struct for item in types for struct in _structs_in(item)]
    return {field.encode_name for struct in found for field in struct.fields}


def _structs_in(info: msgspec.inspect.Type) -> list[msgspec.inspect.StructType]:
    """Struct types inside optional, sequence and mapping types."""
    if isinstance(info, msgspec.inspect.StructType):
        return [info]
    inner: list[msgspec.inspect.Type] = []
    if isinstance(info, msgspec.inspect.UnionType):
        inner = list(info.types)
    elif isinstance(info, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)):
        inner = [info.item_type]
    elif isinstance(info, msgspec.inspect.DictType):
        inner = [info.value_type]
    return [struct for item in inner for struct in _structs_in(item)]
