"""What people do today instead of a gate, applied to the samples that a gate has taken.

Each habit sees the baseline first and the candidate afterwards, as their runs follow each other:
the baseline's samples come from the first half of the pairs, the candidate's from the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edgerestore.measure.gate.pairs import Pair

Habit = Callable[[Sequence[Pair]], bool]
"""Whether it says "regressed"."""

THRESHOLD = 1.03
PYTEST_THRESHOLD = 1.05
PYTEST_SECONDS = 1.0
"""``--benchmark-max-time`` as it comes: rounds are added until a second is full."""
PYTEST_ROUNDS = 5
"""``--benchmark-min-rounds`` as it comes."""


def two_means(pairs: Sequence[Pair]) -> bool:
    """The mean of a run of the candidate against that of a run of the baseline, 3 %."""
    baseline, candidate = _one_after_the_other(pairs)
    return float(np.mean(candidate)) > THRESHOLD * float(np.mean(baseline))


def pytest_benchmark(pairs: Sequence[Pair]) -> bool:
    """``--benchmark-compare --benchmark-compare-fail=mean:5%`` against a stored run."""
    baseline = _rounds(pairs[0].baseline_ns)
    candidate = _rounds(pairs[-1].candidate_ns)
    return float(np.mean(candidate)) > PYTEST_THRESHOLD * float(np.mean(baseline))


def tool_twice(pairs: Sequence[Pair]) -> bool:
    """``benchmark_app`` or ``trtexec``, once for each, and their medians compared, 3 %."""
    baseline, candidate = _one_after_the_other(pairs)
    return float(np.median(candidate)) > THRESHOLD * float(np.median(baseline))


HABITS: dict[str, Habit] = {
    "two means, 3 %": two_means,
    "pytest-benchmark, mean:5%": pytest_benchmark,
    "benchmark_app or trtexec twice, 3 %": tool_twice,
}


def _one_after_the_other(pairs: Sequence[Pair]) -> tuple[list[int], list[int]]:
    half = (len(pairs) + 1) // 2
    later = pairs[half:] or pairs[-1:]
    baseline = [ns for pair in pairs[:half] for turn in pair.baseline_ns for ns in turn]
    return baseline, [ns for pair in later for turn in pair.candidate_ns for ns in turn]


def _rounds(turns: Iterable[Sequence[int]]) -> list[int]:
    found: list[int] = []
    spent = 0.0
    for ns in (ns for turn in turns for ns in turn):
        if spent >= PYTEST_SECONDS and len(found) >= PYTEST_ROUNDS:
            break
        found.append(ns)
        spent += ns / 1e9
    return found
