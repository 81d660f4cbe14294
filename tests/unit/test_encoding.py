from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from edgerestore.encoding import Layout, check_layout, depth_in, format_of, write_rows
from edgerestore.errors import ImageError, InputError
from edgerestore.imaging import read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height, width, channels, depth):
    generator = np.random.default_rng(0)
    samples = generator.integers(0, 2**depth, (height, width, channels))
    # Half of it smooth, so that every filter of PNG is the best one somewhere.
    y, x = np.mgrid[: height // 2, :width]
    samples[: height // 2] = ((x * 5 + y * 3) % 2**depth)[:, :, None]
    return samples.astype(np.uint8 if depth == 8 else np.uint16)


def bands(samples, rows):
    return (samples[y : y + rows] for y in range(0, len(samples), rows))


def layout_of(samples, **metadata):
    height, width, channels = samples.shape
    return Layout(width, height, channels, samples.dtype.itemsize * 8, **metadata)


def whole(picture):
    if picture.alpha is None:
        return picture.colour
    return np.concatenate([picture.colour, picture.alpha[:, :, None]], axis=2)


@pytest.mark.parametrize("rows", [1, 50, 64, 1000])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_holds_what_was_given(tmp_path, channels, depth, rows):
    samples = noise(150, 31, channels, depth)
    path = tmp_path / "a.png"
    write_rows(path, layout_of(samples), bands(samples, rows))
    np.testing.assert_array_equal(whole(read_picture(path)), samples)
    with Image.open(path) as image:
        image.verify()


@pytest.mark.parametrize("rows", [1, 64, 1000])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff_holds_what_was_given(tmp_path, channels, depth, rows):
    samples = noise(150, 31, channels, depth)
    path = tmp_path / "a.tif"
    write_rows(path, layout_of(samples, icc=SRGB), bands(samples, rows))
    np.testing.assert_array_equal(tifffile.imread(path), samples.squeeze())
    if (channels, depth) != (2, 16):  # which Pillow cannot read
        np.testing.assert_array_equal(whole(read_picture(path)), samples)


@pytest.mark.parametrize(("suffix", "channels"), [(".jpg", 1), (".jpeg", 3), (".webp", 3)])
def test_lossy_formats_come_close(tmp_path, suffix, channels):
    y, x = np.mgrid[:90, :120]
    samples = np.stack([(x + y) % 256, x, y][:channels], axis=2).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_rows(path, layout_of(samples), bands(samples, 7), quality=95)
    difference = read_picture(path).colour.astype(int) - samples
    assert np.sqrt(np.mean(difference**2)) < 3


def test_jpeg_keeps_colours_in_full_resolution(tmp_path):
    samples = noise(32, 32, 3, 8)
    write_rows(tmp_path / "a.jpg", layout_of(samples), [samples])
    with Image.open(tmp_path / "a.jpg") as image:
        assert {part[1:3] for part in image.layer} == {(1, 1)}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_webp_of_quality_100_is_lossless(tmp_path, channels):
    samples = noise(40, 30, channels, 8)
    write_rows(tmp_path / "a.webp", layout_of(samples), [samples], quality=100)
    read = whole(read_picture(tmp_path / "a.webp"))
    np.testing.assert_array_equal(read[:, :, 0], samples[:, :, 0])
    np.testing.assert_array_equal(read[:, :, -1], samples[:, :, -1])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_are_written(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    samples = noise(16, 16, 3, 8)
    layout = layout_of(samples, icc=SRGB, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    write_rows(tmp_path / f"a{suffix}", layout, [samples])
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["icc_profile"] == SRGB
        assert image.getexif().get(0x010F) == (None if suffix == ".tif" else "Acme")


def test_exif_that_is_too_large_for_jpeg_is_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 70000
    samples = noise(16, 16, 3, 8)
    layout = layout_of(samples, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    write_rows(tmp_path / "a.jpg", layout, [samples])
    assert read_picture(tmp_path / "a.jpg").exif is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_memory_does_not_grow_with_the_height(tmp_path, suffix):
    block = noise(64, 100, 3, 8)

    def peak_bytes(blocks):
        tracemalloc.start()
        layout = Layout(100, 64 * blocks, 3, 8)
        write_rows(tmp_path / f"a{suffix}", layout, (block for _ in range(blocks)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(1)
    assert peak_bytes(100) < peak_bytes(2) * 1.2 + 20_000


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("a.jpg", Layout(8, 8, 4, 8), "JPEG cannot hold the alpha"),
        ("a.jpeg", Layout(8, 65536, 3, 8), "65536 is larger than JPEG allows"),
        ("a.webp", Layout(16384, 8, 3, 8), "16384 x 8 is larger than WEBP allows"),
        ("a.gif", Layout(8, 8, 3, 8), "'.gif' names no image format"),
        ("a", Layout(8, 8, 3, 8), "'' names no image format"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_any_row(tmp_path, name, layout, message):
    with pytest.raises(ImageError, match=message):
        check_layout(tmp_path / name, layout)
    with pytest.raises(ImageError, match=message):
        write_rows(tmp_path / name, layout, iter(lambda: pytest.fail("a row was asked for"), 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "depth"),
    [("a.PNG", "PNG", 16), ("a.tiff", "TIFF", 16), ("a.JPG", "JPEG", 8), ("a.webp", "WEBP", 8)],
)
def test_formats_are_known_by_suffix(tmp_path, name, kind, depth):
    assert format_of(tmp_path / name) == kind
    assert depth_in(tmp_path / name, 16) == depth
    assert depth_in(tmp_path / name, 8) == 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_an_interruption_leaves_the_older_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")

    def interrupted():
        yield np.zeros((100, 20, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, Layout(20, 200, 3, 8), interrupted())
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_cannot_be_created_is_named_before_any_row(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.png"
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        write_rows(path, Layout(8, 8, 3, 8), iter(lambda: pytest.fail("a row was asked for"), 0))


@pytest.mark.parametrize("rows", [7, 9])
def test_rows_that_are_not_as_many_as_promised_are_our_own_mistake(tmp_path, rows):
    with pytest.raises(ValueError, match=f"{rows} rows were given, but the layout says 8"):
        write_rows(tmp_path / "a.png", Layout(8, 8, 3, 8), [np.zeros((rows, 8, 3), np.uint8)])
    assert list(tmp_path.iterdir()) == []
