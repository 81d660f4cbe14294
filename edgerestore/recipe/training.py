"""How weights are trained: the ``[train]`` table of a recipe."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgerestore.recipe.objectives import Contrastive, PixelLoss
from edgerestore.recipe.pictures import Pictures, Source
from edgerestore.recipe.scalars import Count, Fraction, Positive, Rate


class TrainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How weights are trained; one seed gives one result on one machine."""

    source: tuple[Source, ...]
    validation: tuple[Pictures, ...] = ()
    """What PSNR is measured on, and what no training picture may show."""
    steps: Positive
    start: str | None = None
    """Weights to go on from, relative to the recipe; fresh ones where absent."""
    batch: Positive = 8
    patch: Positive = 32
    """Side of the input crop, in pixels."""
    loss: PixelLoss = "l1"
    contrastive: Contrastive | None = None
    learning_rate: Rate = 1e-3
    final_learning_rate: Rate = 1e-6
    """Reached by half a cosine after the warm-up."""
    warmup_steps: Count = 200
    clip_norm: Rate = 1.0
    ema: Fraction = 0.999
    """Decay of the weight average, which is what validates and ships."""
    amp: Literal["fp32", "bf16"] = "bf16"
    seed: int = 0
    validate_every: Positive = 1000
    checkpoint_every: Positive = 250

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("no source of pictures")
        if len({item.task is None for item in self.source}) > 1:
            raise ValueError("either every source names its task or none does")
        if self.contrastive is not None and self.batch == 1:
            raise ValueError("contrastive compares images of a batch, which holds only one")
