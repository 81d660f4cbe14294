"""NaN and infinity in what a network or a bundle gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import AccuracyError

Tiles = NDArray[np.float32]


def finite(run: Callable[[Tiles], Tiles], name: str) -> Callable[[Tiles], Tiles]:
    """The same function, which raises AccuracyError for an output that is not all finite.

    ``name`` is the bundle's or the network's, for the message.
    """
    seen = 0

    def checked(tiles: Tiles) -> Tiles:
        nonlocal seen
        result = run(tiles)
        broken = result.size - int(np.isfinite(result).sum())
        if broken:
            raise AccuracyError(
                f"{name}: {broken} of {result.size} values are NaN or infinite in its output for "
                f"tile {seen + 1}, whose input spans {tiles.min():.3g} to {tiles.max():.3g}"
            )
        seen += len(tiles)
        return result

    return checked
