"""Which modules INT8 hurts, and the fewest that must stay in float."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgerestore.bundle import Accuracy, DropLimits
from edgerestore.calibration import to_network
from edgerestore.compress.quantization.search import Found, fewest_in_float
from edgerestore.compress.quantization.sensitivity import Sensitivity, module_sensitivities
from edgerestore.compress.running import Crops
from edgerestore.errors import InputError
from edgerestore.pipeline.job import Builder
from edgerestore.recipe import Target

JUDGED = 8
"""Pictures whose middle tile modules are judged on."""


def ranked_modules(
    builder: Builder, target: Target, report: Callable[[int, int], None] = lambda done, total: None
) -> list[Sensitivity]:
    """Every module that INT8 quantizes on the target, the one that hurts most first.

    Judged on the middle tiles of the evaluation pairs, where there are some, else on
    calibration crops, of which nobody knows how they should look. Raises InputError where the
    target runs nothing of the network in INT8.
    """
    quantizer = builder.emitter.quantizer
    if not quantizer.plan(target.int8).products:
        raise InputError(f"{target.name} runs nothing of {builder.job.spec.name} in INT8")
    low, high = _middles(builder)
    if low is None:
        low, high = quantizer.crops[:JUDGED], None
    return module_sensitivities(
        quantizer.calibration.done, target.int8, low, high, quantizer.also_float, report
    )


def fewest_modules(
    builder: Builder,
    target: Target,
    ranked: Sequence[Sensitivity],
    limits: DropLimits,
    report: Callable[[str], None] = lambda stage: None,
) -> Found[Accuracy | None]:
    """Builds INT8 with more and more of ``ranked`` in float, until the limits hold.

    Every try is a whole bundle, run in the target's runtime on the evaluation pairs. The
    builder must not refuse what misses its gate. Raises InputError where there are no pairs.
    """
    if not builder.job.evaluation:
        raise InputError("no pairs to judge accuracy on; give --data DIR")

    def measure(modules: tuple[str, ...]) -> Accuracy | None:
        report(f"INT8 with {len(modules)} of {len(ranked)} modules in float")
        with tempfile.TemporaryDirectory(prefix="edgerestore-search-") as folder:
            built = builder.keeping(modules, Path(folder)).build(target, "int8")
        return built.manifest.accuracy

    return fewest_in_float([item.module for item in ranked], measure, limits.hold)


def _middles(builder: Builder) -> tuple[Crops | None, Crops | None]:
    """The middle tile of some evaluation pairs, and what it should look like."""
    tile, scale = builder.job.tile, builder.job.spec.scale
    low: list[np.ndarray] = []
    high: list[np.ndarray] = []
    for pair in builder.job.evaluation:
        top, left = ((side - tile) // 2 for side in pair.low.shape[:2])
        if min(top, left) >= 0 and len(low) < JUDGED:
            low.append(pair.low[top : top + tile, left : left + tile])
            y, x, side = top * scale, left * scale, tile * scale
            high.append(pair.high[y : y + side, x : x + side])
    if not low:
        return None, None
    return to_network(low), to_network(high)
