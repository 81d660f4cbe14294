"""Training for INT8: the ``[train.quantization]`` table of a recipe."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Quantization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Products read values rounded to 8 bits while weights learn; the weights stay in float32."""

    target: str = "x86-openvino"
    """Target whose rules for INT8 hold: its name, or a file relative to the recipe."""
    keep_float: tuple[str, ...] = ()
    """Further modules that are not rounded, as patterns such as ``layers.2.*``;
    ``*.matmul`` are all products of two activations."""
    tie_noise: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Standard deviation of what is added to scores before they are sorted, so that nearly
    equal ones fall either way, as any rounding makes them."""
