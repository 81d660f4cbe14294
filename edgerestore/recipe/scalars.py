"""Numbers within bounds, as the fields of TOML files want them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
PrecisionName = Literal["fp32", "fp16", "bf16", "int8"]
Range = tuple[float, float]
"""Lowest and highest value; drawn evenly in between."""
DeviceName = Literal["auto", "cpu", "cuda"]
"""Where to train; ``auto`` takes CUDA where torch finds it."""


def require_range(name: str, given: Range, lowest: float, highest: float) -> None:
    """Raises ValueError unless ``given`` grows, or stands still, within bounds."""
    low, high = given
    if not lowest <= low <= high <= highest:
        raise ValueError(
            f"{name} from {low:g} to {high:g}: must grow, between {lowest:g} and {highest:g}"
        )
