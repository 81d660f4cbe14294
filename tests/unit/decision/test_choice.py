from __future__ import annotations

from collections.abc import Callable

from edgerestore.decision.choice import Choice, choose, front, keeps, ratio
from edgerestore.decision.result import Limits

Make = Callable[..., object]

LIMITS = Limits(mean_drop_db=0.05, worst_drop_db=0.1)


def test_a_ratio_holds_still_where_the_machine_does_not(option: Make) -> None:
    seen = ratio(option("INT8", 5.0), option("FP32", 10.0))
    assert 0.49 < seen.low < 0.5 < seen.high < 0.51


def test_the_fastest_within_the_limits_is_chosen(option: Make) -> None:
    options = [
        option("FP32", 10.0),
        option("BF16", 6.0, 0.001),
        option("INT8", 5.0, 0.03),
        option("INT8 of another kind", 2.0, 0.2),
    ]
    assert choose(options, LIMITS) == Choice("decided", "INT8")
    strict = Limits(mean_drop_db=0.01, worst_drop_db=0.1)
    assert choose(options, strict) == Choice("decided", "BF16")


def test_one_bad_image_is_enough_to_be_refused(option: Make) -> None:
    bad = option("INT8", 5.0, 0.01, worst_db=0.11)
    assert keeps(bad, LIMITS) == "no"
    assert choose([option("FP32", 10.0), bad], LIMITS).label == "FP32"


def test_of_equally_fast_ones_the_more_accurate_wins_then_the_smaller(option: Make) -> None:
    options = [option("FP32", 5.02, kib=100), option("INT8", 5.0, 0.03, kib=40)]
    assert choose(options, LIMITS) == Choice("decided", "FP32")
    unseen = [option("FP32", 5.02, kib=100), option("INT8", 5.0, 0.004, kib=40)]
    assert choose(unseen, LIMITS) == Choice("decided", "INT8")


def test_what_cannot_be_told_apart_and_matters_is_undecided(option: Make) -> None:
    options = [option("BF16", 5.2, 0.0, spread=0.2), option("INT8", 5.0, 0.03, spread=0.2)]
    found = choose(options, LIMITS)
    assert found.answer == "undecided"
    assert {found.label, *found.rivals} == {"BF16", "INT8"}
    options = [option("BF16", 4.8, 0.0, spread=0.2), option("INT8", 5.0, 0.03, spread=0.2)]
    assert choose(options, LIMITS) == Choice("undecided", "BF16", ("INT8",))
    # Whichever it is, nobody would notice.
    options = [option("BF16", 5.0, 0.0, kib=90), option("INT8", 5.0, 0.003, kib=40)]
    assert choose(options, LIMITS) == Choice("decided", "INT8")


def test_too_few_rounds_decide_nothing_that_matters(option: Make) -> None:
    options = [option("FP32", 10.0, rounds=3), option("INT8", 5.0, 0.03, rounds=3)]
    assert choose(options, LIMITS) == Choice("undecided", "INT8", ("FP32",))


def test_a_loss_that_may_be_too_large_is_no_safe_choice(option: Make) -> None:
    unsure = option("INT8", 5.0, 0.04, interval=(0.02, 0.07))
    assert keeps(unsure, LIMITS) == "unsure"
    found = choose([option("FP32", 10.0), unsure], LIMITS)
    assert found == Choice("undecided", "FP32", ("INT8",))
    slow = option("INT8", 20.0, 0.04, interval=(0.02, 0.07))
    assert choose([option("FP32", 10.0), slow], LIMITS) == Choice("decided", "FP32")
    assert choose([unsure], LIMITS) == Choice("undecided", None, ("INT8",))


def test_with_a_limit_of_latency_the_most_accurate_is_chosen(option: Make) -> None:
    """The drifting machine's median is twice the time that the option was given."""
    options = [
        option("FP32", 10.0),
        option("BF16", 6.0, 0.002),
        option("INT8", 3.0, 0.03),
        option("INT8, 2 in float", 5.0, 0.003),
    ]
    limits = Limits(mean_drop_db=0.05, worst_drop_db=0.1, latency_ms=16.0)
    assert choose(options, limits) == Choice("decided", "INT8, 2 in float")
    close = Limits(mean_drop_db=0.05, worst_drop_db=0.1, latency_ms=10.0)
    found = choose(options, close)
    assert (found.answer, found.label) == ("undecided", "INT8")
    none = Limits(mean_drop_db=0.05, worst_drop_db=0.1, latency_ms=0.1)
    assert choose(options, none) == Choice("none keeps the limits", None)


def test_the_front_holds_what_nobody_surely_beats(option: Make) -> None:
    options = [
        option("FP32", 10.0, 0.0),
        option("FP16", 10.0, 0.0002, spread=0.05),
        option("BF16", 6.0, 0.0004),
        option("INT8", 5.0, 0.03),
        option("INT8, 2 in float", 7.0, 0.01),
    ]
    assert front(options) == {"BF16", "INT8"}
    assert front(options[:2]) == {"FP32", "FP16"}
