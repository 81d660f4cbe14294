from __future__ import annotations

import math
from collections import Counter
from types import ModuleType

import pytest

from edgerestore.errors import InputError
from edgerestore.measure.gate.latency import Latency, compare_latency
from edgerestore.measure.gate.pairs import Pair
from edgerestore.measure.gate.sequential import MIN_PAIRS

MIRROR = {"regressed": "improved", "improved": "regressed"}


class Steady:
    """A source without noise beyond its own: each pair's ratio stands in a list."""

    def __init__(self, ratios: list[float], pair_s: float = 4.0) -> None:
        self.ratios, self.pair_s, self.now = ratios, pair_s, 0.0
        self.asked: list[float] = []

    def clock(self) -> float:
        return self.now

    def pair(self, number: int, seconds: float, until: float) -> Pair:
        self.now += self.pair_s
        self.asked.append(seconds)
        ratio = self.ratios[number % len(self.ratios)]
        candidate = [[int(1e7 * ratio * (1 + 0.001 * (i % 3)))] for i in range(12)]
        return Pair(candidate, [[10**7]] * 12, self.pair_s / 2, self.pair_s)


def runs(machine: ModuleType, ratio: float, noise: object, count: int) -> list[Latency]:
    return [
        compare_latency(machine.NoisyMachine(ratio, noise, seed), seconds=60.0)
        for seed in range(count)
    ]


def test_a_against_a_is_not_called_regressed(noisy_machine: ModuleType) -> None:
    seen = Counter(run.answer for run in runs(noisy_machine, 1.0, noisy_machine.SECOND_LOAD, 40))
    assert seen["regressed"] + seen["improved"] == 0
    assert seen["pass"] >= 24


def test_a_tenth_slower_is_called_regressed(noisy_machine: ModuleType) -> None:
    found = runs(noisy_machine, 1.10, noisy_machine.SECOND_LOAD, 40)
    assert sum(run.answer == "regressed" for run in found) >= 38


def test_swapped_sides_mirror_the_answer() -> None:
    ratios = [1.06, 1.05, 1.07, 1.055, 1.065]
    one = compare_latency(Steady(ratios))
    other = compare_latency(Steady([1 / ratio for ratio in ratios]))
    assert (one.answer, other.answer) == ("regressed", "improved")
    assert one.ratio * other.ratio == pytest.approx(1.0, rel=5e-3)


def test_what_is_plain_is_said_early() -> None:
    plain = compare_latency(Steady([1.5, 1.49, 1.51]))
    assert (plain.answer, plain.pairs) == ("regressed", MIN_PAIRS)
    assert plain.seconds < 30
    close = compare_latency(Steady([1.06, 0.98, 1.05, 0.99, 1.07, 1.0]))
    assert close.pairs > plain.pairs


def test_an_open_question_says_how_long_it_would_take() -> None:
    seen = compare_latency(Steady([1.2, 0.9, 1.1, 0.8, 1.0]))
    assert seen.answer == "inconclusive"
    assert seen.more_pairs >= 1
    assert seen.more_seconds == pytest.approx(4.0 * seen.more_pairs)
    assert seen.low < seen.ratio < seen.high


def test_time_for_too_few_pairs_is_inconclusive_without_an_interval() -> None:
    seen = compare_latency(Steady([2.0]), seconds=10.0)
    assert (seen.answer, seen.pairs, seen.low) == ("inconclusive", 2, None)
    assert seen.ratio == pytest.approx(2.0, rel=0.01)
    alone = compare_latency(Steady([2.0]), seconds=1.0)
    assert (alone.pairs, alone.more_pairs) == (1, None)


def test_the_time_is_kept() -> None:
    source = Steady([1.2, 0.9, 1.1, 0.8, 1.0], pair_s=7.0)
    assert compare_latency(source, seconds=60.0).seconds <= 60.0
    assert all(60 / 40 <= seconds <= 60 / 12 for seconds in source.asked)


def test_an_accepted_ratio_passes_and_its_absence_does_not() -> None:
    ratios = [1.20, 1.201, 1.199]
    assert compare_latency(Steady(ratios), expected=1.2).answer == "pass"
    assert compare_latency(Steady([1.0]), expected=1.2).answer == "improved"


def test_a_pairs_ratio_cancels_what_slows_a_whole_block() -> None:
    speed = [1.0, 1.0, 6.0, 6.0, 2.0, 2.0]
    candidate = [[int(1.1e7 * s)] * 3 for s in speed]
    baseline = [[int(1e7 * s)] * 3 for s in speed]
    estimate = Pair(candidate, baseline, 1.0, 2.0).estimate()
    assert math.exp(estimate.log_ratio) == pytest.approx(1.1)
    assert estimate.variance == pytest.approx(0.0, abs=1e-12)


def test_one_burst_does_not_move_a_pair() -> None:
    baseline = [[10**7]] * 16
    burst = [[10**7]] * 15 + [[10**9]]
    assert Pair(burst, baseline, 1.0, 2.0).estimate().log_ratio == pytest.approx(0.0, abs=1e-9)


def test_a_lone_block_is_hardly_believed() -> None:
    assert Pair([[1], [1]], [[1], [1]], 1.0, 1.0).estimate().variance == pytest.approx(0.01)


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": 0},
        {"seconds": math.nan},
        {"seconds": math.inf},
        {"threshold": 0},
        {"threshold": 1.0},
        {"threshold": math.nan},
    ],
)
def test_limits_that_cannot_be_kept_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InputError):
        compare_latency(Steady([1.0]), **limits)


def test_progress_hears_pairs_and_the_ratio_so_far() -> None:
    heard = []
    compare_latency(Steady([1.0, 1.01]), report=lambda *seen: heard.append(seen))
    assert [pairs for _, pairs, _ in heard] == list(range(1, len(heard) + 1))
    assert heard[0][2] is None
    assert heard[-1][2] is not None
