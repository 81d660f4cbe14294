"""What a training step minimises: fields and tables of ``[train]``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgerestore.recipe.scalars import Rate

PixelLoss = Literal["l1", "mse", "charbonnier"]
"""Mean over all values of |d|, of d^2, or of sqrt(d^2 + 0.001^2), where d is what is missing."""

Weight = Annotated[float, msgspec.Meta(ge=0)]
"""What a loss is multiplied by before it is added; 0 leaves it out."""


class Contrastive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """IPT's contrastive loss over patch features, added to the pixel loss."""

    weight: Rate = 0.1


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another network, with weights that stay as they are, teaches the one that learns."""

    teacher: str
    """A model's name; its task and scale are the student's, and it takes the recipe's patch."""
    weights: str | None = None
    """The teacher's weights, relative to the recipe; the shipped ones where absent."""
    output_weight: Weight = 1.0
    """Weight of the mean absolute difference of the two outputs."""
    feature_weight: Weight = 0.01
    """Weight of the mean of the losses of ``features``, which begin near 1; pixels' near 0.03."""
    features: dict[str, str] = {}
    """Modules of the student, such as ``layers.2``, and those of the teacher to resemble."""

    def __post_init__(self) -> None:
        if not (self.output_weight or (self.features and self.feature_weight)):
            raise ValueError("the teacher teaches nothing: output and features weigh 0")
