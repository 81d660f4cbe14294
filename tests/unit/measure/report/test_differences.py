from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from edgerestore.errors import InputError
from edgerestore.measure.report.differences import Pixels, difference, heat_maps


def grey(levels: Pixels) -> Pixels:
    return np.repeat(levels[:, :, None], 3, axis=-1)


def test_the_largest_channel_counts_whichever_is_brighter() -> None:
    one = np.zeros((4, 5, 3), np.uint8)
    one[0, 0] = (200, 0, 0)
    other = np.zeros((4, 5, 3), np.uint8)
    other[1, 2] = (3, 40, 7)
    found = difference("a", one, "b", other)
    assert found.levels.tolist() == [
        [200, 0, 0, 0, 0], [0, 0, 40, 0, 0], 5 * [0], 5 * [0],
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "end"), [(0, 4), (4, 4), (5, 8), (64, 64), (129, 255)])
def test_the_scale_holds_what_is_there(most: int, end: int) -> None:
    levels = grey(np.full((8, 8), most, np.uint8))
    assert difference("a", levels, "b", np.zeros_like(levels)).end == end


def test_a_map_is_lighter_where_more_differs_and_its_legend_says_how_much() -> None:
    ramp = grey(np.tile(np.arange(17, dtype=np.uint8), (6, 1)))
    item = difference("INT8", ramp, "FP32", np.zeros_like(ramp), "dog")
    page = heat_maps([item])
    encoded = re.search(r"data:image/png;base64,([^\"]+)", page)
    assert encoded
    with Image.open(io.BytesIO(base64.b64decode(encoded[1]))) as image:
        light = np.asarray(image.convert("L"), dtype=int)[0]
    assert image.size == (17, 6)
    assert (np.diff(light) > 0).all()
    assert ">16</text>" in page
    assert "8.00 grey levels of 255 in the mean, 16 at most" in page
    assert 'alt="dog: difference map, INT8 against FP32' in page


def test_few_pixels_beyond_the_scale_are_counted() -> None:
    levels = np.full((100, 100), 2, np.uint8)
    levels[0, :5] = 200
    item = difference("a", grey(levels), "b", np.zeros((100, 100, 3), np.uint8))
    assert item.end == 4
    assert "0.05 % of the pixels lie beyond the scale" in heat_maps([item])


def test_pictures_of_other_sizes_are_refused() -> None:
    one, other = np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)
    with pytest.raises(InputError, match="'a' is 5 x 4, but 'b' 4 x 5"):
        difference("a", one, "b", other)
