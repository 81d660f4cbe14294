"""Where a tensor's range is cut: from what was seen of it to lowest and highest value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgerestore.compress.quantization.ranges import Seen

STEPS = 255
OUTSIDE = 1e-5
"""Share of the values that the percentile estimator cuts off at each end: 99.999 % stay."""
FRACTIONS = np.linspace(1.0, 0.3, 36)
"""Fractions of the extremes that the estimators of least squares try."""
ROUNDS = 3
"""Rounds of looking for the lower end, then for the upper."""
SMALLEST_STEP = 1e-12

Range = tuple[float, float]


def minmax(seen: Seen, symmetric: bool) -> Range:
    """Everything that was seen."""
    del symmetric
    return seen.low, seen.high


def percentile(seen: Seen, symmetric: bool) -> Range:
    """Everything but the outermost 1 in 100,000 at each end."""
    del symmetric
    counts = seen.counts.sum(axis=0)
    share = np.cumsum(counts) / counts.sum()
    low = seen.centres[np.searchsorted(share, OUTSIDE)]
    high = seen.centres[np.searchsorted(share, 1 - OUTSIDE)]
    return float(low), float(high)


def least_squares(seen: Seen, symmetric: bool) -> Range:
    """What rounds and clips with the least squared error over all crops."""
    return _search(seen, symmetric, seen.counts.sum(axis=0, keepdims=True))


def worst_crop(seen: Seen, symmetric: bool) -> Range:
    """What rounds and clips with the least squared error in the crop that suffers most.

    The few values that the others cut off are no noise in a residual stream: a rain streak
    before a night sky lies there, and one picture then pays for all.
    """
    return _search(seen, symmetric, seen.counts)


ESTIMATORS: dict[str, Callable[[Seen, bool], Range]] = {
    "worst-crop": worst_crop,
    "percentile": percentile,
    "minmax": minmax,
    "mse": least_squares,
}
"""Tried in this order where a build chooses; the second argument says whether the range will
be made symmetric around 0."""


def _search(seen: Seen, symmetric: bool, counts: NDArray[np.int32]) -> Range:
    """The range of least error, each row of ``counts`` a population and the worst one counting."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)

    def error(low: float, high: float) -> float:
        return float((counts @ _squares(seen.centres, low, high)).max())

    if symmetric:
        most = min((max(-low, high) * f for f in FRACTIONS), key=lambda m: error(-m, m))
        return -most, most
    for _ in range(ROUNDS):
        before = low, high
        low = min((min(seen.low, 0.0) * f for f in FRACTIONS), key=lambda v: error(v, high))
        high = min((max(seen.high, 0.0) * f for f in FRACTIONS), key=lambda v: error(low, v))
        if before == (low, high):
            break
    return low, high


def _squares(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Squares of what quantizing to STEPS steps changes."""
    step = max((high - low) / STEPS, SMALLEST_STEP)
    rounded = np.clip(np.round((values - low) / step), 0, STEPS) * step + low
    squares: NDArray[np.float64] = (rounded - values) ** 2
    return squares
