"""What samples allow to be said, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

P90_SAMPLES = 64
"""Fewest samples for a 90th percentile: MLPerf's early-stopping bound."""
P99_SAMPLES = 662
"""Fewest samples for a 99th percentile, by the same bound."""
RATIO_ROUNDS = 6
"""Fewest rounds for an interval: the median of 6 lies within their range at 97 %."""
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with its bootstrap interval; without bounds where rounds are too few."""

    median: float
    low: float | None
    high: float | None

    def inverse(self) -> Interval:
        """Of one over each value: a slowdown's is a fraction reached."""
        low = None if self.high is None else 1 / self.high
        high = None if self.low is None else 1 / self.low
        return Interval(1 / self.median, low, high)


def percentile(samples: Sequence[int], percent: float) -> float:
    """The smallest sample that ``percent`` of all samples do not exceed (nearest rank)."""
    return float(np.percentile(np.asarray(samples), percent, method="inverted_cdf"))


def paired_ratios(
    turns: Sequence[Sequence[int]], reference: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Median of each turn over the median of the reference's turn in the same round.

    Rounds in which either has no sample are left out.
    """
    pairs = [(a, b) for a, b in zip(turns, reference, strict=False) if a and b]
    return np.array([np.median(a) / np.median(b) for a, b in pairs], dtype=np.float64)


def median_interval(values: NDArray[np.float64], *, seed: int = 0) -> Interval:
    """The median and its 95 % percentile-bootstrap interval; the seed makes it repeatable.

    Raises ValueError for no values.
    """
    if values.size == 0:
        raise ValueError("no values")
    median = float(np.median(values))
    if values.size < RATIO_ROUNDS:
        return Interval(median, None, None)
    drawn = np.random.default_rng(seed).choice(values, size=(RESAMPLES, values.size))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.median(drawn, axis=1), [tail, 100 - tail])
    return Interval(median, float(low), float(high))
