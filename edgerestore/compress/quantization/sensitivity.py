"""How much of a network's output each module changes when it alone is quantized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgerestore.compress.quantization.calibrated import Calibrated
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.running import Crops, run_graph
from edgerestore.metrics import psnr_db
from edgerestore.recipe import Int8Rules


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One module, over all its calls."""

    module: str
    calls: int
    psnr_db: float
    """PSNR to the FP32 output where only this module is quantized: the lower, the more it hurts."""
    drop_db: float | None
    """Drop of the PSNR to the ground truth, which takes pairs to tell."""


def module_sensitivities(
    calibrated: Calibrated,
    rules: Int8Rules,
    crops: Crops,
    truth: Crops | None = None,
    also_float: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Sensitivity]:
    """Every module that ``rules`` quantize, the one that hurts most first.

    Modules that match a pattern of ``also_float`` stay in float and are not among them.
    Measured in ONNX Runtime on ``crops``, N x 3 x tile x tile in [0, 1]; ``truth`` are the
    same places as they should look, N x 3 x s tile x s tile.
    """
    expected = run_graph(calibrated.graph, crops)
    calls: dict[str, int] = {}
    for product in calibrated.plan(rules, also_float).products:
        calls[product.module] = calls.get(product.module, 0) + 1
    found = []
    for number, module in enumerate(sorted(calls), 1):
        result = run_graph(qdq_from_plan(calibrated.plan(rules, only=module)), crops)
        drop = (
            None if truth is None else _nearness_db(expected, truth) - _nearness_db(result, truth)
        )
        found.append(Sensitivity(module, calls[module], _nearness_db(result, expected), drop))
        report(number, len(calls))
    return sorted(found, key=lambda item: item.psnr_db)


def _nearness_db(result: Crops, expected: Crops) -> float:
    """PSNR over all crops together, values beyond black and white cut as 8 bits cut them."""
    return float(psnr_db(np.clip(result, 0, 1), np.clip(expected, 0, 1)))
