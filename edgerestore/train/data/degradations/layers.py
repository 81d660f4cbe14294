"""Rain taken off pairs of a rainy and a clean picture, laid over other pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgerestore.recipe.scalars import Range

Layer = NDArray[np.int16]
"""What a rainy picture has over its clean one, H x W x 3."""


def rain_layer(rainy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> Layer:
    """The difference. Where the rainy picture is white, some of its rain is lost."""
    return rainy.astype(np.int16) - clean.astype(np.int16)


def lay_over(
    image: NDArray[np.uint8],
    layers: Sequence[Layer],
    gain: Range,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Adds a crop of a random layer, mirrored at random, to H x W x 3; clipped to 8 bits.

    A layer that is smaller than the picture is continued by reflection.
    """
    layer = layers[int(rng.integers(len(layers)))]
    height, width = image.shape[:2]
    short = [max(0, side - has) for side, has in zip((height, width), layer.shape[:2], strict=True)]
    if any(short):
        layer = np.pad(layer, [(0, short[0]), (0, short[1]), (0, 0)], mode="symmetric")
    top, left = (
        int(rng.integers(has - side + 1))
        for side, has in zip((height, width), layer.shape[:2], strict=True)
    )
    rain = layer[top : top + height, left : left + width]
    if rng.integers(2):
        rain = rain[:, ::-1]
    laid = image + rain * rng.uniform(*gain)
    out: NDArray[np.uint8] = np.clip(np.rint(laid), 0, 255).astype(np.uint8)
    return out
