"""How weights move: tables of ``[train]``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgerestore.recipe.kinds import Kind
from edgerestore.recipe.scalars import Count, Fraction, Positive, Rate

Decay = Annotated[float, msgspec.Meta(ge=0, lt=1)]
"""Share of a running average that each step keeps."""


class Optimizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019)."""

    kind: Literal["adam", "adamw"] = "adam"
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decays of the gradient's average and of its square's."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Added to the gradient by ``adam``, taken off the weights by ``adamw``."""


class Constant(Kind, frozen=True, kw_only=True, tag="constant"):
    """Stays at the full rate."""


class Steps(Kind, frozen=True, kw_only=True, tag="steps"):
    """Falls by ``factor`` after every ``every`` steps."""

    every: Positive
    factor: Fraction = 0.5


class Cosine(Kind, frozen=True, kw_only=True, tag="cosine"):
    """Falls along half a cosine down to ``final_learning_rate`` after the last step."""

    constant_steps: Count = 0
    """Steps before it falls, the warm-up among them."""
    final_learning_rate: Rate = 1e-6


Schedule = Constant | Steps | Cosine
"""How the learning rate goes after the warm-up."""
