"""A bundle as a function of arrays and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgerestore

pytestmark = pytest.mark.needs_backend("onnxruntime")

SHAPES = [(1, 1), (5, 3), (16, 16), (40, 33), (21, 30, 1), (20, 17, 2), (33, 20, 3), (18, 40, 4)]


def picture(shape, dtype):
    values = np.random.default_rng(len(shape)).random(shape)
    if dtype == np.float32:
        return values.astype(np.float32)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def doubled(image):
    return image.repeat(2, 0).repeat(2, 1)


@pytest.fixture
def restorer(doubling_bundle):
    with edgerestore.load(str(doubling_bundle())) as opened:
        yield opened


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_layout_and_type_comes_back_as_it_came(restorer, shape, dtype):
    image = picture(shape, dtype)
    result = restorer.restore(image)
    assert result.dtype == dtype
    assert result.shape == (2 * shape[0], 2 * shape[1], *shape[2:])
    colours = slice(None) if len(shape) == 2 else slice(0, {1: 1, 2: 1, 3: 3, 4: 3}[shape[2]])
    restored = result if len(shape) == 2 else result[:, :, colours]
    given = image if len(shape) == 2 else image[:, :, colours]
    np.testing.assert_allclose(restored, doubled(given), atol=1e-6)


def test_views_and_foreign_byte_order_are_taken(restorer):
    image = picture((20, 24, 3), np.uint16)
    expected = doubled(image)
    assert (restorer.restore(image[::-1, ::-1]) == expected[::-1, ::-1]).all()
    assert (restorer.restore(image.astype(">u2")) == expected).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.float64), "uint8, uint16 or float32"),
        (np.zeros((4, 4), np.int16), "uint8, uint16 or float32"),
        (np.zeros((4, 4, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.full((4, 4), np.nan, np.float32), "NaN or infinity"),
        ([[1, 2]], "not a list"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_one_line(restorer, image, message):
    with pytest.raises(edgerestore.InputError, match=message) as raised:
        restorer.restore(image)
    assert "\n" not in str(raised.value)


def test_facts_of_the_bundle_are_there(restorer, tmp_path):
    assert (restorer.scale, restorer.precision) == (2, "fp32")
    assert restorer.manifest.model.name == "double"
    assert restorer.path == tmp_path / "double-fp32"


def test_files_are_restored_and_progress_is_told(restorer, pictures, tmp_path):
    told = []
    outcomes = restorer.restore_files(
        [pictures], tmp_path / "out", progress=lambda *now: told.append(now[1:])
    )
    assert [outcome.status for outcome in outcomes] == ["restored"] * 5
    assert told == [(n, 5) for n in range(1, 6)]
    restorer.restore_file(pictures / "0.png", tmp_path / "one.png")
    given = np.asarray(Image.open(pictures / "0.png"))
    assert (np.asarray(Image.open(tmp_path / "one.png")) == doubled(given)).all()


def test_damaged_file_raises_and_leaves_nothing(restorer, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(edgerestore.ImageError):
        restorer.restore_file(tmp_path / "bad.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_closed_restorer_says_so(doubling_bundle):
    restorer = edgerestore.load(Path(doubling_bundle()))
    restorer.close()
    restorer.close()
    with pytest.raises(edgerestore.InputError, match="closed"):
        restorer.restore(np.zeros((4, 4), np.uint8))
