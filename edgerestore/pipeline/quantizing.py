"""INT8 in one build: ranges collected at most once, graphs emitted for each target's rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx

from edgerestore.bundle import PassFacts
from edgerestore.compress.quantization.calibrated import Calibrated, calibrate
from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.products import KINDS
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.running import Crops
from edgerestore.recipe import Int8Rules


@dataclass(slots=True)
class Calibration:
    """What ranges are collected on; that takes a while, and is done when first asked for."""

    graph: onnx.ModelProto
    """The FP32 deployable form."""
    crops: Crops
    """N x 3 x tile x tile in [0, 1]."""
    sha256: str
    """Of the calibration set."""
    keep_float: tuple[str, ...]
    report: Callable[[str], None] = lambda stage: None
    _done: Calibrated | None = None

    @property
    def done(self) -> Calibrated:
        """With ranges and the scheme that was chosen."""
        if self._done is None:
            self._done = calibrate(self.graph, self.crops, self.keep_float, self.report)
        return self._done


@dataclass(slots=True)
class Quantizer:
    """One calibration and some modules that stay in float beyond its own."""

    calibration: Calibration
    also_float: tuple[str, ...] = ()
    _plans: dict[Int8Rules, Plan] = field(default_factory=dict)
    _graphs: dict[Int8Rules, onnx.ModelProto] = field(default_factory=dict)

    @property
    def crops(self) -> Crops:
        """What ranges are collected on."""
        return self.calibration.crops

    @property
    def keep_float(self) -> tuple[str, ...]:
        """Patterns over the names of all modules that stay in float."""
        return (*self.calibration.keep_float, *self.also_float)

    def keeping(self, modules: tuple[str, ...]) -> Quantizer:
        """The same calibration with further modules in float."""
        return Quantizer(self.calibration, (*self.also_float, *modules))

    def plan(self, rules: Int8Rules) -> Plan:
        """What is quantized for a target, and in which steps; worked out once."""
        if rules not in self._plans:
            self._plans[rules] = self.calibration.done.plan(rules, self.also_float)
        return self._plans[rules]

    def qdq(self, rules: Int8Rules) -> onnx.ModelProto:
        """The graph with quantize and dequantize pairs, made once."""
        if rules not in self._graphs:
            self._graphs[rules] = qdq_from_plan(self.plan(rules))
        return self._graphs[rules]

    def facts(self, rules: Int8Rules) -> PassFacts:
        """What a bundle's manifest says of this pass."""
        scheme, plan = self.calibration.done.scheme, self.plan(rules)
        settings = {
            "products": len(plan.products),
            "products_in_all": sum(node.op_type in KINDS for node in plan.graph.graph.node),
            "keep_float": list(self.keep_float),
            "symmetric": rules.symmetric,
            "int16_pairs": rules.int16_pairs,
            "range_estimator": scheme.estimator,
            "smoothing": scheme.smoothing,
            "bias_correction": scheme.bias_correction,
            "crops": self.calibration.done.crops,
        }
        return PassFacts(name="int8", settings=settings)

    def ranges(self, rules: Int8Rules) -> dict[str, Any]:
        """For people and tools: what calibration saw, what was made of it, and why."""
        done, plan = self.calibration.done, self.plan(rules)
        return {
            "calibration_sha256": self.calibration.sha256,
            "crops": done.crops,
            "range_estimator": done.scheme.estimator,
            "smoothing": done.scheme.smoothing,
            "bias_correction": done.scheme.bias_correction,
            "schemes_tried": [
                {
                    "range_estimator": trial.scheme.estimator,
                    "smoothing": trial.scheme.smoothing,
                    "bias_correction": trial.scheme.bias_correction,
                    "psnr_to_fp32_db": {
                        "mean": _short(trial.mean_db),
                        "worst_crop": _short(trial.worst_db),
                    },
                }
                for trial in done.trials
            ],
            "tensors": {
                tensor: {
                    "seen": [_short(done.seen[tensor].low), _short(done.seen[tensor].high)],
                    "held": [_short(bound) for bound in steps.bounds],
                    "scale": _short(steps.scale),
                    "zero_point": steps.zero_point,
                    "integers": "int8" if steps.signed else "uint8",
                    "read_by": sorted({reader for reader, _ in plan.pairs[tensor]}),
                }
                for tensor, steps in plan.steps.items()
            },
        }


def _short(value: float) -> float:
    """Six digits: float32 has hardly more."""
    return float(f"{value:.6g}")
