"""Paired images, and a bundle's accuracy on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgerestore.errors import InputError


@dataclass(frozen=True, slots=True)
class ImagePair:
    """A degraded image and its ground truth, H x W x 3 uint8; truth is cut to scale x low."""

    name: str
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]


def read_pairs(root: Path, scale: int) -> list[ImagePair]:
    """Reads ``HR/`` and ``LR_bicubic/X<scale>/`` below ``root``, sorted by name.

    LR names are the HR name, or that with ``x<scale>`` behind its stem.
    """
    high_dir, low_dir = root / "HR", root / "LR_bicubic" / f"X{scale}"
    pairs = []
    for path in sorted(high_dir.glob("*.png")):
        low_path = low_dir / f"{path.stem}x{scale}.png"
        if not low_path.is_file():
            low_path = low_dir / path.name
        low = np.asarray(Image.open(low_path).convert("RGB"))
        high = np.asarray(Image.open(path).convert("RGB"))
        high = high[: low.shape[0] * scale, : low.shape[1] * scale]
        pairs.append(ImagePair(path.stem, low, high))
    if not pairs:
        raise InputError(f"{root}: no pairs in HR/ and LR_bicubic/X{scale}/")
    return pairs
