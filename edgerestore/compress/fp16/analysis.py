"""Which operators FP16 breaks, judged by what they compute on calibration crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgerestore.compress.fp16.graphs import (
    FLOAT,
    Shapes,
    attribute,
    converted_inputs,
    inferred,
    shapes_of,
    tensors_of,
)
from edgerestore.compress.fp16.ranges import (
    LARGEST_HALF,
    SMALLEST_NORMAL,
    Range,
    Ranges,
    range_of,
    ranges_on,
)
from edgerestore.compress.fp16.sums import terms_of
from edgerestore.export.onnx import INPUT, OUTPUT

HEADROOM = 4.0
"""How many times larger than on the calibration crops values may become: two bits."""

CROPS = 8
"""Calibration crops that are run, spread over those given; a black and a white one besides."""

LONGEST_SUM = 512
"""Terms. A running sum of equal values stands still at 2,048 of them in FP16's eleven bits."""

SMALLEST_SCALE = 2.0**-16
"""Smallest scale of a quantizer: FP16 keeps nine bits of it, one more than what is quantized."""

INVERTED_INPUTS = {"Div": 1, "Log": 0, "Reciprocal": 0, "Sqrt": 0}
"""Inputs whose small values make large results, or large slopes."""

GUARDS = ("Add", "Clip", "Max")
"""Operators by which networks keep a divisor from 0."""

READS_IMAGE = "it reads the image, whose grey levels are no numbers of FP16"
"""Why readers of the image stay: their errors are the same over whole areas. DRT-S loses 0.0033 dB
with its first convolution in FP16, 0.008 on one image, and 0.000 and 0.003 with it in FP32."""

WRITES_IMAGE = "it writes the image, whose grey levels are no numbers of FP16"
"""Why what makes the image stays: the last convolution, and what adds the image again. IPT-S
against noise of 50 loses 0.012 dB on one picture with both in FP16, 0.007 with the convolution,
0.001 with neither. The image leaves in FP32 anyway."""

SUMS = ("Add", "Sub")
MOVERS = ("DepthToSpace", "Reshape", "Transpose")
"""Operators that put values elsewhere and leave them as they are."""

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What stays in FP32, and what that was found on."""

    kept: dict[str, str]
    """Why each node stays, by its name, in the graph's order."""
    operators: dict[str, str]
    """Kinds of the nodes that stay, by name."""
    nodes: int
    """Nodes of the whole graph."""
    crops: int

    def settings(self) -> dict[str, Any]:
        """What a bundle's manifest says of this pass."""
        return {
            "crops": self.crops,
            "headroom": HEADROOM,
            "nodes": self.nodes,
            "kept": self.kept,
            "summary": self.summary(),
        }

    def summary(self) -> list[str]:
        """One line for each kind of operator that stays, with the first one's reason.

        What reads the image is one kind, and what writes it another.
        """
        kinds: dict[str, list[str]] = {}
        for name, kind in self.operators.items():
            ends = (end for end in (READS_IMAGE, WRITES_IMAGE) if self.kept[name].startswith(end))
            kinds.setdefault(next(ends, kind), []).append(name)
        return [
            f"{len(names)} {', '.join(dict.fromkeys(self.operators[name] for name in names))}: "
            f"{names[0]}, {self.kept[names[0]]}"
            for names in sorted(kinds.values(), key=len, reverse=True)
        ]


def analyse(model: onnx.ModelProto, crops: NDArray[np.float32]) -> Analysis:
    """Runs an FP32 graph, quantized or not, and names the nodes that need FP32.

    ``crops`` are N x 3 x tile x tile in [0, 1]. A node stays where FP16 cannot hold one of
    its inputs, weights, results or internal sums: too large with :data:`HEADROOM`, infinite or
    NaN, so small throughout that bits are lost, too near 0 where it is divided by, or a sum
    of so many terms that an FP16 sum would stand still. So do readers of the image, and a sum that
    writes it. Nodes' names must be unique, as :func:`edgerestore.export.onnx.onnx_from_module`
    makes them.
    """
    full = inferred(model)
    seen = _with_flat_ones(crops)
    judge, places = _Judge(full, ranges_on(full, seen, HEADROOM)), _places(full)
    reasons = ((node, next(judge.reasons(node), None)) for node in full.graph.node)
    kept = [(node, reason) for node, reason in reasons if reason]
    return Analysis(
        kept={node.name: reason + places[node.name] for node, reason in kept},
        operators={node.name: node.op_type for node, _ in kept},
        nodes=len(full.graph.node),
        crops=len(seen),
    )


def _with_flat_ones(crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some crops, and black and white, where norms vanish and sums are largest."""
    chosen = crops[:: -(-len(crops) // CROPS)]
    return np.concatenate([chosen, np.zeros_like(crops[:1]), np.ones_like(crops[:1])])


def _places(model: onnx.ModelProto) -> dict[str, str]:
    """Whose result a node computes with, for nodes that are named after no module."""
    makers: dict[str, str] = {}
    places = {}
    for node in model.graph.node:
        module = node.name.partition("#")[0]
        anonymous = module == node.op_type.lower()
        if anonymous:
            module = next((makers[name] for name in node.input if makers.get(name)), "")
        makers |= dict.fromkeys(node.output, module)
        places[node.name] = f" (behind {module})" if anonymous and module else ""
    return places


def _writers(model: onnx.ModelProto) -> set[str]:
    """Nodes whose results reach the image as they are, or as terms of its last sum.

    A convolution of quantized values is none of them: its kernel reads no FP32.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    waiting, summed = [OUTPUT], False
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        if node.op_type in MOVERS:
            waiting.append(node.input[0])
        elif node.op_type in SUMS and not summed:
            waiting, summed = [*waiting, *node.input], True
        elif node.op_type != "Conv" or _is_quantized(makers.get(node.input[0])):
            continue
        found.add(node.name)
    return found


def _is_quantized(maker: onnx.NodeProto | None) -> bool:
    return maker is not None and maker.op_type == "DequantizeLinear"


class _Judge:
    """Holds nodes against FP16's range."""

    def __init__(self, model: onnx.ModelProto, ranges: Ranges) -> None:
        self._floats = tensors_of(model, FLOAT)
        self._shapes: Shapes = shapes_of(model)
        self._sums = ranges.sums
        self._writers = _writers(model)
        self._weights = {
            weight.name: range_of(numpy_helper.to_array(weight))
            for weight in model.graph.initializer
            if weight.name in self._floats
        }
        self._tensors = ranges.tensors | {
            node.output[0]: self._guarded(node, ranges.tensors[node.output[0]])
            for node in model.graph.node
            if node.op_type in GUARDS and node.output[0] in ranges.tensors
        }

    def reasons(self, node: onnx.NodeProto) -> Iterator[str]:
        """Why the node cannot compute in FP16, gravest first."""
        inputs = converted_inputs(node, self._floats)
        outputs = [name for name in node.output if name in self._tensors]
        yield from self._too_large(node, [*inputs.values(), *outputs])
        if node.op_type in QUANTIZERS:
            yield from self._coarse(node)
        else:
            yield from self._too_small([*inputs.values(), *outputs])
        yield from self._inverted(node, inputs)
        terms = terms_of(node, self._shapes)
        # A layer normalisation's own statistics are FP32's by the standard (stash_type).
        if terms > LONGEST_SUM and node.op_type != "LayerNormalization":
            yield f"a sum of {terms} terms"
        if INPUT in inputs.values():
            yield READS_IMAGE
        if node.name in self._writers:
            yield WRITES_IMAGE

    def _range(self, name: str) -> tuple[Range, float]:
        """Range of a tensor, with the headroom that it needs: weights do not change."""
        if name in self._weights:
            return self._weights[name], 1.0
        return self._tensors[name], HEADROOM

    def _guarded(self, node: onnx.NodeProto, measured: Range) -> Range:
        """Measured range, with the constant that keeps a result from 0 as its smallest value."""
        guards = [self._weights[name].largest for name in node.input if name in self._weights]
        return replace(measured, smallest=min([measured.smallest, *filter(None, guards)]))

    def _too_large(self, node: onnx.NodeProto, names: list[str]) -> Iterator[str]:
        for name in names:
            found, headroom = self._range(name)
            if found.overflowing:
                yield _too_large(f"'{name}'", found, headroom)
        inner = self._sums.get(node.name)
        if inner and inner.overflowing:
            squares = node.op_type in ("LayerNormalization", "ReduceL2")
            yield _too_large(f"the sum of its {'squares' if squares else 'terms'}", inner, HEADROOM)

    def _too_small(self, names: list[str]) -> Iterator[str]:
        for name in names:
            found, headroom = self._range(name)
            if 0 < found.largest < SMALLEST_NORMAL * headroom:
                lost = f"{found.underflowing:.0%} of it below FP16's full precision"
                yield f"'{name}' is {found.largest:.2g} at most, {lost}"

    def _coarse(self, node: onnx.NodeProto) -> Iterator[str]:
        scale = self._weights.get(node.input[1])
        if scale and scale.smallest < SMALLEST_SCALE:
            yield f"its smallest scale is {scale.smallest:.2g}, where FP16 has few bits"

    def _inverted(self, node: onnx.NodeProto, inputs: dict[int, str]) -> Iterator[str]:
        least = SMALLEST_NORMAL * HEADROOM
        name = inputs.get(INVERTED_INPUTS.get(node.op_type, -1))
        if name in self._tensors and self._tensors[name].smallest < least:
            yield f"'{name}', which it inverts, comes down to {self._tensors[name].smallest:.2g}"
        inner = self._sums.get(node.name)
        if inner and node.op_type == "ReduceL2" and inner.smallest < least:
            yield f"the sum of its squares comes down to {inner.smallest:.2g}"
        if inner and node.op_type == "LayerNormalization":
            variance = inner.smallest / terms_of(node, self._shapes)
            if variance + attribute(node, "epsilon", 1e-5) < SMALLEST_NORMAL:
                yield f"the variance that it divides by comes down to {variance:.2g}"


def _too_large(what: str, found: Range, headroom: float) -> str:
    if not LARGEST_HALF / headroom < found.largest < inf:
        return f"{what} holds NaN or infinity in FP32 already"
    share = f"{found.overflowing:.2%} of it beyond {LARGEST_HALF / headroom:.0f}"
    return f"{what} reaches {found.largest:.3g}, {share}; FP16 ends at {LARGEST_HALF:.0f}"
