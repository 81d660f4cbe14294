from __future__ import annotations

import numpy as np
import pytest

from edgerestore.train.data.degradations.noise import add_noise

GREY = np.full((128, 128, 3), 128, np.uint8)


@pytest.mark.parametrize("sigma", [0, 10, 30])
def test_fixed_noise_has_its_deviation_and_no_bias(sigma: int) -> None:
    noise = add_noise(GREY, (sigma, sigma), np.random.default_rng(0)).astype(float) - 128
    # 49 152 samples: the mean is known within sigma / 222 and the deviation within sigma / 313.
    assert abs(noise.mean()) <= 4 * sigma / 222
    assert noise.std() == pytest.approx(sigma, rel=0.02)


def test_channels_and_pixels_are_independent() -> None:
    noise = add_noise(GREY, (20, 20), np.random.default_rng(1)).astype(float) - 128
    for shifted in (np.roll(noise, 1, 0), np.roll(noise, 1, 1), np.roll(noise, 1, 2)):
        assert abs((noise * shifted).mean()) < 0.03 * 20**2


def test_range_is_drawn_from_evenly() -> None:
    rng = np.random.default_rng(0)
    found = [(add_noise(GREY, (5, 25), rng).astype(float) - 128).std() for _ in range(60)]
    assert min(found) < 8
    assert max(found) > 22
    assert np.mean(found) == pytest.approx(15, abs=3)


def test_result_is_clipped_as_a_file_would_be() -> None:
    dark = np.zeros_like(GREY)
    noisy = add_noise(dark, (40, 40), np.random.default_rng(0))
    assert noisy.dtype == np.uint8
    assert (noisy == 0).mean() == pytest.approx(0.5, abs=0.01)
