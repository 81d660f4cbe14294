"""From ranges to 8-bit steps: the arithmetic that every runtime's INT8 agrees on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerestore.compress.quantization.estimators import Range

STEP_OF_ZERO = 2.0**-14
"""What is always 0 still needs a step: the smallest that FP16 holds without losing bits."""


@dataclass(frozen=True, slots=True)
class Steps:
    """``value = scale * (integer - zero_point)``."""

    scale: float
    zero_point: int
    signed: bool
    """Integers from -128 to 127, else from 0 to 255."""

    @property
    def bounds(self) -> Range:
        """The least and the largest value that can be said."""
        first = -128 if self.signed else 0
        return self.scale * (first - self.zero_point), self.scale * (first + 255 - self.zero_point)


def steps_of(bounds: Range, *, symmetric: bool) -> Steps:
    """The steps that hold a range. 0 is one of them: what pads a convolution must be exact."""
    low, high = min(float(bounds[0]), 0.0), max(float(bounds[1]), 0.0)
    if symmetric:
        return Steps(max(-low, high) / 127 or STEP_OF_ZERO, 0, signed=True)
    scale = (high - low) / 255 or STEP_OF_ZERO
    return Steps(scale, int(np.clip(round(-low / scale), 0, 255)), signed=False)


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """A weight in 8 bits, symmetric, with a step for each output channel."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int

    @property
    def shaped_scales(self) -> NDArray[np.float32]:
        """So that they multiply the values."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        return self.scales.reshape(shape)


def int8_weight(weight: NDArray[np.float32], axis: int) -> Int8Weight:
    """Rounds a weight to integers from -127 to 127 along its output channels."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scales = (np.abs(weight).max(axis=others) / 127).astype(np.float32)
    scales[scales == 0] = STEP_OF_ZERO
    shape = [1] * weight.ndim
    shape[axis] = -1
    integers = np.clip(np.round(weight / scales.reshape(shape)), -127, 127)
    return Int8Weight(integers.astype(np.int8), scales, axis)
