from __future__ import annotations

import math

import pytest

from edgerestore.bundle import Accuracy, ImageScore
from edgerestore.decision.accuracy import drop_of


def accuracy(*drops: float) -> Accuracy:
    images = tuple(
        ImageScore(name=f"image{i}", fp32_psnr_y_db=30.0, psnr_y_db=30.0 - drop)
        for i, drop in enumerate(drops)
    )
    return Accuracy(
        data="d", protocol="p", images=images, mean_drop_db=0, worst_drop_db=0,
        allowed_mean_drop_db=0, allowed_worst_drop_db=0,
    )  # fmt: skip


def test_the_interval_is_that_of_the_mean_over_images() -> None:
    drop = drop_of(accuracy(0.0, 0.02, 0.01, 0.03, 0.02, 0.01, 0.0, 0.07))
    assert drop.mean_db == pytest.approx(0.02)
    assert (drop.worst_image, drop.images) == ("image7", 8)
    assert drop.worst_db == pytest.approx(0.07)
    # Standard error 0.0077: the interval is about two of them on either side.
    assert drop.low_db == pytest.approx(0.008, abs=0.003)
    assert drop.high_db == pytest.approx(0.036, abs=0.004)
    assert drop == drop_of(accuracy(0.0, 0.02, 0.01, 0.03, 0.02, 0.01, 0.0, 0.07))


def test_equal_losses_leave_no_doubt() -> None:
    drop = drop_of(accuracy(*[0.25] * 5))
    assert (drop.low_db, drop.high_db) == pytest.approx((0.25, 0.25))


def test_few_images_give_no_interval() -> None:
    drop = drop_of(accuracy(0.1, 0.2))
    assert (drop.low_db, drop.high_db) == (None, None)
    assert drop.mean_db == pytest.approx(0.15)


def test_two_perfect_results_lose_nothing() -> None:
    perfect = ImageScore(name="black", fp32_psnr_y_db=math.inf, psnr_y_db=math.inf)
    given = accuracy(0.1)
    drop = drop_of(
        Accuracy(
            data="d",
            protocol="p",
            images=(perfect, *given.images),
            mean_drop_db=0,
            worst_drop_db=0,
            allowed_mean_drop_db=0,
            allowed_worst_drop_db=0,
        )
    )
    assert drop.mean_db == pytest.approx(0.05)
