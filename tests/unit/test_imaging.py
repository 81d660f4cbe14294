from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from edgerestore.errors import ImageError
from edgerestore.imaging import enlarged_rows, quantize, read_picture, read_sides, to_eight_bit

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PNG, RGB_PNG, GREY_ALPHA_PNG, RGBA_PNG = 0, 2, 4, 6


def noise(*shape, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def whole(picture):
    if picture.alpha is None:
        return picture.colour
    return np.concatenate([picture.colour, picture.alpha[:, :, None]], axis=2)


def png16(samples, colour_type, extra=b""):
    """A 16-bit PNG written without any filter, as simply as the format allows."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def transparent(*key):
    data = struct.pack(f">{len(key)}H", *key)
    return (
        struct.pack(">I", len(data))
        + b"tRNS"
        + data
        + struct.pack(">I", zlib.crc32(b"tRNS" + data))
    )


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *itertools.product([".png", ".tif", ".tiff", ".PNG"], ["L", "LA", "RGB", "RGBA"]),
        *itertools.product([".webp"], ["RGB", "RGBA"]),
    ],
)
def test_eight_bit_files_are_read_exactly(tmp_path, suffix, mode):
    shape = (9, 13) if mode == "L" else (9, 13, len(mode))
    samples = noise(*shape)
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(samples, mode=None).save(path, **options)
    picture = read_picture(path)
    np.testing.assert_array_equal(whole(picture), samples.reshape(9, 13, -1))
    assert picture.depth == 8
    assert (picture.icc, picture.exif) == (None, None)


@pytest.mark.parametrize(
    ("colour_type", "channels"),
    [(GREY_PNG, 1), (GREY_ALPHA_PNG, 2), (RGB_PNG, 3), (RGBA_PNG, 4)],
)
def test_sixteen_bit_png_keeps_every_bit(tmp_path, colour_type, channels):
    samples = noise(11, 7, channels, dtype=np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png16(samples, colour_type))
    picture = read_picture(path)
    assert picture.depth == 16
    np.testing.assert_array_equal(whole(picture), samples)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "adobe_deflate", "predictor": True},
        {"rowsperstrip": 5},
        {"tile": (16, 16), "compression": "adobe_deflate"},
    ],
    ids=["plain", "deflate", "strips", "tiles"],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiff_keeps_every_bit(tmp_path, channels, options, byteorder):
    samples = noise(37, 21, channels, dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        samples[:, :, 0] if channels == 1 else samples,
        photometric="minisblack" if channels == 1 else "rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        byteorder=byteorder,
        **options,
    )
    np.testing.assert_array_equal(whole(read_picture(path)), samples)


def test_tiff_whose_white_is_zero_is_turned_round(tmp_path):
    samples = noise(9, 9, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").colour[:, :, 0], ~samples)


def test_sixteen_bit_png_with_one_transparent_colour_gets_alpha(tmp_path):
    path = tmp_path / "a.png"
    samples = noise(5, 6, 3, dtype=np.uint16)
    samples[2, 3] = (513, 7, 65535)
    path.write_bytes(png16(samples, RGB_PNG, transparent(513, 7, 65535)))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.colour, samples)
    assert picture.alpha[2, 3] == 0
    assert np.count_nonzero(picture.alpha == 65535) == 29

    path.write_bytes(png16(samples[:, :, :1], GREY_PNG, transparent(513)))
    picture = read_picture(path)
    assert picture.alpha[2, 3] == 0
    assert picture.colour.shape == (5, 6, 1)


@pytest.mark.parametrize("with_alpha", [False, True])
def test_palettes_become_colours(tmp_path, with_alpha):
    indices = noise(8, 8) % 4
    palette = noise(4, 3, seed=1)
    image = Image.fromarray(indices, mode=None).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(palette.tobytes())
    image.save(
        tmp_path / "a.png", **({"transparency": bytes([0, 9, 255, 80])} if with_alpha else {})
    )
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.colour, palette[indices])
    if with_alpha:
        expected = np.array([0, 9, 255, 80], np.uint8)[indices]
        np.testing.assert_array_equal(picture.alpha, expected)
    else:
        assert picture.alpha is None


def test_black_and_white_become_grey(tmp_path):
    bits = noise(8, 9) > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").colour[:, :, 0], bits * 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_orientation_is_applied_and_its_tag_reset(tmp_path, suffix, orientation):
    image = Image.fromarray(noise(8, 16, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Acme"
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    image.save(path, exif=exif, **options)
    picture = read_picture(path)
    # TIFF is turned by Pillow itself while loading.
    with Image.open(path) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(picture.colour, expected)
    kept = Image.Exif()
    kept.load(b"Exif\0\0" + picture.exif)
    assert kept[0x0112] == 1
    assert kept[0x010F] == "Acme"


def test_orientation_holds_for_sixteen_bits(tmp_path):
    samples = noise(8, 5, 3, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", samples, photometric="rgb", extratags=[(274, "H", 1, 6, True)]
    )
    turned = np.rot90(samples, -1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").colour, turned)


def test_exif_of_the_camera_is_kept_without_what_became_wrong(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 16, 0xA003: 8, 0x927C: b"private"}
    exif[0x8825] = {1: "N", 2: (43.0, 15.0, 0.0)}
    Image.fromarray(noise(8, 16, 3)).save(tmp_path / "a.jpg", exif=exif)
    kept = Image.Exif()
    kept.load(b"Exif\0\0" + read_picture(tmp_path / "a.jpg").exif)
    assert kept.get_ifd(0x8769) == {0x9003: "2020:01:02 03:04:05"}
    assert kept.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize(("mode", "fits"), [("RGB", True), ("L", False)])
def test_a_profile_stays_where_it_fits_the_colours(tmp_path, mode, fits):
    Image.fromarray(noise(8, 8, 3)).convert(mode).save(tmp_path / "a.png", icc_profile=SRGB)
    assert read_picture(tmp_path / "a.png").icc == (SRGB if fits else None)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_goes_through_its_profile_to_srgb(tmp_path, suffix):
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    ink.save(
        tmp_path / f"a{suffix}",
        icc_profile=cmyk_profile(),
        **({"quality": 100} if suffix == ".jpg" else {}),
    )
    picture = read_picture(tmp_path / f"a{suffix}")
    # The profile says that full cyan is L*a*b* (60, -30, -40): (0, 160, 218) in sRGB.
    np.testing.assert_allclose(picture.colour[8, 8], lab_in_srgb(60, -30, -40), atol=3)
    assert picture.icc[16:20] == b"RGB "


def test_cmyk_without_a_profile_is_converted_plainly(tmp_path):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.colour[0, 0], (0, 255, 255))
    assert picture.icc is None


def test_a_profile_that_cannot_be_applied_is_an_error(tmp_path):
    broken = cmyk_profile()[:132] + bytes(100)
    Image.new("CMYK", (16, 16)).save(tmp_path / "a.jpg", icc_profile=broken)
    with pytest.raises(ImageError, match=r"a\.jpg: its CMYK profile cannot be applied"):
        read_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.png", b"", "not a PNG, JPEG, TIFF or WebP image"),
        ("a.jpg", b"GIF89a\x01\x00\x01\x00", "not a PNG, JPEG, TIFF or WebP image"),
        ("cut.png", None, r"damaged or cut off"),
        ("cut.jpg", None, r"damaged or cut off"),
        ("cut.tif", None, r"damaged or cut off"),
        ("cut.webp", None, r"damaged|not a PNG"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path, name, data, message):
    path = tmp_path / name
    if data is None:
        Image.fromarray(noise(64, 64, 3)).save(path)
        data = path.read_bytes()[: path.stat().st_size * 2 // 3]
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_changed_bytes_raise_nothing_but_image_errors(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 24, 3)).save(path, exif=exif, icc_profile=SRGB)
    whole_file = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole_file)
        for place in generator.integers(0, min(len(data), 400), 3):
            data[place] = generator.integers(0, 256)
        path.write_bytes(data)
        try:
            read_picture(path, max_megapixels=1)
        except ImageError:
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (noise(8, 8).astype(np.float32), "F;32F samples are not supported"),
        (noise(8, 8).astype(np.int32), "I;32S samples are not supported"),
        (noise(2, 8, 8, 3), "holds 2 pictures"),
    ],
    ids=["float", "int32", "pages"],
)
def test_kinds_that_would_lose_something_are_refused(tmp_path, samples, message):
    photometric = "rgb" if samples.ndim == 4 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric=photometric)
    with pytest.raises(ImageError, match=message):
        read_picture(tmp_path / "a.tif")


def test_sixteen_bit_planes_are_refused(tmp_path):
    planes = noise(3, 8, 8, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(ImageError, match="16-bit colours in planes"):
        read_picture(tmp_path / "a.tif")


def test_the_size_limit_acts_before_decoding_and_can_be_raised(tmp_path):
    path = tmp_path / "a.png"
    # 40000 x 40000 by its header, and no pixels at all.
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    data = png16(noise(1, 1, 3, dtype=np.uint16), RGB_PNG)
    chunk = b"IHDR" + header
    path.write_bytes(data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:])
    with pytest.raises(ImageError, match=r"40000 x 40000 is 1600 megapixels.*--max-megapixels"):
        read_picture(path)
    Image.fromarray(noise(100, 100, 3)).save(path)
    with pytest.raises(ImageError, match="megapixels"):
        read_picture(path, max_megapixels=0.009)
    assert read_picture(path, max_megapixels=0.01).colour.shape == (100, 100, 3)


def test_pillows_own_limit_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png")
    assert read_sides(tmp_path / "a.png") == [8, 8]
    with pytest.raises(ImageError, match="No such file"):
        read_picture(tmp_path / "b.png")
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("depth", [8, 16])
def test_quantizing_rounds_and_clips(depth):
    peak = 2**depth - 1
    values = np.array([-0.5, 0, 0.4 / peak, 0.6 / peak, 1, 1.5], np.float32)
    assert quantize(values, depth).tolist() == [0, 0, 0, 1, peak, peak]


def test_eight_bits_are_the_nearest_of_sixteen():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(to_eight_bit(deep), np.rint(deep / 257).astype(np.uint8))
    shallow = noise(4, 4)
    np.testing.assert_array_equal(to_eight_bit(shallow), shallow)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_alpha_in_cuts_is_alpha_in_one(scale, dtype):
    alpha = noise(23, 17, dtype=dtype)
    height = 23 * scale
    whole_alpha = enlarged_rows(alpha, scale, 0, height)
    assert whole_alpha.shape == (height, 17 * scale)
    assert whole_alpha.dtype == dtype
    for rows in (1, 5 * scale, 8 * scale):
        cuts = [
            enlarged_rows(alpha, scale, y, min(y + rows, height)) for y in range(0, height, rows)
        ]
        # One step: the kernel's place is a float32 in Pillow.
        difference = np.concatenate(cuts).astype(int) - whole_alpha
        assert np.abs(difference).max() <= (1 if dtype == np.uint8 else 2)


@pytest.mark.parametrize("scale", [2, 3])
def test_alpha_is_enlarged_as_pillow_does_it(scale):
    # Of middle values, because Pillow clips and rounds after each direction in 8 bits.
    alpha = noise(12, 14) // 4 + 96
    expected = np.asarray(
        Image.fromarray(alpha).resize((14 * scale, 12 * scale), Image.Resampling.LANCZOS)
    )
    difference = enlarged_rows(alpha, scale, 0, 12 * scale).astype(int) - expected
    assert np.abs(difference).max() <= 1


def lab_in_srgb(*lab):
    """One colour by the formulas of CIE 15 and IEC 61966-2-1, D50 adapted by Bradford."""
    fy = (lab[0] + 16) / 116
    f = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz = xyz * (0.9642, 1, 0.8249)
    matrix = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = np.clip(matrix @ xyz, 0, 1)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return encoded * 255


def cmyk_profile():
    """A small ICC profile of version 2: four inks to L*a*b* through a table of 16 corners."""
    corners = []
    for corner in range(16):
        cyan, magenta, yellow, black = (corner >> bit & 1 for bit in (3, 2, 1, 0))
        lightness = 0 if black else 100 - 40 * cyan - 30 * magenta - 5 * yellow
        a = 0 if black else -30 * cyan + 60 * magenta
        b = 0 if black else -40 * cyan + 80 * yellow
        corners += [round(lightness * 2.55), 128 + a, 128 + b]
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix
    table += identity * 4 + bytes(corners) + identity * 3
    text = b"text" + bytes(4) + b"none\0"
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"A2B0": table, b"cprt": text, b"desc": description, b"wtpt": white}
    directory, data = struct.pack(">I", len(tags)), b""
    offset = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        directory += name + struct.pack(">II", offset + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    header = io.BytesIO(bytes(128))
    header.write(struct.pack(">I", offset + len(data)) + bytes(4) + b"\x02\x40\0\0prtrCMYKLab ")
    header.seek(36)
    header.write(b"acsp")
    header.seek(68)
    header.write(struct.pack(">3i", 63190, 65536, 54061))
    return header.getvalue() + directory + data
