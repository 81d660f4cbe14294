"""When enough has been seen: a sequential test on the log-ratios of process pairs.

One value of a fresh pair of processes is the unit, because two processes of the same bundle
differ by more than their samples tell. If both sides are the same program, then a pair's
log-ratio is the difference of two draws from one distribution: symmetric around 0, and no
value more likely than 0. So it takes luck of at most 1 in 4 for each pair to agree on another
value, which is why nothing is said from fewer than ``MIN_PAIRS``, and from fewer than
``LAST_PAIRS`` not even where the time is up.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgerestore.measure.gate.student import student_quantile

Answer = Literal["pass", "regressed", "improved", "inconclusive"]

ERROR = 0.02
"""Probability that an interval, at any look, misses the true ratio: half of it on either side,
so that a program against itself is called regressed in 1 of 100 runs at most."""
PASS_ERROR = 0.1
"""The same for the narrower interval of a pass, so that what is slower by just the threshold
passes in 1 of 20 runs at most. An alarm that is false costs more than such a pass."""
MIN_PAIRS = 5
LAST_PAIRS = 4
LEAST_SPREAD = 0.005
"""Standard deviation of a log-ratio below which no pair is believed, however its blocks agree."""
SPENDING = ((0.3, 0.1), (0.6, 0.35))
"""Looks: after this fraction of the time, this share of the error may have been spent."""
MAX_PAIRS = 10_000
"""More than anybody waits for; ends the search for how many would decide."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one pair of processes says."""

    log_ratio: float
    variance: float
    """Of ``log_ratio`` over what the pair met in its lifetime; other processes come on top."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio of latencies with bounds that hold over all looks together."""

    ratio: float
    low: float
    high: float


class Looks:
    """When to look, and what error each look may spend.

    The union bound over the looks needs no assumption on how they depend on each other, and
    the moments follow the clock, not the data.
    """

    def __init__(self) -> None:
        self._spent = 0.0

    def due(self, fraction: float, pairs: int, *, last: bool) -> float | None:
        """The share of the error that a look now may spend; None where none is due.

        ``fraction`` is the time used of the time given. The last look spends all that is left.
        """
        if pairs < (LAST_PAIRS if last else MIN_PAIRS):
            return None
        allowed = max((share for start, share in SPENDING if fraction >= start), default=0.0)
        share = (1.0 if last else allowed) - self._spent
        if share <= 0:
            return None
        self._spent += share
        return share


def interval(estimates: Sequence[Estimate], error: float) -> Interval:
    """The interval of the ratio at ``1 - error`` from a random-effects mean of the pairs.

    Pairs that met a busy machine weigh less: weights are inverse variances, within pairs from
    their blocks and between pairs after DerSimonian and Laird (1986). The standard error is
    Hartung and Knapp's (2001) with Student's t, never below the one that the weights promise:
    its plain form is too sure of few pairs that agree by luck (Roever et al. 2015). All of it
    is symmetric in the signs of the log-ratios. Raises ValueError for fewer than two pairs.
    """
    centre, standard_error = _combined(estimates)
    half = student_quantile(1 - error / 2, len(estimates) - 1) * standard_error
    return Interval(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def judge(
    sure: Interval, likely: Interval, threshold: float, *, expected: float = 1.0, last: bool
) -> Answer:
    """The answer that two intervals of one ratio allow, relative to the expected ratio.

    ``likely`` is the narrower one, of a pass. Regressed: all of ``sure`` lies above ``expected``
    and the ratio itself beyond the threshold. Improved: the mirror image. Pass: all of
    ``likely`` within the threshold; at the last look it is enough that its upper bound is.
    Anything else is inconclusive.
    """
    limit = math.log1p(threshold)
    ratio, low, high = (math.log(x / expected) for x in (sure.ratio, sure.low, sure.high))
    if low > 0 and ratio > limit:
        return "regressed"
    if high < 0 and ratio < -limit:
        return "improved"
    low, high = (math.log(x / expected) for x in (likely.low, likely.high))
    if high < limit and (last or low > -limit):
        return "pass"
    return "inconclusive"


def confidence(answer: Answer) -> float:
    """Probability with which the interval of such an answer holds the ratio, over all looks."""
    return 1 - (PASS_ERROR if answer == "pass" else ERROR)


def pairs_needed(
    estimates: Sequence[Estimate], threshold: float, *, expected: float = 1.0
) -> int | None:
    """How many pairs in all would decide, were ratio and spread to stay as they are.

    None where not even ``MAX_PAIRS`` would, or nothing is known from fewer than two pairs.
    """
    if len(estimates) < 2:
        return None
    centre, standard_error = _combined(estimates)
    spread = standard_error * math.sqrt(len(estimates))
    distance, limit = abs(centre - math.log(expected)), math.log1p(threshold)
    room = distance if distance > limit else limit - distance

    error = ERROR if distance > limit else PASS_ERROR

    def decides(pairs: int) -> bool:
        # As in a run that is planned for so many: the last look has about half of the error.
        return student_quantile(1 - error / 4, pairs - 1) * spread / math.sqrt(pairs) < room

    if not decides(MAX_PAIRS):
        return None
    return bisect.bisect_left(range(MAX_PAIRS), True, lo=MIN_PAIRS, key=decides)


def _combined(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Mean log-ratio and its standard error."""
    count = len(estimates)
    if count < 2:
        raise ValueError("an interval needs two pairs")
    values = np.array([estimate.log_ratio for estimate in estimates])
    variances = np.array([estimate.variance for estimate in estimates]) + LEAST_SPREAD**2
    weights = 1 / variances
    mean, heterogeneity = _weighted(values, weights)
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    between = max(0.0, (heterogeneity - (count - 1)) / scale)
    weights = 1 / (variances + between)
    mean, heterogeneity = _weighted(values, weights)
    inflation = max(1.0, heterogeneity / (count - 1))
    return mean, math.sqrt(inflation / weights.sum())


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    mean = float(weights @ values / weights.sum())
    return mean, float(weights @ (values - mean) ** 2)
