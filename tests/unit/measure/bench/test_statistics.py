from __future__ import annotations

import numpy as np
import pytest

from edgerestore.measure.bench.statistics import median_interval, paired_ratios, percentile


def test_a_percentile_is_one_of_the_samples() -> None:
    assert percentile(list(range(1, 101)), 90) == 90
    assert percentile([5], 90) == 5


def test_ratios_cancel_what_slows_a_whole_round() -> None:
    reference = [[100, 100], [600, 600], [250, 250]]
    turns = [[50, 50], [300, 300], [125, 125]]
    assert paired_ratios(turns, reference).tolist() == [0.5, 0.5, 0.5]


def test_rounds_in_which_one_is_absent_do_not_count() -> None:
    assert paired_ratios([[1], [], [3]], [[2], [2], []]).tolist() == [0.5]


def test_an_interval_encloses_the_median_and_repeats_itself() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.02, 40)
    interval = median_interval(values, seed=3)
    assert interval == median_interval(values, seed=3)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < interval.median < interval.high
    assert interval.high - interval.low < 0.04


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        interval = median_interval(rng.normal(1.0, 0.1, 30))
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 1.0 <= interval.high
    assert hits >= 88


def test_few_rounds_give_no_interval() -> None:
    assert median_interval(np.array([0.5, 0.6])).low is None


def test_no_rounds_give_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median_interval(np.array([]))
