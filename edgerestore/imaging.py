"""Image files as arrays: colour, alpha, depth, orientation and profile, nothing lost silently.

Read are PNG, JPEG, TIFF and WebP with one picture in them, of grey, RGB or palette colours
with or without alpha, in 1 to 8 or 16 bits, and CMYK. CMYK becomes 8-bit sRGB through its
profile; 16-bit TIFF colours multiplied by their alpha become 8-bit; everything else keeps its
depth. Refused are 16-bit TIFF of grey with alpha or with its colours in planes. Of the
metadata, the ICC profile and EXIF stay, without thumbnail and maker notes.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from edgerestore.errors import ImageError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""File suffixes, in lower case, and Pillow's names of their formats."""

MAX_MEGAPIXELS = 256.0
"""Largest input unless the caller says otherwise: 1 GiB while Pillow decodes it."""

Samples = NDArray[np.uint8 | np.uint16]

LANCZOS_ROWS = 4
"""Input rows that reach into an output row from either side; the kernel's radius is 3."""

_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise on damaged files, as found by changing bytes at random."""

_EIGHT_BIT_GREY = {"1", "L", "LA", "La"}
_EIGHT_BIT_COLOUR = {"P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "YCbCr"}
_DEEP_COLOUR = {"RGB", "RGBA", "RGBX"}
_LOW_BYTES = {
    ";16B": ";16L",
    ";16L": ";16B",
    ";16N": ";16B" if sys.byteorder == "little" else ";16L",
}
_KEPT_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_DROPPED_TAGS = {
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
    ExifTags.Base.ExifInteroperabilityOffset,
    ExifTags.Base.MakerNote,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, upright."""

    colour: Samples
    """H x W x 1 for grey, H x W x 3 for RGB."""
    alpha: Samples | None
    """H x W, of the same depth; not multiplied into the colour."""
    icc: bytes | None
    """A profile that fits the colour; none means sRGB by convention."""
    exif: bytes | None
    """A TIFF structure as EXIF holds it, orientation reset to upright."""

    @property
    def depth(self) -> int:
        """Bits of a sample, 8 or 16."""
        return self.colour.dtype.itemsize * 8


def read_picture(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Reads a file. Raises ImageError, naming it, where that cannot be done without loss.

    The size is checked on the header, before anything is decoded.
    """
    with _opened(path) as file:
        image = Image.open(file, formats=sorted(set(FORMATS.values())))
        _check_header(path, image, max_megapixels)
        samples, icc = _decode(path, image, file)
        exif = image.getexif()
        samples = _upright(samples, exif.get(ExifTags.Base.Orientation, 1))
        channels = samples.shape[2]
        colour = samples[:, :, : 1 if channels < 3 else 3]
        return Picture(
            colour=colour,
            alpha=None if channels in (1, 3) else samples[:, :, -1],
            icc=icc if icc and icc[16:20] == _colour_space(colour) else None,
            exif=_kept_exif(exif),
        )


def read_sides(path: Path) -> list[int]:
    """The shorter and the longer side by the header. Raises ImageError."""
    with _opened(path) as file:
        return sorted(Image.open(file, formats=sorted(set(FORMATS.values()))).size)


def quantize(values: NDArray[np.float32], depth: int) -> Samples:
    """Rounds values in [0, 1] to 8 or 16 bits, clipping what lies outside."""
    peak = (1 << depth) - 1
    rounded: NDArray[np.float32] = np.clip(np.rint(values * np.float32(peak)), 0, peak)
    return rounded.astype(np.uint8) if depth == 8 else rounded.astype(np.uint16)


def to_eight_bit(samples: Samples) -> NDArray[np.uint8]:
    """The same picture in 8 bits a sample, rounded."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def enlarged_rows(alpha: Samples, scale: int, start: int, stop: int) -> Samples:
    """Rows ``start`` to ``stop`` of ``alpha`` enlarged with Lanczos; the same in any cut."""
    if scale == 1:
        return alpha[start:stop]
    first = max(0, start // scale - LANCZOS_ROWS)
    last = min(len(alpha), -(-stop // scale) + LANCZOS_ROWS)
    width = alpha.shape[1]
    peak = 256**alpha.dtype.itemsize - 1
    resized = Image.fromarray(alpha[first:last].astype(np.float32) / peak).resize(
        (width * scale, stop - start),
        Image.Resampling.LANCZOS,
        box=(0, start / scale - first, width, stop / scale - first),
    )
    return quantize(np.asarray(resized), alpha.dtype.itemsize * 8)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for Pillow and turns all that damage makes it raise into ImageError."""
    limit = Image.MAX_IMAGE_PIXELS
    # Ours is checked on the header; Pillow's cannot be raised by the user.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # Remarks on metadata; what makes a picture unreadable is raised.
            warnings.simplefilter("ignore")
            yield file
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not a PNG, JPEG, TIFF or WebP image of a kind that is supported, "
            "or damaged at its start"
        ) from error
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: damaged or cut off ({reason}); copy it again") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_header(path: Path, image: Image.Image, max_megapixels: float) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise ImageError(
            f"{path}: {image.width} x {image.height} is {megapixels:.0f} megapixels, and the "
            f"limit is {max_megapixels:.0f}; if the file is trusted, raise it with "
            "--max-megapixels"
        )
    frames = getattr(image, "n_frames", 1)
    # A camera's multi-picture JPEG holds the photograph first, then previews of it.
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"{path}: holds {frames} pictures; split it into one file for each")
    tags = getattr(image, "tag_v2", {})
    planar = tags.get(ExifTags.Base.PlanarConfiguration, 1) != 1
    if planar and max(tags.get(ExifTags.Base.BitsPerSample, (8,))) > 8:
        # Pillow takes the 16-bit samples of a plane for 8-bit ones.
        raise ImageError(f"{path}: 16-bit colours in planes; save it with interleaved samples")


def _decode(path: Path, image: Image.Image, file: BinaryIO) -> tuple[Samples, bytes | None]:
    """Decodes to H x W x 1..4, grey or RGB, alpha last; the profile is not yet checked."""
    icc = image.info.get("icc_profile")
    raw_mode = _raw_mode(image)
    kind, _, bits = raw_mode.partition(";")
    if image.mode.startswith("I;16") and bits != "12":
        return _deep_grey(image), icc
    if image.mode == "I" and image.format == "PNG":
        return _deep_grey(image), icc
    if bits.startswith("16") and kind == "LA":
        # Read as four bytes a pixel, of which each sample is two.
        pairs = _decoded_as(file, "RGBA").view(">u2").astype(np.uint16)
        return pairs, icc
    if bits.startswith("16") and kind in _DEEP_COLOUR:
        return _deep_colour(image, file, raw_mode), icc
    if image.mode == "CMYK":
        return _rgb_from_cmyk(path, image)
    if image.mode not in _EIGHT_BIT_GREY | _EIGHT_BIT_COLOUR or bits == "12":
        raise ImageError(
            f"{path}: {raw_mode or image.mode} samples are not supported; "
            "save it as RGB or grey of 8 or 16 bits"
        )
    mode = "L" if image.mode in _EIGHT_BIT_GREY else "RGB"
    if image.has_transparency_data and image.mode != "1":
        mode += "A"
    return _array(image.convert(mode)), icc


def _raw_mode(image: Any) -> str:
    """How samples lie in the file, in Pillow's words; empty where it does not say."""
    arguments = image.tile[0].args if image.tile else ""
    if isinstance(arguments, tuple):
        arguments = arguments[0] if arguments else ""
    return arguments if isinstance(arguments, str) else ""


def _array(image: Image.Image) -> Samples:
    samples = np.asarray(image)
    return samples if samples.ndim == 3 else samples[:, :, None]


def _deep_grey(image: Image.Image) -> Samples:
    grey = np.asarray(image).astype(np.uint16)
    tags = getattr(image, "tag_v2", {})
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # white is zero
        grey = ~grey
    key = image.info.get("transparency")
    return grey[:, :, None] if key is None else _with_key(grey[:, :, None], [key])


def _deep_colour(image: Image.Image, file: BinaryIO, raw_mode: str) -> Samples:
    """16-bit colour by decoding twice.

    Pillow has no mode for it: it keeps one byte of each sample, and the raw mode says which.
    """
    kind, _, order = raw_mode.partition(";")
    samples = np.asarray(image).astype(np.uint16) << np.uint16(8)
    samples |= _decoded_as(file, kind + _LOW_BYTES[";" + order])
    key = image.info.get("transparency")
    return samples if key is None else _with_key(samples, list(key))


def _decoded_as(file: BinaryIO, raw_mode: str) -> NDArray[np.uint8]:
    """Decodes the file once more, its samples taken as if they lay in another way."""
    file.seek(0)
    again: Any = Image.open(file, formats=("PNG", "TIFF"))
    again.tile = [
        part._replace(args=(raw_mode, *part.args[1:]) if isinstance(part.args, tuple) else raw_mode)
        for part in again.tile
    ]
    return np.asarray(again)


def _with_key(samples: Samples, key: list[int]) -> Samples:
    """Adds the alpha of a PNG whose pixels of one colour are transparent."""
    opaque = (samples != np.array(key, samples.dtype)).any(axis=2, keepdims=True)
    return np.concatenate([samples, opaque * np.uint16(65535)], axis=2)


def _rgb_from_cmyk(path: Path, image: Image.Image) -> tuple[Samples, bytes | None]:
    profile = image.info.get("icc_profile")
    if not profile or profile[16:20] != b"CMYK":
        return _array(image.convert("RGB")), None
    srgb = ImageCms.createProfile("sRGB")
    try:
        converted = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise ImageError(
            f"{path}: its CMYK profile cannot be applied ({error}); convert it to RGB first"
        ) from error
    if converted is None:
        raise ImageError(f"{path}: its CMYK profile cannot be applied; convert it to RGB first")
    return _array(converted), ImageCms.ImageCmsProfile(srgb).tobytes()


def _colour_space(colour: Samples) -> bytes:
    """The signature in a profile that fits."""
    return b"GRAY" if colour.shape[2] == 1 else b"RGB "


def _upright(samples: Samples, orientation: int) -> Samples:
    """Undoes EXIF orientations 2 to 8."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def _kept_exif(exif: Image.Exif) -> bytes | None:
    """What stays true of the restored picture; None where there is nothing, or damage."""
    kept = Image.Exif()
    try:
        kept.update({tag: exif[tag] for tag in _KEPT_TAGS if tag in exif})
        for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            entries = exif.get_ifd(folder)
            if entries:
                kept[folder] = {k: v for k, v in entries.items() if k not in _DROPPED_TAGS}
        if not len(kept):
            return None
        kept[ExifTags.Base.Orientation] = 1
        return kept.tobytes().removeprefix(b"Exif\0\0")
    except _DAMAGE:
        return None
