"""Plain 8-bit RGB pictures for measuring and training: pixels as stored, nothing else.

Restoring keeps colour profiles, depth and orientation; that is :mod:`edgerestore.imaging`.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgerestore.errors import ImageError, InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes that Pillow would clip, not scale, to 8 bits."""


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Reads a picture as H x W x 3. Raises ImageError, which names the file, for damage."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read as a picture: {error.strerror}") from error
    return decode_rgb(data, str(path))


def decode_rgb(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes a picture as H x W x 3. Raises ImageError, which says ``name``, for damage."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of what it then raises, and of EXIF and TIFF tags not used here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if image.mode in DEEP_MODES:
                    raise ImageError(f"{name}: has more than 8 bits per channel; convert it first")
                return np.array(image.convert("RGB"))
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: too many pixels for one picture") from error
    except Exception as error:
        # Pillow's decoders answer damage with nearly any exception.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{name}: cannot be read as a picture: {reason}") from error


def picture_files(folder: Path) -> list[Path]:
    """Picture files in ``folder``, sorted by name. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise InputError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    return files
