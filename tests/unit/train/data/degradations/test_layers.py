from __future__ import annotations

import numpy as np

from edgerestore.train.data.degradations.layers import lay_over, rain_layer

CLEAN = np.random.default_rng(0).integers(0, 200, (40, 50, 3), dtype=np.uint8)
RAIN = (np.indices((40, 50)).sum(0) % 7 == 0)[..., None] * np.array([30, 30, 30])


def test_layer_laid_over_its_own_picture_gives_the_rainy_one() -> None:
    rainy = (CLEAN + RAIN).astype(np.uint8)
    layer = rain_layer(rainy, CLEAN)
    assert layer.min() == 0
    laid = [lay_over(CLEAN, [layer], (1, 1), np.random.default_rng(s)) for s in range(8)]
    mirrored = (CLEAN + RAIN[:, ::-1]).astype(np.uint8)
    assert {image.tobytes() for image in laid} == {rainy.tobytes(), mirrored.tobytes()}


def test_gain_multiplies_the_rain_and_clips() -> None:
    layer = rain_layer((CLEAN + RAIN).astype(np.uint8), CLEAN)
    strong = lay_over(CLEAN, [layer], (3, 3), np.random.default_rng(0)).astype(int) - CLEAN
    assert set(np.unique(strong)) <= {0, *range(55, 91)}
    assert strong.max() == 90
    assert np.array_equal(lay_over(CLEAN, [layer], (0, 0), np.random.default_rng(0)), CLEAN)


def test_small_layer_is_continued_and_a_large_one_cut() -> None:
    layer = rain_layer((CLEAN + RAIN).astype(np.uint8), CLEAN)
    large = np.zeros((70, 90, 3), np.uint8)
    covered = lay_over(large, [layer], (1, 1), np.random.default_rng(0))
    assert covered.shape == large.shape
    assert (covered[-20:] > 0).any()
    assert (covered[:, -20:] > 0).any()
    small = lay_over(large[:16, :16], [layer], (1, 1), np.random.default_rng(0))
    assert small.shape == (16, 16, 3)
