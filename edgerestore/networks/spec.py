"""What is known of a model without building it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerestore.errors import InputError

SHIPPED_WEIGHTS = Path(__file__).parent.parent / "weights"
PRUNED = "pruned"
"""Key of a configuration that holds what pruning left: see ``networks/widths.py``."""
COSTS = Path(__file__).with_name("costs.json")
"""What every deployable model costs at its default tile; ``pipeline/catalogue.py`` writes it."""


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """What one tile costs a model in its deployable form, counted on its graph."""

    macs: int
    """Multiply-accumulates, attention products included."""
    activations: int
    """Values written by all operators."""
    attention_score_bytes: int
    """Bytes of score matrices in float32."""
    nodes: int
    not_counted: Mapping[str, int]
    """Operators whose work is in none of these figures, with how often they occur."""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Input heights and widths that a network takes; others are padded and cropped."""

    minimum: int = 1
    multiple_of: int = 1
    maximum: int | None = None
    """None where nothing but memory bounds it."""

    def takes(self, side: int) -> bool:
        """Whether a side of this many pixels needs no padding, and is not too large."""
        return (self.maximum is None or side <= self.maximum) and side == self.fitting(side)

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
    size_rule: SizeRule = field(default_factory=SizeRule)
    border: int = 0
    """Pixels that the field's protocol cuts on each side before PSNR."""
    pictures: str = ""
    """Shipped calibration set and evaluation pairs of what the network restores, if any."""
    keep_float: tuple[str, ...] = ()
    """Modules that INT8 leaves in float by default: they touch the image itself."""
    source: str = ""
    tasks: tuple[str, ...] = ()
    """Entries that deploy one task each, of a network that learns several at once."""
    parent: str = ""
    """Network that holds the tensors of an entry for one task among its own, under equal names."""
    pruned_from: str = ""
    """Entry whose network was pruned to make this one at other widths."""
    reference_names: str = ""
    """``module:function`` that maps the authors' tensor names to ours, given ours.

    Names of ours in a tuple are the rows of one table of theirs; None takes no part.
    """

    @property
    def costs(self) -> ModelCosts | None:
        """What one default tile costs; None for a network of several tasks or a user's own."""
        return _all_costs().get(self.name)

    @property
    def weights(self) -> Path | None:
        """The weights file that the package ships, if it ships one; a parent's will do."""
        names = (self.name, self.parent) if self.parent else (self.name,)
        paths = (SHIPPED_WEIGHTS / f"{name}.safetensors" for name in names)
        return next((path for path in paths if path.is_file()), None)


@functools.cache
def _all_costs() -> dict[str, ModelCosts]:
    return {name: ModelCosts(**facts) for name, facts in json.loads(COSTS.read_text()).items()}
