"""A network whose ranges are known: collected once, whatever it is then built for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from edgerestore.compress.quantization.correction import corrected
from edgerestore.compress.quantization.estimators import ESTIMATORS
from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.products import (
    Product,
    Reader,
    Source,
    matches,
    pairs_of,
    products_of,
    sources_of,
)
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.quantization.ranges import Seen, collect, mean_by_channel
from edgerestore.compress.quantization.smoothing import smoothed
from edgerestore.compress.quantization.steps import MOST, PAIR_MOST, Steps, steps_of
from edgerestore.compress.running import Crops, run_graph
from edgerestore.metrics import psnr_db
from edgerestore.recipe import Int8Rules

STRENGTHS = (0.5, 0.0)
"""Strengths of smoothing; the first is the paper's."""
ASYMMETRIC = Int8Rules()
"""What schemes are compared by: the rules that ask for least."""
LEAST_GAIN_DB = 0.5
"""Least gain of a trial's score for biases to be corrected. Less is luck on real pictures, where
any other rounding moves the worst one by some hundredths."""
COLLECTED, JUDGED = 36, 12
"""Crops that ranges are collected and schemes compared on."""


class Scheme(msgspec.Struct, frozen=True):
    """What calibration leaves open, and measurement decides for each network."""

    estimator: str
    """A key of ESTIMATORS."""
    smoothing: float
    """0 for none."""
    bias_correction: bool = False


SCHEMES = tuple(Scheme(name, strength) for strength in STRENGTHS for name in ESTIMATORS)


@dataclass(frozen=True, slots=True)
class Trial:
    """How near one scheme came to the FP32 network, in PSNR over the values of each crop."""

    scheme: Scheme
    mean_db: float
    worst_db: float

    @property
    def score(self) -> float:
        """A scheme that spares most crops and ruins one is no good, nor the reverse."""
        owed = LEAST_GAIN_DB if self.scheme.bias_correction else 0.0
        return self.mean_db + self.worst_db - owed


@dataclass(frozen=True, slots=True)
class Calibrated:
    """An FP32 graph with everything known that its INT8 forms need."""

    graph: onnx.ModelProto
    """Smoothed, where that was chosen: still the same function."""
    products: tuple[Product, ...]
    seen: dict[str, Seen]
    """What was seen of each tensor that is quantized."""
    means: dict[str, NDArray[np.float32]]
    """Mean of each channel of what a product with a weight reads."""
    crops: int
    """Crops that ranges were collected on: COLLECTED of those given, or all."""
    scheme: Scheme
    trials: tuple[Trial, ...]
    """What the scheme was chosen from, best first."""

    def plan(
        self, rules: Int8Rules, keep_float: Sequence[str] = (), only: str | None = None
    ) -> Plan:
        """Plan by the rules of one target, with further modules in float, or with all but one."""
        products = [
            product
            for product in self.products
            if product.kind in rules.kinds
            and not matches(product.node, keep_float)
            and only in (None, product.module)
        ]
        sources = sources_of(self.graph, products)
        factors = {
            sources[product.node, slot].tensor
            for product in products
            if product.weight is None
            for slot in range(len(product.activations))
        }
        pairs = pairs_of(sources)
        bounds, steps = {}, {}
        for tensor in pairs:
            seen = self.seen[tensor]
            factor = rules.symmetric_factors and tensor in factors and seen.low < 0
            symmetric = rules.symmetric or factor
            bounds[tensor] = ESTIMATORS[self.scheme.estimator](seen, symmetric)
            steps[tensor] = steps_of(bounds[tensor], symmetric=symmetric)
        if rules.int16_pairs:
            for tensor, most in self._most(products, sources, steps).items():
                symmetric = steps[tensor].signed
                steps[tensor] = steps_of(bounds[tensor], symmetric=symmetric, most=most)
        graph = self.graph
        if self.scheme.bias_correction:
            graph = corrected(graph, products, self.means, int16_pairs=rules.int16_pairs)
        return Plan(
            graph=graph,
            products=tuple(products),
            pairs=pairs,
            steps=steps,
            whole_products=rules.whole_products,
            int16_pairs=rules.int16_pairs,
        )

    def _most(
        self,
        products: Sequence[Product],
        sources: Mapping[Reader, Source],
        steps: Mapping[str, Steps],
    ) -> dict[str, int]:
        """The largest integers that second factors may have where pairs are added in 16 bits."""
        softmaxes = {n.output[0] for n in self.graph.graph.node if n.op_type == "Softmax"}
        most: dict[str, int] = {}
        for product in products:
            if product.weight is not None:
                continue
            first, second = (sources[product.node, slot].tensor for slot in range(2))
            largest = 2.0 * 255
            if first in softmaxes:
                # Two of them sum up to 1. Signed integers are multiplied with 128 added.
                shift = 2 * 128 if steps[first].signed else 0
                largest = min(largest, 1 / steps[first].scale + 1 + shift)
            most[second] = min(int(PAIR_MOST / largest), most.get(second, MOST))
        return most


def calibrate(
    graph: onnx.ModelProto,
    crops: Crops,
    keep_float: Sequence[str],
    report: Callable[[str], None] = lambda stage: None,
) -> Calibrated:
    """Collects ranges, and chooses the scheme that loses least on the crops.

    ``graph`` is an FP32 graph of one tile, ``crops`` are N x 3 x tile x tile in [0, 1], and
    ``keep_float`` patterns over module names. Schemes are compared by running their quantize
    and dequantize pairs in ONNX Runtime against the FP32 graph.
    """
    made = {}
    for strength in STRENGTHS:
        report(f"collecting ranges{f', smoothed by {strength}' if strength else ''}")
        made[strength] = collected(graph, crops, keep_float, Scheme(SCHEMES[0].estimator, strength))
    judged = _telling(made[0.0].seen, _spread(crops, COLLECTED))
    expected = run_graph(graph, judged)
    found: list[tuple[Trial, Calibrated]] = []
    for scheme in SCHEMES:
        report(f"trying ranges by {scheme.estimator}")
        trial = dataclasses.replace(made[scheme.smoothing], scheme=scheme)
        found.append((_tried(trial, judged, expected), trial))
    report("trying corrected biases")
    best = max(found, key=lambda pair: pair[0].score)[1]
    scheme = msgspec.structs.replace(best.scheme, bias_correction=True)
    trial = dataclasses.replace(best, scheme=scheme)
    found.append((_tried(trial, judged, expected), trial))
    found.sort(key=lambda pair: -pair[0].score)
    trials = tuple(trial for trial, _ in found)
    return dataclasses.replace(found[0][1], trials=trials)


def collected(
    graph: onnx.ModelProto, crops: Crops, keep_float: Sequence[str], scheme: Scheme
) -> Calibrated:
    """Collects ranges for one scheme, without trying others."""
    crops = _spread(crops, COLLECTED)
    even = smoothed(graph, keep_float, crops, scheme.smoothing) if scheme.smoothing else graph
    products = tuple(products_of(even, keep_float))
    tensors = pairs_of(sources_of(even, products))
    seen = collect(even, tensors, crops)
    axes = {p.activations[0]: p.channel_axis for p in products if p.weight is not None}
    means = mean_by_channel(even, axes, crops)
    return Calibrated(even, products, seen, means, len(crops), scheme, ())


def _spread(crops: Crops, count: int) -> Crops:
    spread: Crops = crops[np.linspace(0, len(crops) - 1, min(count, len(crops))).astype(int)]
    return spread


def _telling(seen: dict[str, Seen], crops: Crops) -> Crops:
    """The crops in which the most tensors reach their extremes: what cutting ranges ruins."""
    extremes = np.zeros(len(crops), int)
    for tensor in seen.values():
        extremes += (tensor.counts[:, 0] > 0).astype(int) + (tensor.counts[:, -1] > 0)
    most = np.argsort(-extremes, kind="stable")[:JUDGED]
    telling: Crops = crops[np.sort(most)]
    return telling


def _tried(made: Calibrated, crops: Crops, expected: Crops) -> Trial:
    result = run_graph(qdq_from_plan(made.plan(ASYMMETRIC)), crops)
    found = psnr_db(result, expected, axis=(1, 2, 3))
    return Trial(made.scheme, float(found.mean()), float(found.min()))
