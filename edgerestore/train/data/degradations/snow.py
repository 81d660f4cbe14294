"""Falling snow, drawn.

A flake hides what lies behind it: the picture is z * white + (1 - z) * clean with z the
flakes' opacity, after Liu et al., "DesnowNet: Context-Aware Deep Network for Snow Removal",
IEEE TIP 27, 2018, whose Snow100K has flakes from specks to blurred blobs, some drawn out
into short streaks. The veil of snow too far away to be seen as flakes is that of Chen et al.,
"JSTASR", ECCV 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerestore.recipe.pictures import Snow
from edgerestore.train.data.degradations.spots import (
    NEXT_LAYER,
    REACH,
    Floats,
    Spots,
    cover,
    scatter,
)

SIZE_SPREAD = 0.35
"""Standard deviation of the logarithm of a flake's radius within a layer."""
LARGEST = 2.5
"""Times the layer's radius: beyond it the logarithm's distribution is cut."""
ANGLE_SPREAD = 8.0
"""Standard deviation of a flake's path about the wind's direction, in degrees: snow whirls."""
SMALLEST = 0.4
"""Standard deviation below which no sensor draws a point, in pixels."""
STEEPNESS = 1.6
"""Steepness of a flake's rim: its Gaussian, multiplied by this, is cut at the flake's opacity."""


def add_snow(image: NDArray[np.uint8], snow: Snow, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lays a veil and flakes over H x W x 3; clipped and rounded to 8 bits.

    No pixel gets darker. Flakes come in over the edges.
    """
    clear = 1 - snow_of(image.shape[0], image.shape[1], snow, rng)[..., None]
    snowy: Floats = np.rint(255 - (255 - image.astype(np.float32)) * clear)
    return snowy.astype(np.uint8)


def snow_of(height: int, width: int, snow: Snow, rng: np.random.Generator) -> Floats:
    """Opacity of the snow, H x W in [0, 1]."""
    density, size, length, angle, opacity, veil = (
        rng.uniform(*chosen)
        for chosen in (snow.density, snow.size, snow.length, snow.angle, snow.opacity, snow.veil)
    )
    clear = np.full((height, width), 1 - veil, np.float32)
    for layer in range(int(rng.integers(snow.layers[0], snow.layers[1] + 1))):
        away = NEXT_LAYER**layer
        largest = LARGEST * size / away
        margin = length / 2 + REACH * max(largest / 2, SMALLEST)
        y, x = scatter(height, width, margin, density * away**2, rng)
        spread = np.exp(np.float32(SIZE_SPREAD) * rng.standard_normal(len(y), np.float32))
        radius = np.minimum(np.float32(size / away) * spread, np.float32(largest))
        sigma = np.maximum(radius / 2, np.float32(SMALLEST))
        angles = angle + ANGLE_SPREAD * rng.standard_normal(len(y), np.float32)
        flakes = Spots(
            y=y,
            x=x,
            length=np.full(len(y), length / away, np.float32),
            angle=np.radians(angles, dtype=np.float32),
            sigma=sigma,
            fade=sigma,
            peak=np.full(len(y), STEEPNESS, np.float32),
        )
        clear *= 1 - cover(flakes, opacity, height, width)
    return 1 - clear
