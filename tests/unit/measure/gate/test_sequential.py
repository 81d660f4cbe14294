from __future__ import annotations

import math

import numpy as np
import pytest

from edgerestore.measure.gate.sequential import (
    LAST_PAIRS,
    MIN_PAIRS,
    PASS_ERROR,
    SPENDING,
    Estimate,
    Interval,
    Looks,
    interval,
    judge,
    pairs_needed,
)


def estimates(*ratios: float, variance: float = 1e-5) -> list[Estimate]:
    return [Estimate(math.log(ratio), variance) for ratio in ratios]


def drawn(ratio: float, spread: float, count: int, seed: int) -> list[Estimate]:
    values = np.random.default_rng(seed).normal(math.log(ratio), spread, count)
    return [Estimate(float(value), spread**2 / 4) for value in values]


@pytest.mark.parametrize(
    ("low", "ratio", "high", "last", "answer"),
    [
        (1.01, 1.05, 1.09, False, "regressed"),
        (1.01, 1.02, 1.04, True, "inconclusive"),
        (0.99, 1.05, 1.11, True, "inconclusive"),
        (0.98, 1.00, 1.02, False, "pass"),
        (0.95, 0.99, 1.02, False, "inconclusive"),
        (0.95, 0.99, 1.02, True, "pass"),
        (1.01, 1.02, 1.025, False, "pass"),
        (0.91, 0.95, 0.99, False, "improved"),
    ],
)
def test_the_answer_follows_from_interval_and_threshold(low, ratio, high, last, answer) -> None:
    seen = Interval(ratio, low, high)
    assert judge(seen, seen, 0.03, last=last) == answer


def test_a_pass_is_believed_sooner_than_a_regression() -> None:
    sure, likely = Interval(1.0, 0.96, 1.04), Interval(1.0, 0.98, 1.02)
    assert judge(sure, likely, 0.03, last=False) == "pass"
    sure, likely = Interval(1.05, 0.99, 1.11), Interval(1.05, 1.01, 1.09)
    assert judge(sure, likely, 0.03, last=True) == "inconclusive"


def test_an_accepted_ratio_moves_every_bound() -> None:
    seen = Interval(1.10, 1.09, 1.11)
    assert judge(seen, seen, 0.03, last=False) == "regressed"
    assert judge(seen, seen, 0.03, expected=1.10, last=False) == "pass"
    assert judge(seen, seen, 0.03, expected=1.20, last=False) == "improved"


@pytest.mark.parametrize("seed", range(8))
def test_swapping_the_sides_inverts_the_ratio_and_mirrors_the_answer(seed: int) -> None:
    mirror = {"regressed": "improved", "improved": "regressed"}
    seen = drawn(1.0 + 0.02 * seed, 0.01, 6, seed)
    swapped = [Estimate(-e.log_ratio, e.variance) for e in seen]
    one, other = interval(seen, 0.005), interval(swapped, 0.005)
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert one.low * other.high == pytest.approx(1.0)
    first = judge(one, one, 0.03, last=False)
    assert judge(other, other, 0.03, last=False) == mirror.get(first, first)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    intervals = [interval(drawn(1.02, 0.02, 6, seed), 0.05) for seed in range(400)]
    hits = sum(seen.low <= 1.02 <= seen.high for seen in intervals)
    assert hits >= 0.93 * 400


def test_a_pair_that_met_a_busy_machine_weighs_less() -> None:
    calm = estimates(1.0, 1.001, 0.999, 1.0, 1.002)
    wild = Estimate(math.log(1.5), 0.04)
    assert interval([*calm, wild], 0.01).ratio < 1.01
    assert interval([*calm, *estimates(1.5)], 0.01).ratio > 1.05


def test_pairs_that_agree_by_luck_are_not_believed_beyond_their_blocks() -> None:
    agreed = estimates(*[1.02] * 5, variance=0.02**2)
    assert interval(agreed, 0.01).low < 1.0


def test_two_pairs_are_needed_for_an_interval() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        interval(estimates(1.0), 0.01)


def test_looks_never_spend_more_than_the_error() -> None:
    looks, spent = Looks(), 0.0
    for pairs, fraction in enumerate(np.linspace(0.02, 0.98, 30), 1):
        spent += looks.due(float(fraction), pairs, last=pairs == 30) or 0.0
    assert spent == pytest.approx(1.0)


def test_a_late_first_look_takes_what_earlier_ones_left() -> None:
    looks = Looks()
    assert looks.due(0.5, MIN_PAIRS - 1, last=False) is None
    assert looks.due(0.6, MIN_PAIRS, last=False) == pytest.approx(SPENDING[1][1])
    assert looks.due(0.65, MIN_PAIRS + 1, last=False) is None
    assert looks.due(0.68, MIN_PAIRS + 2, last=True) == pytest.approx(1 - SPENDING[1][1])


def test_few_pairs_are_never_looked_at() -> None:
    assert Looks().due(0.5, MIN_PAIRS - 1, last=False) is None
    assert Looks().due(1.0, LAST_PAIRS - 1, last=True) is None
    assert Looks().due(1.0, LAST_PAIRS, last=True) == 1.0


def test_more_noise_needs_more_pairs_and_so_does_a_ratio_near_the_threshold() -> None:
    calm = pairs_needed(drawn(1.0, 0.01, 6, 1), 0.03)
    noisy = pairs_needed(drawn(1.0, 0.05, 6, 1), 0.03)
    assert MIN_PAIRS <= calm < noisy
    near = pairs_needed(estimates(1.03, 1.01, 1.04, 1.01, 1.035), 0.03)
    far = pairs_needed(estimates(1.01, 0.99, 1.02, 0.99, 1.015), 0.03)
    assert far < near


def test_as_many_pairs_as_are_said_to_be_needed_do_decide() -> None:
    few = drawn(1.0, 0.03, 6, 3)
    needed = pairs_needed(few, 0.03)
    many = (few * (needed // len(few) + 1))[:needed]
    seen = interval(many, PASS_ERROR / 2)
    assert judge(seen, seen, 0.03, last=True) == "pass"


def test_what_no_number_of_pairs_decides_has_no_number() -> None:
    assert pairs_needed(estimates(1.0), 0.03) is None
    at_threshold = [Estimate(math.log(1.03) - 1e-6 + x, 1e-4) for x in (-0.05, 0.05, -0.05, 0.05)]
    assert pairs_needed(at_threshold, 0.03) is None
