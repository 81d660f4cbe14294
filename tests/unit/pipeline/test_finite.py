from __future__ import annotations

import numpy as np
import pytest

from edgerestore.errors import AccuracyError
from edgerestore.pipeline.finite import finite


def test_finite_output_is_passed_on() -> None:
    run = finite(lambda tiles: tiles * 2, "b")
    np.testing.assert_array_equal(run(np.ones((2, 3, 1, 1), np.float32)), 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_place(value: float) -> None:
    def breaks(tiles: np.ndarray) -> np.ndarray:
        return np.where(tiles > 0.5, np.float32(value), tiles)

    run = finite(breaks, "net-fp16-board")
    dark = np.full((1, 3, 2, 2), 0.25, np.float32)
    run(dark)
    bright = dark.copy()
    bright[0, 0, 0] = 0.75
    with pytest.raises(
        AccuracyError, match=r"^net-fp16-board: 2 of 12 .* tile 2, .* 0\.25 to 0\.75$"
    ):
        run(bright)
