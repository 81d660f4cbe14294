"""Rows into image files, while they are being computed.

PNG and TIFF are written a block of rows at a time. The encoders of JPEG and WebP want the
whole picture, which is gathered first, in 8 bits: 4 bytes a pixel, 1 for grey JPEG.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgerestore.errors import ImageError
from edgerestore.files import replacing
from edgerestore.imaging import FORMATS, Samples

QUALITY = 95
BLOCK_ROWS = 64
"""Rows that are filtered and compressed together."""

_LARGEST_SIDE = {"PNG": 2**31 - 1, "TIFF": 2**31 - 1, "JPEG": 65535, "WEBP": 16383}
_LARGEST_JPEG_EXIF = 65527
_CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Samples beyond which BigTIFF is written, as tifffile decides it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What an encoder must know before the first row."""

    width: int
    height: int
    channels: int
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    depth: int
    """Bits of a sample, 8 or 16; see :func:`depth_in`."""
    icc: bytes | None = None
    exif: bytes | None = None
    """Not kept in TIFF."""


def format_of(path: Path) -> str:
    """The format that a file's suffix names. Raises ImageError."""
    if path.suffix.lower() not in FORMATS:
        raise ImageError(
            f"{path}: '{path.suffix}' names no image format that can be written; "
            f"use one of {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def depth_in(path: Path, depth: int) -> int:
    """The bits of a sample that the file's format keeps of ``depth``."""
    return depth if format_of(path) in ("PNG", "TIFF") else 8


def check_layout(path: Path, layout: Layout) -> None:
    """Raises ImageError where the file's format cannot hold such a picture."""
    kind = format_of(path)
    if max(layout.width, layout.height) > _LARGEST_SIDE[kind]:
        raise ImageError(
            f"{path}: {layout.width} x {layout.height} is larger than {kind} allows "
            f"({_LARGEST_SIDE[kind]} pixels a side); write .png or .tiff"
        )
    if kind == "JPEG" and layout.channels in (2, 4):
        raise ImageError(f"{path}: JPEG cannot hold the alpha; write .png, .tiff or .webp")


def write_rows(
    path: Path, layout: Layout, rows: Iterable[Samples], *, quality: int = QUALITY
) -> None:
    """Writes bands of rows, n x width x channels, as one file, whole or not at all.

    ``quality`` is for JPEG, which is written 4:4:4, and for WebP, where 100 is lossless.
    Raises ImageError for what the format cannot hold, InputError where the file cannot be
    written; then, as on any interruption, an older file stays as it was.
    """
    check_layout(path, layout)
    write = _WRITERS[format_of(path)]
    with replacing(path) as beside, beside.open("wb") as file:
        write(file, layout, _blocks(rows, layout), quality)


def _blocks(bands: Iterable[Samples], layout: Layout) -> Iterator[Samples]:
    """Cuts bands anew, into ``BLOCK_ROWS`` rows each and the rest last."""
    shape = (BLOCK_ROWS, layout.width, layout.channels)
    block = np.empty(shape, np.uint8 if layout.depth == 8 else np.uint16)
    filled = total = 0
    for band in bands:
        done = 0
        while done < len(band):
            taken = min(BLOCK_ROWS - filled, len(band) - done)
            block[filled : filled + taken] = band[done : done + taken]
            filled, done, total = filled + taken, done + taken, total + taken
            if filled == BLOCK_ROWS:
                yield block
                filled = 0
    if filled:
        yield block[:filled]
    if total != layout.height:
        raise ValueError(f"{total} rows were given, but the layout says {layout.height}")


def _write_png(file: BinaryIO, layout: Layout, blocks: Iterator[Samples], quality: int) -> None:
    """PNG by its specification (W3C, third edition); no encoder that streams is kept up."""
    del quality
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[layout.channels]
    header = (layout.width, layout.height, layout.depth, colour_type, 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", *header))
    if layout.icc:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(layout.icc))
    if layout.exif:
        _write_chunk(file, b"eXIf", layout.exif)
    pixel_bytes = layout.channels * layout.depth // 8
    above = np.zeros(layout.width * pixel_bytes, np.uint8)
    deflate = zlib.compressobj(strategy=zlib.Z_FILTERED)
    for block in blocks:
        big_endian = np.ascontiguousarray(block, block.dtype.newbyteorder(">"))
        raw = big_endian.view(np.uint8).reshape(len(block), -1)
        _write_chunk(file, b"IDAT", deflate.compress(_filtered(raw, above, pixel_bytes)))
        above = raw[-1].copy()
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    if data or name == b"IEND":
        file.write(struct.pack(">I", len(data)) + name + data)
        file.write(struct.pack(">I", zlib.crc32(name + data)))


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> bytes:
    """PNG filters each row as differences, by the method whose absolute sum is least.

    The methods are Sub, Up and Paeth; ``above`` is the row before the first.
    """
    up = np.vstack([above[None], rows[:-1]])
    left, up_left = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    up_left[:, pixel_bytes:] = up[:, :-pixel_bytes]
    choices = np.stack([rows - left, rows - up, rows - _paeth(left, up, up_left)])
    sums = np.abs(choices.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = sums.argmin(axis=0)
    output = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    output[:, 0] = np.array([1, 2, 4], np.uint8)[best]
    output[:, 1:] = choices[best, np.arange(len(rows))]
    return output.tobytes()


def _paeth(
    left: NDArray[np.uint8], up: NDArray[np.uint8], up_left: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Whichever neighbour is nearest to left + up - up_left, ties in this order."""
    to_left = up.astype(np.int16) - up_left
    to_up = left.astype(np.int16) - up_left
    from_left, from_up, from_corner = np.abs(to_left), np.abs(to_up), np.abs(to_left + to_up)
    nearer = np.where(from_up <= from_corner, up, up_left)
    return np.where((from_left <= from_up) & (from_left <= from_corner), left, nearer)


def _write_tiff(file: BinaryIO, layout: Layout, blocks: Iterator[Samples], quality: int) -> None:
    """Strips compressed with Deflate after horizontal differences."""
    import tifffile

    del quality
    size = layout.width * layout.height * layout.channels * layout.depth // 8
    with tifffile.TiffWriter(file, byteorder="<", bigtiff=size > _CLASSIC_TIFF_BYTES) as writer:
        writer.write(
            (_strip(block) for block in blocks),
            shape=(layout.height, layout.width, layout.channels)[: 3 if layout.channels > 1 else 2],
            dtype=np.uint8 if layout.depth == 8 else np.uint16,
            photometric="minisblack" if layout.channels < 3 else "rgb",
            planarconfig="contig" if layout.channels > 1 else None,
            extrasamples=["unassalpha"] if layout.channels in (2, 4) else None,
            rowsperstrip=BLOCK_ROWS,
            compression="adobe_deflate",
            predictor="horizontal",
            iccprofile=layout.icc,
            metadata=None,
            software=False,
        )


def _strip(block: Samples) -> bytes:
    differences = block.astype(block.dtype.newbyteorder("<"))
    differences[:, 1:] -= block[:, :-1]
    return zlib.compress(differences.tobytes())


def _write_jpeg(file: BinaryIO, layout: Layout, blocks: Iterator[Samples], quality: int) -> None:
    exif = layout.exif if len(layout.exif or b"") <= _LARGEST_JPEG_EXIF else None
    _gathered(layout, blocks).save(
        file,
        "JPEG",
        quality=quality,
        subsampling=0,
        icc_profile=layout.icc,
        exif=b"Exif\0\0" + exif if exif else b"",
    )


def _write_webp(file: BinaryIO, layout: Layout, blocks: Iterator[Samples], quality: int) -> None:
    _gathered(layout, blocks).save(
        file,
        "WEBP",
        quality=quality,
        lossless=quality == 100,
        exact=True,
        icc_profile=layout.icc,
        exif=layout.exif or b"",
    )


def _gathered(layout: Layout, blocks: Iterator[Samples]) -> Image.Image:
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[layout.channels]
    whole = Image.new(mode, (layout.width, layout.height))
    top = 0
    for block in blocks:
        whole.paste(Image.fromarray(block.squeeze(axis=2) if mode == "L" else block), (0, top))
        top += len(block)
    return whole


_WRITERS: dict[str, Callable[[BinaryIO, Layout, Iterator[Samples], int], None]] = {
    "PNG": _write_png,
    "TIFF": _write_tiff,
    "JPEG": _write_jpeg,
    "WEBP": _write_webp,
}
