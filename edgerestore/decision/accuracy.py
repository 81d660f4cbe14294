"""What a set of images allows to be said of a bundle's mean loss."""

from __future__ import annotations

import numpy as np

from edgerestore.bundle import Accuracy
from edgerestore.decision.result import Drop
from edgerestore.measure.bench.statistics import CONFIDENCE, RESAMPLES

FEWEST_IMAGES = 5
"""Fewest images for an interval: fewer are no sample of anything."""


def drop_of(accuracy: Accuracy, seed: int = 0) -> Drop:
    """Mean with its 95 % bootstrap interval over images, and the worst; the seed repeats it."""
    drops = np.array([image.drop_db for image in accuracy.images], np.float64)
    worst = int(drops.argmax())
    low = high = None
    if drops.size >= FEWEST_IMAGES:
        drawn = np.random.default_rng(seed).choice(drops, size=(RESAMPLES, drops.size))
        tail = 50 * (1 - CONFIDENCE)
        low, high = (float(x) for x in np.percentile(drawn.mean(1), [tail, 100 - tail]))
    return Drop(
        mean_db=float(drops.mean()),
        low_db=low,
        high_db=high,
        worst_db=float(drops[worst]),
        worst_image=accuracy.images[worst].name,
        images=int(drops.size),
    )
