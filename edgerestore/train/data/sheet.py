"""One picture of what training sees: clean crops above their degraded forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from edgerestore.evaluation import ImagePair
from edgerestore.recipe.pictures import Pictures
from edgerestore.train.data.pictures import Pixels

SIDE = 192
"""Side of a crop on the sheet, in pixels."""
GAP, LABEL = 6, 18
PAPER, INK = (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True, slots=True)
class Row:
    """A few pairs of one source or validation set, and what it is called."""

    label: str
    pairs: Sequence[ImagePair]


def sheet(rows: Sequence[Row]) -> Pixels:
    """Draws H x W x 3: for each row its label, the middles of its clean crops, and the degraded.

    A smaller degraded crop is enlarged with its pixels kept visible.
    """
    widest = max(len(row.pairs) for row in rows)
    tall = LABEL + 2 * SIDE + 3 * GAP
    page = Image.new("RGB", (widest * (SIDE + GAP) + GAP, len(rows) * tall + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for number, row in enumerate(rows):
        top = number * tall + GAP
        draw.text((GAP, top), row.label, INK)
        for column, pair in enumerate(row.pairs):
            left = GAP + column * (SIDE + GAP)
            for line, tile in enumerate(_tiles(pair)):
                page.paste(tile, (left, top + LABEL + line * (SIDE + GAP)))
    return np.asarray(page)


def label_of(wanted: Pictures) -> str:
    """Task, folders and degradation in a few words."""
    task = f"{wanted.task}, " if wanted.task else ""
    kind = wanted.degradation.__struct_config__.tag if wanted.degradation else "pairs"
    return f"{task}{kind}: {wanted.title}"


def _tiles(pair: ImagePair) -> tuple[Image.Image, Image.Image]:
    """The same place of both pictures, from their middle."""
    scale = pair.high.shape[0] // pair.low.shape[0]
    side = min(SIDE // scale, *pair.low.shape[:2])
    top, left = ((length - side) // 2 for length in pair.low.shape[:2])
    low = pair.low[top : top + side, left : left + side]
    high = pair.high[scale * top : scale * (top + side), scale * left : scale * (left + side)]
    return _at_size(high), _at_size(low)


def _at_size(crop: Pixels) -> Image.Image:
    return Image.fromarray(crop).resize((SIDE, SIDE), Image.Resampling.NEAREST)
