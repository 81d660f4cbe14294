"""Writes the pairs of a validation set as ``edgerestore evaluate`` reads them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from edgerestore.errors import InputError
from edgerestore.evaluation import ImagePair
from edgerestore.files import replacing_folder
from edgerestore.train.data.pictures import Pixels


def write_pairs(folder: Path, pairs: Iterable[ImagePair], scale: int) -> None:
    """Writes PNGs: ``HR/`` and ``LR_bicubic/X<scale>/``, or ``target/`` and ``input/`` at scale 1.

    The folder appears whole or not at all. Raises InputError where two pairs have one name.
    """
    high, low, suffix = ("target", "input", "")
    if scale > 1:
        high, low, suffix = "HR", f"LR_bicubic/X{scale}", f"x{scale}"
    written: set[str] = set()
    with replacing_folder(folder) as beside:
        for kind in (high, low):
            (beside / kind).mkdir(parents=True)
        for pair in pairs:
            if pair.name in written:
                raise InputError(f"{folder}: two pictures are called {pair.name}; rename one")
            written.add(pair.name)
            (beside / high / f"{pair.name}.png").write_bytes(png(pair.high))
            (beside / low / f"{pair.name}{suffix}.png").write_bytes(png(pair.low))


def folder_name(title: str) -> str:
    """A set's name as one folder's: ``ipt_s_x2 on sr/Set5`` becomes ``ipt_s_x2-on-sr-Set5``."""
    return re.sub(r"[^\w.]+", "-", title).strip("-.")


def png(image: Pixels) -> bytes:
    """Encodes H x W x 3."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG")
    return file.getvalue()
