from __future__ import annotations

import itertools
import threading
import tracemalloc

import numpy as np
import pytest

from edgerestore.errors import BackendError, InputError
from edgerestore.tiling import count_tiles, plan, ramp, restore_array, restore_rows

SIDES = (1, 2, 3, 7, 15, 16, 17, 23, 31, 32, 33, 48, 63, 100, 127, 200)


def nearest(scale):
    """A network whose output for a pixel depends on nothing else."""
    return lambda tiles: tiles.repeat(scale, axis=2).repeat(scale, axis=3)


def enlarged(image, scale):
    return (image.astype(np.float32) / np.float32(255)).repeat(scale, 0).repeat(scale, 1)


def noise(height, width, channels=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize("overlap", [0, 1, 4, 7])
def test_a_plan_begins_and_ends_at_the_border_and_overlaps_enough(overlap):
    for length in range(1, 17):
        assert plan(length, 16, overlap) == [0]
    for length in range(17, 201):
        starts = plan(length, 16, overlap)
        assert (starts[0], starts[-1] + 16) == (0, length)
        steps = np.diff(starts)
        assert (steps > 0).all()
        assert (steps <= 16 - overlap).all()
        # One tile fewer could not cover it.
        assert (len(starts) - 1) * (16 - overlap) + overlap < length


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("width", SIDES)
def test_an_identity_network_gives_back_every_pixel_exactly(width, scale):
    for height in SIDES[:: 3 if width % 2 else 4]:
        image = noise(height, width)
        output = restore_array(image, nearest(scale), tile=16, overlap=5, scale=scale)
        assert output.dtype == np.float32
        assert output.shape == (height * scale, width * scale, 3)
        np.testing.assert_array_equal(output, enlarged(image, scale))


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_the_batch_changes_nothing(batch):
    image = noise(45, 70)
    sizes = []

    def run(tiles):
        sizes.append(len(tiles))
        return np.sqrt(nearest(2)(tiles)) * tiles.mean(axis=(1, 2, 3), keepdims=True)

    alone = restore_array(image, run, tile=16, overlap=4, scale=2)
    together = restore_array(image, run, tile=16, overlap=4, scale=2, batch=batch)
    np.testing.assert_array_equal(alone, together)
    tiles = count_tiles(45, 70, 16, 4)
    # A run holds tiles of two rows where one does not fill it.
    assert sizes == [1] * tiles + [batch] * -(-tiles // batch)


@pytest.mark.parametrize(("streams", "batch"), [(2, 1), (5, 1), (3, 4), (40, 1)])
def test_streams_change_nothing_and_as_many_runs_are_under_way(streams, batch):
    image = noise(45, 70)
    runs = -(-count_tiles(45, 70, 16, 4) // batch)
    at_once = min(streams, runs)
    together = threading.Barrier(at_once)
    calls, lock = itertools.count(), threading.Lock()
    under_way, most, callers = 0, 0, set()

    def run(tiles):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            callers.add(threading.get_ident())
            first = next(calls) < at_once
        if first:
            together.wait(30)
        result = np.sqrt(nearest(2)(tiles))
        with lock:
            under_way -= 1
        return result

    found = restore_array(image, run, tile=16, overlap=4, scale=2, batch=batch, streams=streams)
    alone = restore_array(image, lambda t: np.sqrt(nearest(2)(t)), tile=16, overlap=4, scale=2)
    np.testing.assert_array_equal(found, alone)
    assert most == at_once
    assert threading.get_ident() not in callers


def test_a_run_that_fails_in_a_stream_ends_all_of_them():
    threads = threading.active_count()
    calls = itertools.count()

    def run(tiles):
        if next(calls) == 3:
            raise BackendError("out of memory")
        return nearest(1)(tiles)

    with pytest.raises(BackendError, match="out of memory"):
        restore_array(noise(90, 90), run, tile=16, overlap=4, scale=1, streams=3)
    assert next(calls) < 12
    assert threading.active_count() == threads


def test_who_asks_for_no_more_rows_leaves_no_thread():
    threads = threading.active_count()
    rows = restore_rows(noise(90, 90), nearest(1), tile=16, overlap=4, scale=1, streams=3)
    next(rows)
    rows.close()
    del rows
    assert threading.active_count() == threads


@pytest.mark.parametrize(("height", "width"), [(50, 61), (16, 200), (33, 17)])
def test_weights_are_never_negative_and_sum_to_one(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    generator = np.random.default_rng(0)
    ones = restore_array(image, lambda t: np.ones_like(t), tile=16, overlap=6, scale=1)
    np.testing.assert_array_equal(ones, 1)
    levels = restore_array(
        image,
        lambda t: np.full_like(t, generator.uniform(0.25, 0.75)),
        tile=16,
        overlap=6,
        scale=1,
    )
    assert levels.min() >= 0.25
    assert levels.max() <= 0.75


@pytest.mark.parametrize("overlap", [4, 8, 15])
def test_tiles_that_disagree_fade_into_each_other_without_a_seam(overlap):
    levels = iter(np.random.default_rng(1).permutation(100) / 100)
    scale = 4
    output = restore_array(
        np.zeros((32, 200, 3), np.uint8),
        lambda t: np.full((1, 3, 128, 128), next(levels), np.float32),
        tile=32,
        overlap=overlap,
        scale=scale,
    )
    steepest = np.diff(ramp(overlap * scale)).max()
    assert np.abs(np.diff(output, axis=1)).max() <= steepest + 1e-6


def test_what_a_network_spoils_at_a_tiles_edge_is_not_seen():
    image = noise(90, 110)

    def spoiling(tiles):
        output = nearest(2)(tiles).copy()
        output[:, :, [0, 1, -2, -1]] = 0.5
        output[..., [0, 1, -2, -1]] = 0.5
        return output

    output = restore_array(image, spoiling, tile=24, overlap=8, scale=2)
    # At the image's own border nothing can replace it.
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(output[inner], enlarged(image, 2)[inner], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (5, 3), (40, 2)])
def test_small_sides_are_continued_by_what_is_in_the_image(height, width):
    image = noise(height, width)
    seen = []

    def run(tiles):
        seen.append(tiles)
        return tiles

    restore_array(image, run, tile=16, overlap=4, scale=1)
    colours = {tuple(c) for c in image.reshape(-1, 3).tolist()}
    for tiles in seen:
        values = np.rint(tiles.transpose(0, 2, 3, 1) * 255).astype(int).reshape(-1, 3).tolist()
        assert {tuple(c) for c in values} <= colours


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_every_kind_of_pixel_reaches_the_network_between_0_and_1(dtype, peak):
    image = np.zeros((20, 20, 3), dtype)
    image[:, 10:] = peak
    output = restore_array(image, nearest(1), tile=16, overlap=4, scale=1)
    np.testing.assert_array_equal(output[:, :10], 0)
    np.testing.assert_array_equal(output[:, 10:], 1)


def test_grey_reaches_the_network_three_times():
    grey = noise(30, 40, channels=1)
    options = {"tile": 16, "overlap": 4, "scale": 2}
    np.testing.assert_array_equal(
        restore_array(grey, nearest(2), **options),
        restore_array(grey.repeat(3, axis=2), nearest(2), **options),
    )


def test_progress_counts_every_tile():
    calls = []
    image = noise(40, 50)
    rows = restore_rows(
        image,
        nearest(1),
        tile=16,
        overlap=4,
        scale=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    heights = [len(band) for band in rows]
    assert sum(heights) == 40
    total = count_tiles(40, 50, 16, 4)
    assert calls[-1] == (total, total)
    assert len(calls) == len(heights) == len(plan(40, 16, 4))


@pytest.mark.parametrize("overlap", [-1, 16, 100])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(InputError, match=rf"--overlap {overlap}: must be from 0 to 15"):
        restore_array(noise(20, 20), nearest(1), tile=16, overlap=overlap, scale=1)


def test_output_of_another_shape_or_not_finite_is_an_error():
    options = {"tile": 16, "overlap": 4, "scale": 2}
    with pytest.raises(BackendError, match="but the bundle says"):
        restore_array(noise(20, 20), nearest(3), **options)
    with pytest.raises(BackendError, match="not finite"):
        restore_array(noise(20, 20), lambda t: nearest(2)(t) * np.float32("nan"), **options)


def test_memory_does_not_grow_with_the_height():
    def peak_bytes(height):
        image = noise(height, 64)
        tracemalloc.start()
        for band in restore_rows(image, nearest(2), tile=16, overlap=4, scale=2):
            assert band.shape[1:] == (128, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(64)
    # 64 times the height: only the plan's list of starts grows.
    assert peak_bytes(4096) < peak_bytes(64) * 1.1 + 40_000
