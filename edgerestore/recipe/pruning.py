"""How a network is pruned: the ``[prune]`` table of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgerestore.recipe.objectives import Weight
from edgerestore.recipe.scalars import Fraction, Positive, PrecisionName

Part = Literal["channels", "hidden", "heads", "head-widths"]
"""Channels of convolutions and of what passes between blocks, hidden units of MLPs, whole
attention heads, and the width of all heads of one attention."""


class PruneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes, and how much. After each round the network trains as ``[train]`` says."""

    macs: Fraction | None = None
    """Share of the multiply-accumulates of one default tile that is gone in the end."""
    latency: Fraction | None = None
    """Share of one default tile's latency that is gone instead, measured on ``target`` here."""
    target: str = "x86-openvino"
    precision: PrecisionName = "int8"
    rounds: Positive = 3
    """Rounds of pruning; in each, an equal part of the share that is to go goes."""
    weights: str | None = None
    """Weights of the dense network, relative to the recipe; the shipped ones where absent."""
    parts: tuple[Part, ...] = ("channels", "hidden", "heads", "head-widths")
    blocks: Positive | None = None
    """Blocks of the row that is the network's body that stay; the others go in the first round,
    before anything else. All where absent."""
    recursions: Positive | None = None
    """Times that what recurs is to run from the first round on; its own number where absent."""
    multiple_of: Positive = 1
    """Units that go at once, so that widths stay multiples of it where they are: vector units
    compute 5 channels no sooner than 8."""
    least: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.25
    """Share of the units of any layer, and of its heads, that stays in each round."""
    batches: Positive = 64
    """Batches of the training's, on which importance is measured."""
    dense_weight: Weight = 0.0
    """Weight of the mean absolute difference to the dense network's output, which then teaches."""

    def __post_init__(self) -> None:
        if (self.macs is None) == (self.latency is None):
            raise ValueError("give either macs or latency, the share that is to go")
        if not self.parts:
            raise ValueError("parts is empty: nothing may go")
