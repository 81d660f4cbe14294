"""Rain streaks, drawn.

A falling drop is seen as a streak that brightens whatever lies behind it: Garg and Nayar,
"Vision and Rain", IJCV 75, 2007. Layers of streaks that share a direction, added to the clean
picture, are the model of Rain100L: Yang et al., "Deep Joint Rain Detection and Removal from a
Single Image" (JORDER), CVPR 2017.

The defaults of :class:`edgerestore.recipe.pictures.Rain` were chosen by measuring 56 pictures
of Rain100L, degraded minus clean, and streaks drawn over the same clean pictures. 5th, 50th and
95th percentiles, over pictures or, in the last three lines, over connected regions brighter
than 8 levels:

===============================================  ==================  ==================
of the rain alone                                Rain100L            drawn
===============================================  ==================  ==================
mean, grey levels                                1.9, 5.4, 9.6       1.4, 5.2, 13.2
standard deviation, grey levels                  6.0, 12.3, 24.5     5.9, 13.4, 23.1
share of pixels that gain more than 8 levels     0.07, 0.19, 0.30    0.05, 0.15, 0.37
99th percentile of the gain, grey levels         31, 59, 122         32, 70, 111
half width of autocorrelation across, pixels     1.0, 1.5, 1.75      1.0, 1.25, 1.75
half width of autocorrelation along, pixels      8.4, 12.3, 25.4     6.3, 11.9, 18.2
angle from the vertical, degrees                 -27, 0, 32          -34, 3, 34
length of a region, pixels                       6, 17, 96           7, 23, 96
width of a region, pixels                        0.9, 1.7, 4.2       0.9, 1.8, 4.3
brightest pixel of a region, grey levels         12, 33, 128         12, 40, 119
===============================================  ==================  ==================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerestore.recipe.pictures import Rain
from edgerestore.train.data.degradations.spots import (
    NEXT_LAYER,
    REACH,
    Floats,
    Spots,
    add_up,
    scatter,
)

LENGTH_SPREAD = 0.5
"""Standard deviation of the logarithm of a streak's length within a layer."""
WIDTH_SPREAD = 0.3
"""Standard deviation of the logarithm of a streak's width within a layer."""
MOST = 2.5
"""Times the layer's length and width: beyond it both distributions are cut."""
ANGLE_SPREAD = 2.0
"""Standard deviation of a streak's angle within a picture, in degrees."""
FADE = 0.15
"""Standard deviation with which both ends fade, as a share of the length."""
THINNEST = 0.5
"""Standard deviation across below which no sensor draws a line, in pixels."""


def add_rain(image: NDArray[np.uint8], rain: Rain, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lays streaks over H x W x 3, the same on all channels; clipped and rounded to 8 bits.

    No pixel gets darker. Streaks come in over the edges, so that a crop looks as if it were
    cut from a larger rainy picture.
    """
    streaks = rain_of(image.shape[0], image.shape[1], rain, rng)[..., None]
    room = 1 - image / np.float32(255) if rain.blend == "screen" else 1
    rainy: NDArray[np.uint8] = np.clip(np.rint(image + streaks * room), 0, 255).astype(np.uint8)
    return rainy


def rain_of(height: int, width: int, rain: Rain, rng: np.random.Generator) -> Floats:
    """The streaks alone, H x W in grey levels from 0; several on one pixel may pass 255."""
    density, length, angle, across, brightness = (
        float(rng.uniform(*chosen))
        for chosen in (rain.density, rain.length, rain.angle, rain.width, rain.brightness)
    )
    total = np.zeros((height, width), np.float32)
    for layer in range(int(rng.integers(rain.layers[0], rain.layers[1] + 1))):
        away = NEXT_LAYER**layer
        margin = MOST * (length * (0.5 + REACH * FADE) + across * REACH) / away
        y, x = scatter(height, width, margin, density * away**2, rng)
        lengths = _spread(length / away, LENGTH_SPREAD, len(y), rng)
        sigma = np.maximum(_spread(across / away, WIDTH_SPREAD, len(y), rng), THINNEST)
        angles = angle + ANGLE_SPREAD * rng.standard_normal(len(y), np.float32)
        streaks = Spots(
            y=y,
            x=x,
            length=lengths,
            angle=np.radians(angles, dtype=np.float32),
            sigma=sigma,
            fade=np.maximum(FADE * lengths, sigma),
            # Most streaks are faint, as most drops are small.
            peak=np.float32(255 * brightness / away) * rng.random(len(y), np.float32) ** 2,
        )
        total += add_up(streaks, height, width)
    return total


def _spread(middle: float, spread: float, count: int, rng: np.random.Generator) -> Floats:
    """Lengths with a log-normal distribution about ``middle``."""
    times = np.exp(np.float32(spread) * rng.standard_normal(count, np.float32))
    out: Floats = np.float32(middle) * np.minimum(times, np.float32(MOST))
    return out
