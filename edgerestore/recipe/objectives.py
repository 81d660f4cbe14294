"""What a training step minimises: fields and tables of ``[train]``."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgerestore.recipe.scalars import Rate

PixelLoss = Literal["l1", "mse", "charbonnier"]
"""Mean over all values of |d|, of d^2, or of sqrt(d^2 + 0.001^2), where d is what is missing."""


class Contrastive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """IPT's contrastive loss over patch features, added to the pixel loss."""

    weight: Rate = 0.1
