"""Images of any size through a network of one size, a row of tiles at a time.

Tiles are spread evenly, so that the first begins and the last ends at the image's border,
and neighbours share ``overlap`` pixels or more. Where they share, one fades into the next.
Only one row of tiles, what it shares with the next, and the runs of the network that are under way
are ever held in float.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import BackendError, InputError

Tiles = NDArray[np.float32]
Run = Callable[[Tiles], Tiles]
"""N x 3 x tile x tile RGB in [0, 1] -> N x 3 x s*tile x s*tile; ``Session.run`` is one."""

Pixels = NDArray[np.uint8 | np.uint16 | np.float32]
"""H x W x 3 or H x W x 1, from 0 to the integer type's maximum, or to 1 in float32."""

Progress = Callable[[int, int], None]
"""Called with the tiles done and the tiles in all."""

FADE = 0.5
"""Middle part of an overlap in which one tile fades into the next. The pixels outside it
are nearer to a tile's edge, where the network saw padding instead of the picture."""


DEFAULT_OVERLAP = 8
"""Input pixels. On trained ESRT, four times as many move no image by more than 0.03 dB."""


def check_overlap(tile: int, overlap: int) -> None:
    """Raises InputError unless ``0 <= overlap < tile``."""
    if not 0 <= overlap < tile:
        raise InputError(
            f"--overlap {overlap}: must be from 0 to {tile - 1}, less than the tile's {tile} pixels"
        )


def plan(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles start along a side: the first at 0, the last ending at ``length``.

    As few tiles as the overlap allows; a side not longer than a tile gives ``[0]``.
    """
    if length <= tile:
        return [0]
    steps = -(-(length - tile) // (tile - overlap))
    return [i * (length - tile) // steps for i in range(steps + 1)]


def count_tiles(height: int, width: int, tile: int, overlap: int) -> int:
    """How many tiles an image takes."""
    return len(plan(height, tile, overlap)) * len(plan(width, tile, overlap))


def ramp(length: int) -> NDArray[np.float32]:
    """Weights of the next tile across ``length`` shared pixels, from 0 up to 1.

    Half a cosine over the middle ``FADE`` of them. The tile before has one minus these, so
    that the weights of every pixel sum to one.
    """
    place = (np.arange(length) + 0.5) / max(length, 1)
    inner = np.clip((place - 0.5) / FADE + 0.5, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * inner), dtype=np.float32)


def restore_rows(
    image: Pixels,
    run: Run,
    *,
    tile: int,
    overlap: int,
    scale: int,
    batch: int = 1,
    streams: int = 1,
    progress: Progress | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yields the output from top to bottom in bands of finished rows, n x s*W x 3, not clipped.

    So many ``streams`` call ``run`` at once, from threads of their own; one stream calls it from
    the caller's. What comes out does not depend on it.
    A side shorter than a tile is continued by reflection, and what grew there is cut off.
    Grey is repeated to three channels. A band is valid until the next one is asked for.
    Raises InputError for an overlap out of range, BackendError for output of another shape
    or with values that are not finite.
    """
    check_overlap(tile, overlap)
    height, width = image.shape[:2]
    padded, top, left = _pad(image, tile)
    tops = plan(padded.shape[0], tile, overlap)
    lefts = plan(padded.shape[1], tile, overlap)
    columns = slice(left * scale, (left + width) * scale)
    last = (top + height) * scale
    runs = partial(_ahead, run, streams)
    results = _results(padded, itertools.product(tops, lefts), tile, batch, scale, runs)
    strip = np.empty((tile * scale, padded.shape[1] * scale, 3), np.float32)
    carried = strip[:0].copy()
    for number, start in enumerate(tops):
        _fill(strip, lefts, results, scale)
        _fade(strip, carried, axis=0)
        if progress:
            progress((number + 1) * len(lefts), len(tops) * len(lefts))
        if number + 1 < len(tops):
            finished = (tops[number + 1] - start) * scale
            # Copied, because the strip is filled again before these rows are blended.
            carried = strip[finished:].copy()
            yield strip[:finished, columns]
        else:
            yield strip[(top if len(tops) == 1 else 0) * scale : last - start * scale, columns]


def restore_array(
    image: Pixels,
    run: Run,
    *,
    tile: int,
    overlap: int,
    scale: int,
    batch: int = 1,
    streams: int = 1,
) -> NDArray[np.float32]:
    """The whole output, s*H x s*W x 3, not clipped. See :func:`restore_rows`."""
    height, width = image.shape[:2]
    output = np.empty((height * scale, width * scale, 3), np.float32)
    done = 0
    bands = restore_rows(
        image, run, tile=tile, overlap=overlap, scale=scale, batch=batch, streams=streams
    )
    for band in bands:
        output[done : done + len(band)] = band
        done += len(band)
    return output


def _pad(image: Pixels, tile: int) -> tuple[Pixels, int, int]:
    """The image, at least a tile large, and the rows and columns put before it."""
    missing = [max(0, tile - side) for side in image.shape[:2]]
    top, left = (side // 2 for side in missing)
    if not any(missing):
        return image, 0, 0
    around = ((top, missing[0] - top), (left, missing[1] - left), (0, 0))
    return np.pad(image, around, mode="reflect"), top, left


def _results(
    padded: Pixels,
    places: Iterator[tuple[int, int]],
    tile: int,
    batch: int,
    scale: int,
    runs: Callable[[Iterator[Tiles]], Iterator[Tiles]],
) -> Iterator[Tiles]:
    """What the network makes of the tile at each place; a run may hold tiles of two rows."""
    sizes: deque[int] = deque()

    def batches() -> Iterator[Tiles]:
        while group := list(itertools.islice(places, batch)):
            sizes.append(len(group))
            # The shape is static: a group that is not full repeats its last tile.
            starts = group + group[-1:] * (batch - len(group))
            yield np.stack([_to_network(padded[y : y + tile, x : x + tile]) for y, x in starts])

    for results in runs(batches()):
        _check_result(results, (batch, 3, tile * scale, tile * scale))
        yield from results[: sizes.popleft()]


def _ahead(run: Run, streams: int, batches: Iterator[Tiles]) -> Iterator[Tiles]:
    """Runs them in order; while one result is blended, the next ``streams`` are under way."""
    if streams == 1:
        yield from map(run, batches)
        return
    under_way: deque[Future[Tiles]] = deque()
    with ThreadPoolExecutor(streams) as pool:
        try:
            for tiles in batches:
                under_way.append(pool.submit(run, tiles))
                if len(under_way) > streams:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            # Who asks for no more, or was interrupted, does not wait for those in the queue.
            for future in under_way:
                future.cancel()


def _fill(
    strip: NDArray[np.float32],
    lefts: list[int],
    results: Iterator[Tiles],
    scale: int,
) -> None:
    """Blends one row of tiles from left to right into ``strip``."""
    side = len(strip)
    end = 0
    for x in lefts:
        place = strip[:, x * scale : x * scale + side]
        shared = place[:, : max(0, end - x * scale)].copy()
        place[:] = next(results).transpose(1, 2, 0)
        _fade(place, shared, axis=1)
        end = x * scale + side


def _fade(block: NDArray[np.float32], before: NDArray[np.float32], axis: int) -> None:
    """Lets ``before`` fade out over the first rows or columns of ``block``, in place."""
    length = before.shape[axis]
    if not length:
        return
    shared = block[:length] if axis == 0 else block[:, :length]
    weights = ramp(length).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    # before + w * (next - before): exact where both tiles agree.
    np.subtract(shared, before, out=shared)
    np.multiply(shared, weights, out=shared)
    np.add(shared, before, out=shared)


def _to_network(pixels: Pixels) -> NDArray[np.float32]:
    """Tile x tile x 1 or 3 pixels -> 3 x tile x tile in [0, 1]."""
    peak = 1 if pixels.dtype.kind == "f" else 256**pixels.dtype.itemsize - 1
    values = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(peak)
    return np.broadcast_to(values, (3, *values.shape[1:]))


def _check_result(results: Tiles, expected: tuple[int, ...]) -> None:
    if results.shape != expected:
        raise BackendError(f"the network gave {results.shape}, but the bundle says {expected}")
    if not np.isfinite(results).all():
        raise BackendError(
            "the network gave values that are not finite; use a bundle of higher precision"
        )
