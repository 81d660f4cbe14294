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
    written: set[str] = set()
    with replacing_folder(folder) as beside:
        for pair in pairs:
            if pair.name in written:
                raise InputError(f"{folder}: two pictures are called {pair.name}; rename one")
            written.add(pair.name)
            for file, image in zip(
                pair_files(pair.name, scale), (pair.high, pair.low), strict=True
            ):
                (beside / file).parent.mkdir(parents=True, exist_ok=True)
                (beside / file).write_bytes(png(image))


def pair_files(name: str, scale: int) -> tuple[str, str]:
    """Where a folder of pairs holds a clean picture and its degraded form."""
    if scale > 1:
        return f"HR/{name}.png", f"LR_bicubic/X{scale}/{name}x{scale}.png"
    return f"target/{name}.png", f"input/{name}.png"


def folder_name(title: str) -> str:
    """A set's name as one folder's: ``ipt_s_x2 on sr/Set5`` becomes ``ipt_s_x2-on-sr-Set5``."""
    return re.sub(r"[^\w.]+", "-", title).strip("-.")


def png(image: Pixels, *, smallest: bool = False) -> bytes:
    """Encodes H x W x 3; ``smallest`` takes its time."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", optimize=smallest)
    return file.getvalue()
