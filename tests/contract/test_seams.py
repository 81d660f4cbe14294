"""Tiling the shipped model leaves no seam: measured on the shipped photographs.

A seam is judged against the same pixels tiled with a four times larger overlap: whether a
band of a picture is harder than the rest of it is the picture's affair, not the tiling's.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the reference network runs in torch")

from edgerestore import metrics  # noqa: E402
from edgerestore.evaluation import read_pairs  # noqa: E402
from edgerestore.networks import find_model  # noqa: E402
from edgerestore.networks.weights import load_network  # noqa: E402
from edgerestore.pipeline.source import reference_run  # noqa: E402
from edgerestore.shipped import shipped_folder  # noqa: E402
from edgerestore.tiling import DEFAULT_OVERLAP, plan, restore_array  # noqa: E402

SPEC = find_model("esrt_s_x2")
PAIRS = read_pairs(shipped_folder("calibration") / "evaluation" / "photos", SPEC.scale)[::3]
LARGEST_DIFFERENCE_DB = 0.05
LARGEST_EXCESS = 0.01
"""Of squared error in the bands over that of the larger overlap, beyond the rest's."""


@pytest.fixture(scope="module")
def results():
    run = reference_run(load_network(SPEC))

    def restore(image, overlap):
        restored = restore_array(
            image, run, tile=SPEC.tile, overlap=overlap, scale=SPEC.scale, batch=4
        )
        return metrics.to_uint8(restored)

    return {
        pair.name: tuple(restore(pair.low, DEFAULT_OVERLAP * times) for times in (1, 4))
        for pair in PAIRS
    }


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_larger_overlap_changes_nothing_that_counts(pair, results):
    scores = [
        metrics.psnr_y_db(result, pair.high, border=SPEC.border) for result in results[pair.name]
    ]
    assert abs(scores[0] - scores[1]) < LARGEST_DIFFERENCE_DB


def test_bands_where_tiles_meet_are_no_worse_than_the_rest(results):
    band_errors, rest_errors = np.zeros(2), np.zeros(2)
    for pair in PAIRS:
        band = band_of(pair.low.shape[:2])
        truth = metrics.luma(pair.high)
        for place, result in enumerate(results[pair.name]):
            squared = (metrics.luma(result) - truth) ** 2
            band_errors[place] += squared[band].sum()
            rest_errors[place] += squared[~band].sum()
    in_band, in_rest = band_errors[0] / band_errors[1], rest_errors[0] / rest_errors[1]
    assert in_band <= in_rest + LARGEST_EXCESS


def band_of(shape):
    """True where neighbouring tiles overlap, at output resolution."""
    masks = []
    for length in shape:
        starts = plan(length, SPEC.tile, DEFAULT_OVERLAP)
        mask = np.zeros(length, bool)
        for before, after in itertools.pairwise(starts):
            mask[after : before + SPEC.tile] = True
        masks.append(mask.repeat(SPEC.scale))
    return masks[0][:, None] | masks[1][None, :]
