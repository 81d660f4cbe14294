from __future__ import annotations

import numpy as np
import pytest

from edgerestore import metrics
from edgerestore.errors import InputError

TRUTH = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


def test_psnr_of_rgb_is_over_all_channels_within_the_border() -> None:
    result = TRUTH.copy()
    result[..., 0] ^= 6
    by_hand = 10 * np.log10(255**2 / np.mean((result.astype(float) - TRUTH) ** 2))
    assert metrics.psnr_rgb_db(result, TRUTH, border=0) == pytest.approx(by_hand)
    result[4:-4, 4:-4] = TRUTH[4:-4, 4:-4]
    assert metrics.psnr_rgb_db(result, TRUTH, border=0) < 60
    assert metrics.psnr_rgb_db(result, TRUTH, border=4) == float("inf")


def test_psnr_of_rgb_agrees_with_scikit_image() -> None:
    peer = pytest.importorskip("skimage.metrics")
    result = np.random.default_rng(1).integers(0, 256, TRUTH.shape, np.uint8)
    expected = peer.peak_signal_noise_ratio(TRUTH, result, data_range=255)
    assert metrics.psnr_rgb_db(result, TRUTH, border=0) == pytest.approx(expected)


def test_grey_errors_weigh_less_in_luma_than_in_rgb() -> None:
    truth = np.full((16, 16, 3), 100, np.uint8)
    y = metrics.psnr_y_db(truth + np.uint8(10), truth, border=2)
    rgb = metrics.psnr_rgb_db(truth + np.uint8(10), truth, border=2)
    assert y - rgb == pytest.approx(20 * np.log10(255 / 219))


@pytest.mark.parametrize("measure", [metrics.psnr_y_db, metrics.psnr_rgb_db])
def test_images_of_different_sizes_are_refused(measure) -> None:
    with pytest.raises(InputError, match=r"cannot compare images of \(24, 20, 3\)"):
        measure(TRUTH, TRUTH[1:], border=0)


def test_nothing_has_no_sign() -> None:
    assert [metrics.decibels(x) for x in (-0.0002, 0.0, -0.0006)] == ["0.000", "0.000", "-0.001"]
    assert metrics.decibels(-0.004, 2) == "0.00"


INF = float("inf")


@pytest.mark.parametrize(
    ("reference", "value", "drop"),
    [(30.0, 29.5, 0.5), (INF, INF, 0.0), (INF, 40.0, 20.0), (40.0, INF, -20.0), (INF, 83.3, 0.0)],
)
def test_drop_is_finite_whatever_is_met_exactly(reference, value, drop) -> None:
    assert metrics.psnr_drop_db(reference, value) == pytest.approx(drop)


@pytest.mark.parametrize(
    ("value", "limit", "told"),
    [
        (0.5, 0.2, ("0.50", "0.20")),
        (0.0101, 0.01, ("0.0101", "0.0100")),
        (0.06000001, 0.06, ("0.06000001", "0.06000000")),
        (0.06, 0.06, ("0.06", "0.06")),
    ],
)
def test_a_missed_limit_is_seen_to_be_missed(value, limit, told) -> None:
    assert metrics.exceeding(value, limit, 2) == told
