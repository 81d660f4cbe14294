"""From ranges to 8-bit steps: the arithmetic that every runtime's INT8 agrees on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerestore.compress.quantization.estimators import Range

MOST = 127
"""Largest integer of what is symmetric."""
PAIR_MOST = 2**15 - 1
"""That two products may sum up to where 16 bits hold the sum."""
HALF = PAIR_MOST // (2 * 255)
"""Largest integer that leaves room for that, whatever it is multiplied with."""
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


def steps_of(bounds: Range, *, symmetric: bool, most: int = MOST) -> Steps:
    """The steps that hold a range. 0 is one of them: what pads a convolution must be exact.

    Where they are ``symmetric``, the integers of the range go up to ``most``.
    """
    low, high = min(float(bounds[0]), 0.0), max(float(bounds[1]), 0.0)
    if symmetric:
        return Steps(max(-low, high) / most or STEP_OF_ZERO, 0, signed=True)
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


def int8_weight(weight: NDArray[np.float32], axis: int, *, int16_pairs: bool = False) -> Int8Weight:
    """Rounds a weight to integers from -127 to 127 along its output channels, 0 or 1.

    With ``int16_pairs`` they also bear :attr:`edgerestore.recipe.Int8Rules.int16_pairs`: those
    of two neighbouring inputs sum up to 128 at most, which 255 times is still below 2**15.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others)
    if int16_pairs:
        inputs = np.moveaxis(weight, 1 - axis, 0)
        count = len(inputs) // 2 * 2
        sums = np.moveaxis(inputs[0:count:2] + inputs[1:count:2], 0, 1 - axis)
        largest = np.maximum(largest, np.abs(sums).max(axis=others, initial=0))
    scales = (largest / MOST).astype(np.float32)
    scales[scales == 0] = STEP_OF_ZERO
    shape = [1] * weight.ndim
    shape[axis] = -1
    integers = np.clip(np.round(weight / scales.reshape(shape)), -MOST, MOST)
    return Int8Weight(integers.astype(np.int8), scales, axis)
