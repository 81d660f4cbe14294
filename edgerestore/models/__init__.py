"""The models, as facts. Importing this pulls in no framework; building one needs torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerestore.errors import InputError, MissingPartError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

SHIPPED_WEIGHTS = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Input heights and widths that a network takes; others are padded and cropped."""

    minimum: int = 1
    multiple_of: int = 1
    maximum: int | None = None
    """None where nothing but memory bounds it."""

    def takes(self, side: int) -> bool:
        """Whether a side of this many pixels needs no padding."""
        return side == self.fitting(side)

    def fitting(self, side: int) -> int:
        """The smallest side of at least this many pixels that the network takes.

        Raises InputError where there is none: such a picture goes tile by tile.
        """
        fitting = -(-max(side, self.minimum) // self.multiple_of) * self.multiple_of
        if self.maximum is not None and fitting > self.maximum:
            raise InputError(f"a side of {side} pixels; the network takes at most {self.maximum}")
        return fitting

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return f"{self.minimum}"
        most = f", at most {self.maximum}" if self.maximum is not None else ""
        return f"multiples of {self.multiple_of}, at least {self.minimum}{most}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a model without building it."""

    name: str
    task: str
    scale: int
    """Output size over input size."""
    factory: str
    """``module:function`` that builds the reference form from ``config``."""
    config: Mapping[str, Any]
    params: int
    """Learned values that take part in the output."""
    dead_params: int
    """Values that the publication's own count holds but its network never uses."""
    tile: int
    """Input side that deployment defaults to, in pixels."""
    macs: int
    """Multiply-accumulates for one tile, attention products included."""
    size_rule: SizeRule = field(default_factory=SizeRule)
    border: int = 0
    """Pixels that the field's protocol cuts on each side before PSNR."""
    keep_float: tuple[str, ...] = ()
    """Modules that INT8 leaves in float by default: they touch the image itself."""
    source: str = ""
    tasks: tuple[str, ...] = ()
    """Of a network that learns several tasks at once: the entries that deploy one each."""
    reference_names: str = ""
    """``module:function`` that maps the authors' tensor names to ours, given ours."""

    @property
    def weights(self) -> Path | None:
        """The weights file that the package ships, if it ships one."""
        path = SHIPPED_WEIGHTS / f"{self.name}.safetensors"
        return path if path.is_file() else None


_ESRT_PAPER = "Lu et al., Transformer for Single Image Super-Resolution, arXiv 2108.11084"
_ESRT_ENDS = ("head", "tail", "skip")
_ESRT_FACTORY = "edgerestore.models.esrt:build"
_ESRT_NAMES = "edgerestore.models.esrt_names:from_reference_names"

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="esrt_x2",
            task="super-resolution",
            scale=2,
            factory=_ESRT_FACTORY,
            config={"scale": 2},
            params=677_771,
            dead_params=12,
            tile=48,
            macs=1_992_650_112,
            size_rule=SizeRule(minimum=4),
            keep_float=_ESRT_ENDS,
            border=2,
            source=_ESRT_PAPER,
            reference_names=_ESRT_NAMES,
        ),
        ModelSpec(
            name="esrt_x3",
            task="super-resolution",
            scale=3,
            factory=_ESRT_FACTORY,
            config={"scale": 3},
            params=770_251,
            dead_params=12,
            tile=48,
            macs=2_224_893_312,
            size_rule=SizeRule(minimum=4),
            keep_float=_ESRT_ENDS,
            border=3,
            source=_ESRT_PAPER,
            reference_names=_ESRT_NAMES,
        ),
        ModelSpec(
            name="esrt_x4",
            task="super-resolution",
            scale=4,
            factory=_ESRT_FACTORY,
            config={"scale": 4},
            params=751_755,
            dead_params=12,
            tile=48,
            macs=2_719_903_104,
            size_rule=SizeRule(minimum=4),
            keep_float=_ESRT_ENDS,
            border=4,
            source=_ESRT_PAPER,
            reference_names=_ESRT_NAMES,
        ),
        ModelSpec(
            name="esrt_s_x2",
            task="super-resolution",
            scale=2,
            factory=_ESRT_FACTORY,
            config={"scale": 2, "features": 16, "blocks": 2, "heads": 4, "skip": "bilinear"},
            params=128_467,
            dead_params=0,
            tile=48,
            macs=493_793_856,
            size_rule=SizeRule(minimum=4),
            keep_float=_ESRT_ENDS,
            border=2,
            source="compact variant of ESRT, for two CPU cores",
        ),
    )
}


def find_model(name: str) -> ModelSpec:
    """Looks a model up. Raises UnknownNameError, which offers the nearest name."""
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name]


def build_network(spec: ModelSpec) -> nn.Module:
    """Builds the reference form with fresh weights, in evaluation mode.

    Raises MissingPartError without torch.
    """
    module, function = spec.factory.split(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPartError(
            "building a network needs torch: pip install 'edgerestore[host]'"
        ) from error
    network: nn.Module = factory(**spec.config)
    return network.eval()
