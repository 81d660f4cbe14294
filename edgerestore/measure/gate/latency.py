"""Candidate against baseline by the clock: pairs of processes until the answer is sure."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from edgerestore.errors import InputError
from edgerestore.measure.gate.pairs import Pair, Source
from edgerestore.measure.gate.sequential import (
    ERROR,
    MIN_PAIRS,
    PASS_ERROR,
    Answer,
    Estimate,
    Interval,
    Looks,
    confidence,
    interval,
    judge,
    pairs_needed,
)

DEFAULT_SECONDS = 60.0
DEFAULT_THRESHOLD = 0.03
SHORTEST, LONGEST = 1 / 40, 1 / 12
"""Of the time given, for the turns of one pair. Between them a pair is measured for as long as
its opening took, near the best division where processes differ as much as blocks do, and for
less where fewer than ``WANTED_PAIRS`` would fit."""
WANTED_PAIRS = 8
MARGIN = 1.1
"""Times what a pair took lately must fit into what is left of the time."""

Report = Callable[[float, int, Interval | None], None]
"""Hears the fraction of the time used, the pairs seen and the ratio so far."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What was concluded about the ratio of latencies, candidate over baseline."""

    answer: Answer
    ratio: float
    low: float | None
    """Bounds of the ratio that hold with ``confidence`` over all looks; null for few pairs."""
    high: float | None
    confidence: float
    threshold: float
    """The smallest relative difference that matters."""
    expected: float
    """The ratio that was accepted beforehand; 1 where nothing was."""
    reason: str | None = None
    """Why that ratio was accepted."""
    pairs: int
    """Fresh processes of either side."""
    samples: int
    """Timed inferences of both sides."""
    seconds: float
    candidate_ms: float
    """Median of all samples; of this machine and this minute, compare nothing else with it."""
    baseline_ms: float
    more_pairs: int | None = None
    """Further pairs that would decide, were ratio and spread to stay; null where decided, or
    where no reasonable number would."""
    more_seconds: float | None = None
    estimates: list[Estimate]
    """One for each pair, in order."""


def compare_latency(
    source: Source,
    *,
    seconds: float = DEFAULT_SECONDS,
    threshold: float = DEFAULT_THRESHOLD,
    expected: float = 1.0,
    report: Report = lambda fraction, pairs, seen: None,
) -> Latency:
    """Takes pairs until the answer is sure or the next pair would not fit into the time.

    Only a machine that slows down while the last pair opens makes it last longer than that.

    Raises InputError for limits that cannot be kept, and what the source raises.
    """
    if not 0 < seconds < math.inf:
        raise InputError(f"seconds: {seconds} is not a positive number")
    if not 0 < threshold < 1:
        raise InputError(f"threshold: {threshold} is not between 0 and 1 (3% is 0.03)")
    began = source.clock()
    looks, pairs, estimates = Looks(), list[Pair](), list[Estimate]()
    answer: Answer = "inconclusive"
    last = False
    seen: Interval | None = None
    while answer == "inconclusive" and not last:
        pairs.append(source.pair(len(pairs), _turns_s(pairs, seconds), began + seconds))
        used = source.clock() - began
        # The longer of two and a little, because the machine may be slow again.
        last = used + MARGIN * max(pair.seconds for pair in pairs[-2:]) > seconds
        estimates.append(pairs[-1].estimate())
        if len(pairs) >= MIN_PAIRS:
            seen = interval(estimates, ERROR)
        share = looks.due(used / seconds, len(pairs), last=last)
        if share is not None:
            sure, likely = (interval(estimates, share * error) for error in (ERROR, PASS_ERROR))
            answer = judge(sure, likely, threshold, expected=expected, last=last)
            seen = likely if answer == "pass" else sure
        report(min(1.0, used / seconds), len(pairs), seen)
    needed = None
    if answer == "inconclusive":
        needed = pairs_needed(estimates, threshold, expected=expected)
    more = None if needed is None else max(1, needed - len(pairs))
    return Latency(
        answer=answer,
        ratio=seen.ratio if seen else math.exp(np.median([e.log_ratio for e in estimates])),
        low=seen.low if seen else None,
        high=seen.high if seen else None,
        confidence=confidence(answer),
        threshold=threshold,
        expected=expected,
        pairs=len(pairs),
        samples=sum(pair.samples for pair in pairs),
        seconds=used,
        candidate_ms=_median_ms([pair.candidate_ns for pair in pairs]),
        baseline_ms=_median_ms([pair.baseline_ns for pair in pairs]),
        more_pairs=more,
        more_seconds=None if more is None else more * used / len(pairs),
        estimates=estimates,
    )


def _turns_s(pairs: list[Pair], seconds: float) -> float:
    opening = pairs[-1].opening_s if pairs else 0.0
    wanted = min(opening, seconds / WANTED_PAIRS - opening)
    return min(max(wanted, SHORTEST * seconds), LONGEST * seconds)


def _median_ms(turns: list[list[list[int]]]) -> float:
    return float(np.median([ns for pair in turns for turn in pair for ns in turn])) / 1e6
