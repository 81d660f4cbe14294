from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.errors import ImageError, InputError
from edgerestore.pictures import picture_files, read_rgb


def test_reads_pixels_as_stored(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_rgb(tmp_path / "a.png")
    np.testing.assert_array_equal(read, pixels)
    assert read.flags.writeable


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\nrubbish", b"\xff\xd8\xff\xe0rubbish"]
)
def test_damage_is_one_error_that_names_the_file(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.png: cannot be read as a picture") as caught:
        read_rgb(tmp_path / "bad.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
def test_cut_and_flipped_bytes_raise_nothing_but_our_errors(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    good = path.read_bytes()
    for _ in range(100):
        data = bytearray(good)
        for place in rng.integers(0, min(len(data), 200), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)])
        with contextlib.suppress(ImageError):
            assert read_rgb(path).shape[2] == 3


def test_deep_pictures_and_absent_ones_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match="more than 8 bits"):
        read_rgb(tmp_path / "deep.png")
    with pytest.raises(InputError, match="no such file"):
        read_rgb(tmp_path / "absent.png")


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (50, 50)).save(tmp_path / "large.png")
    for limit in (2000, 1000):  # Pillow warns above its limit and raises above twice that.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ImageError, match="too many pixels"):
            read_rgb(tmp_path / "large.png")


def test_picture_files_are_sorted_and_others_ignored(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in picture_files(tmp_path)] == ["a.JPG", "b.png"]
    with pytest.raises(InputError, match="no such folder"):
        picture_files(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no picture"):
        picture_files(tmp_path / "c.png")
