from __future__ import annotations

import numpy as np
import pytest

from edgerestore.train.data.degradations.spots import Spots, add_up, cover, scatter


def spot(**changes: float) -> Spots:
    fields = {"y": 30, "x": 40, "length": 20, "angle": 0, "sigma": 2, "fade": 2, "peak": 5}
    return Spots(**{k: np.array([v], np.float32) for k, v in {**fields, **changes}.items()})


def test_spot_is_a_blurred_line_with_its_peak_in_the_middle() -> None:
    drawn = add_up(spot(), 60, 80)
    assert drawn[30, 40] == drawn.max() == pytest.approx(5, rel=1e-3)
    assert np.array_equal(np.argwhere(drawn > 2.4).min(0)[0], 20)
    # Half the peak lies where a path of 20 ends, and 1.177 deviations to its side.
    assert drawn[20, 40] == pytest.approx(2.5, rel=0.02)
    assert drawn[30, 42] == pytest.approx(5 * np.exp(-0.5), rel=1e-3)
    assert drawn[0].max() == drawn[:, 0].max() == 0


def test_spot_keeps_its_sum_at_any_angle_and_between_pixels() -> None:
    total = add_up(spot(), 60, 80).sum()
    for changes in ({"angle": 0.5}, {"angle": -1.0}, {"y": 30.4, "x": 39.7, "angle": 0.2}):
        assert add_up(spot(**changes), 60, 80).sum() == pytest.approx(total, rel=0.01)


def test_spot_that_does_not_move_is_round() -> None:
    drawn = add_up(spot(length=0, angle=0.4), 60, 80)
    distance = np.hypot(*(np.indices((60, 80)) - np.array([30, 40])[:, None, None]))
    np.testing.assert_allclose(drawn, 5 * np.exp(-0.5 * (distance / 2) ** 2), atol=0.03)


def test_picture_is_a_window_on_the_plane() -> None:
    whole = add_up(spot(angle=0.6), 60, 80)
    part = add_up(spot(angle=0.6, y=30 - 25, x=40 - 38), 20, 30)
    np.testing.assert_allclose(part, whole[25:45, 38:68], atol=1e-5)
    assert not add_up(spot(y=-50), 20, 30).any()
    assert not add_up(spot(x=500), 20, 30).any()


def test_overlapping_covers_multiply_what_they_let_through() -> None:
    twice = Spots(*(np.repeat(getattr(spot(peak=9), k), 2) for k in Spots.__slots__))
    assert cover(spot(peak=9), 0.6, 60, 80)[30, 40] == pytest.approx(0.6, abs=1e-5)
    assert cover(twice, 0.6, 60, 80)[30, 40] == pytest.approx(1 - 0.4**2, abs=1e-5)


def test_scattered_places_fill_picture_and_margin() -> None:
    y, x = scatter(100, 200, 10, 0.05, np.random.default_rng(0))
    assert len(y) == pytest.approx(0.05 * 120 * 220, rel=0.1)
    assert (y.min(), x.min()) == pytest.approx((-10, -10), abs=1)
    assert (y.max(), x.max()) == pytest.approx((110, 210), abs=1)
    assert len(scatter(100, 200, 10, 0, np.random.default_rng(0))[0]) == 0
