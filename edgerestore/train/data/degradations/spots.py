"""Round spots that move while a shutter is open: drops and flakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

REACH = 3.3
"""Standard deviations at which a Gaussian is cut; what is lost is below 1 / 230 of its peak."""
ERF_AS_TANH = (0.7979, 0.0357)
"""tanh(0.7979 t + 0.0357 t^3) is within 0.0005 of a unit Gaussian's integral from -t to t."""
NEXT_LAYER = 1.6
"""How many times as far away each layer of spots is as the one before it."""
OPAQUE = np.float32(0.999)
"""What counts as hiding all, so that it has a logarithm."""


@dataclass(frozen=True, slots=True)
class Spots:
    """N moving spots, each field of shape N; lengths in pixels of the picture."""

    y: Floats
    x: Floats
    """Middle of the path; may lie outside the picture."""
    length: Floats
    """Length of the path."""
    angle: Floats
    """Angle of the path, in radians from the vertical, well below a right angle."""
    sigma: Floats
    """Standard deviation across the path."""
    fade: Floats
    """Standard deviation with which both ends fade."""
    peak: Floats
    """Value in the middle."""


def scatter(
    height: int, width: int, margin: float, density: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Random places, ``density`` to a pixel, in a picture and ``margin`` pixels around it.

    The margin lets a path that begins outside come in, so that none starts at an edge.
    """
    tall, wide = height + 2 * margin, width + 2 * margin
    count = int(rng.poisson(density * tall * wide))
    y = rng.random(count, np.float32) * np.float32(tall) - np.float32(margin)
    x = rng.random(count, np.float32) * np.float32(wide) - np.float32(margin)
    return y, x


def add_up(spots: Spots, height: int, width: int) -> Floats:
    """The sum of all spots, H x W."""
    index, value = _pixels(spots, height, width)
    total = np.bincount(index, value, height * width).reshape(height, width)
    return total.astype(np.float32)


def cover(spots: Spots, opacity: float, height: int, width: int) -> Floats:
    """What all spots hide, H x W in [0, 1]; each hides no more than ``opacity``."""
    index, value = _pixels(spots, height, width)
    # What shines through several is the product of what each lets through.
    through = np.log1p(-np.minimum(np.float32(opacity) * np.minimum(value, 1), OPAQUE))
    total = np.bincount(index, through, height * width).reshape(height, width)
    return (1 - np.exp(total)).astype(np.float32)


def _pixels(spots: Spots, height: int, width: int) -> tuple[NDArray[np.int32], Floats]:
    """What each spot gives each pixel that it touches: indices of flat pixels, and values."""
    cos, sin = np.cos(spots.angle), np.sin(spots.angle)
    half = (spots.length / 2 + REACH * spots.fade) * cos + REACH * spots.sigma * np.abs(sin)
    top = np.maximum(np.ceil(spots.y - half), 0).astype(np.int32)
    bottom = np.minimum(np.floor(spots.y + half), height - 1).astype(np.int32)
    rows = np.maximum(bottom - top + 1, 0)
    # One line for each row of each spot, and as many columns for all as the widest needs.
    of = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    y = np.arange(len(of), dtype=np.int32) - np.repeat(np.cumsum(rows) - rows - top, rows)
    down = y.astype(np.float32) - spots.y[of]
    axis = spots.x[of] + down * (sin / cos)[of]
    columns = int(np.ceil((REACH * spots.sigma / cos).max(initial=0)))
    x = np.rint(axis).astype(np.int32)[:, None] + np.arange(-columns, columns + 1, dtype=np.int32)
    right = x - spots.x[of, None]
    cos, sin, sigma = cos[of, None], sin[of, None], spots.sigma[of, None]
    across = (right * cos - down[:, None] * sin) / sigma
    along = right * sin + down[:, None] * cos
    value = spots.peak[of, None] * _path(along, spots, of) * np.exp(-0.5 * across**2)
    seen = (x >= 0) & (x < width) & (np.abs(across) <= REACH)
    return (y[:, None] * width + x)[seen], value[seen]


def _path(along: Floats, spots: Spots, of: NDArray[np.int32]) -> Floats:
    """A box of the path's length blurred by ``fade``, 1 in its middle."""
    # A path much shorter than its fade is a Gaussian; the difference below would vanish.
    half = np.maximum(spots.length / spots.fade / 2, np.float32(0.05))[of, None]
    place = along / spots.fade[of, None]
    out: Floats = (_erf(place + half) - _erf(place - half)) / (2 * _erf(half))
    return out


def _erf(t: Floats) -> Floats:
    """The integral of a unit Gaussian from -t to t."""
    linear, cubic = map(np.float32, ERF_AS_TANH)
    out: Floats = np.tanh(t * (linear + cubic * t * t))
    return out
