"""The pictures that a recipe names, read once and kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import InputError
from edgerestore.evaluation import read_pairs
from edgerestore.pictures import picture_files, read_rgb
from edgerestore.recipe.pictures import Pictures
from edgerestore.train.data.degradations.bicubic import crop_to_multiple, matlab_bicubic

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A clean picture and its degraded form, both H x W x 3 uint8.

    None where the picture is degraded anew whenever it is looked at.
    """

    name: str
    high: Pixels
    low: Pixels | None = None

    def reduced(self, scale: int) -> Picture:
        """Cut to a multiple of the scale, with its bicubic reduction as degraded form."""
        high = crop_to_multiple(self.high, scale)
        return Picture(self.name, high, matlab_bicubic(high, scale))


def read_pictures(root: Path, wanted: Pictures, scale: int) -> Iterator[Picture]:
    """Reads what a recipe's table names below ``root``, in order of names.

    Raises InputError for folders and lists that are absent or leave nothing, and ImageError
    for damage.
    """
    only = _names(root, wanted.only) if wanted.only is not None else None
    left_out = {
        name
        for item in wanted.leave_out
        for name in (_names(root, item) if item.endswith(".txt") else {item})
    }

    def takes(name: str) -> bool:
        return (only is None or name in only) and name not in left_out

    if wanted.pairs is not None:
        folder = root / wanted.pairs
        pairs = read_pairs(folder, scale, degraded=wanted.degraded, takes=takes)
        yield from (Picture(pair.name, pair.high, pair.low) for pair in pairs)
        return
    for clean in wanted.clean:
        for path in picture_files(root / clean):
            if takes(path.name):
                yield Picture(path.stem, read_rgb(path))


def _names(root: Path, file: str) -> set[str]:
    path = root / file
    try:
        return {line.strip() for line in path.read_text().splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of names: {error}") from error
