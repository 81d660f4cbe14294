"""The best of several candidates, as far as their intervals tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgerestore.decision.result import Answer, Drop, Keeps, Limits
from edgerestore.measure.bench.statistics import Interval, median_interval, paired_ratios

LATENCY_MARGIN = 0.03
"""A difference of latency that does not matter, as that of 'edgerestore gate'."""

ACCURACY_STEP_DB = 0.01
"""A difference of the mean that nobody sees."""

FRONT_STEP_DB = 0.001
"""Step of accuracy on the Pareto front: what tables show."""


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate that ran and was scored."""

    label: str
    drop: Drop
    turns_ns: Sequence[Sequence[int]]
    """Turns of the same rounds as those of the other options."""
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer, and the options that it could not be told from."""

    answer: Answer
    label: str | None
    """The safe choice where undecided."""
    rivals: tuple[str, ...] = ()
    """That might be better: none where decided."""


def ratio(option: Option, other: Option) -> Interval:
    """Latency of one over another's, from turns of the same rounds."""
    return median_interval(paired_ratios(option.turns_ns, other.turns_ns))


def keeps(option: Option, limits: Limits) -> Keeps:
    """Whether an option is within the limits, in all that they name."""
    drop = option.drop
    answers = [_below(drop.mean_db, drop.low_db, drop.high_db, limits.mean_drop_db)]
    answers.append("yes" if drop.worst_db <= limits.worst_drop_db else "no")
    if limits.latency_ms is not None:
        turns = [float(np.median(turn)) / 1e6 for turn in option.turns_ns if turn]
        seen = median_interval(np.array(turns))
        answers.append(_below(seen.median, seen.low, seen.high, limits.latency_ms))
    order: tuple[Keeps, ...] = ("no", "unsure", "yes")
    return min(answers, key=order.index)


def front(options: Sequence[Option]) -> set[str]:
    """Labels of those that no other surely beats in latency or accuracy and loses in neither."""
    return {
        option.label
        for option in options
        if not any(_beats(other, option) for other in options if other is not option)
    }


def choose(options: Sequence[Option], limits: Limits) -> Choice:
    """The fastest within the limits or, with a limit of latency, the most accurate.

    Where another may be faster by more than the margin, or as fast and more accurate, as far as
    the intervals tell, the choice is undecided; so it is where the best may miss a limit.
    """
    sure = [o for o in options if keeps(o, limits) == "yes"]
    possible = [o for o in options if keeps(o, limits) != "no"]
    if not possible:
        return Choice("none keeps the limits", None)
    best, rivals = _best(possible, limits)
    if not sure:
        return Choice("undecided", None, tuple(o.label for o in possible))
    safe, safe_rivals = _best(sure, limits)
    if best is not safe:
        rivals = [best, *(o for o in rivals if o is not safe), *safe_rivals]
    found = tuple(dict.fromkeys(o.label for o in rivals if o is not safe))
    return Choice("undecided" if found else "decided", safe.label, found)


def _best(options: Sequence[Option], limits: Limits) -> tuple[Option, list[Option]]:
    """The preferred option, and those that might be preferred if more were known."""
    if limits.latency_ms is not None:
        # All are fast enough, so that time only decides between equals.
        accurate = min(_steps(option) for option in options)
        options = [option for option in options if _steps(option) == accurate]
    first = options[0]
    fastest = min(options, key=lambda option: ratio(option, first).median)
    slower = 1 + LATENCY_MARGIN
    equals = [o for o in options if o is fastest or _high(ratio(o, fastest)) <= slower]
    best = min(equals, key=lambda option: (_steps(option), option.file_bytes))
    rivals = []
    for option in options:
        low = _low(ratio(option, best))
        may_be_faster = low < 1 - LATENCY_MARGIN
        may_be_as_fast = low <= slower and option not in equals
        if option is not best and (
            may_be_faster or (may_be_as_fast and _steps(option) < _steps(best))
        ):
            rivals.append(option)
    return best, rivals


def _steps(option: Option) -> int:
    return round(option.drop.mean_db / ACCURACY_STEP_DB)


def _beats(option: Option, other: Option) -> bool:
    mine, theirs = (round(o.drop.mean_db / FRONT_STEP_DB) for o in (option, other))
    high = _high(ratio(option, other))
    return (mine <= theirs and high < 1) or (mine < theirs and high <= 1 + LATENCY_MARGIN)


def _below(value: float, low: float | None, high: float | None, limit: float) -> Keeps:
    if low is None or high is None:
        return "yes" if value <= limit else "no"
    if low > limit:
        return "no"
    return "yes" if high <= limit else "unsure"


def _low(seen: Interval) -> float:
    return 0.0 if seen.low is None else seen.low


def _high(seen: Interval) -> float:
    return np.inf if seen.high is None else seen.high
