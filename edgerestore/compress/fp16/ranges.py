"""How large and how small the values of a graph become on data, tensor by tensor.

Statistics are nodes of the graph that is run, so that no tensor ever leaves it: memory stays
what the network takes, whatever the number of tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.fp16.graphs import FLOAT, shapes_of, tensors_of
from edgerestore.compress.fp16.sums import sum_nodes
from edgerestore.compress.running import open_graph
from edgerestore.export.onnx import INPUT

LARGEST_HALF = float(np.finfo(np.float16).max)
SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)
"""Below it, FP16 loses bits: a value of 6e-6 has seven left, one below 3e-8 none."""


@dataclass(frozen=True, slots=True)
class Range:
    """Magnitudes of one tensor, or of one internal sum, over all crops."""

    largest: float
    """Largest magnitude of those that are numbers: ONNX Runtime passes NaN by."""
    smallest: float
    overflowing: float
    """Share of values that FP16 cannot hold, the headroom included, NaN among them."""
    underflowing: float
    """Share of values that are not 0 and below FP16's smallest normal number."""

    def joined(self, other: Range) -> Range:
        """Range over the crops of both, which are as many."""
        return Range(
            max(self.largest, other.largest),
            min(self.smallest, other.smallest),
            max(self.overflowing, other.overflowing),
            max(self.underflowing, other.underflowing),
        )


@dataclass(frozen=True, slots=True)
class Ranges:
    """What a network's values were on some crops."""

    tensors: dict[str, Range]
    """Ranges by tensor; weights are not among them."""
    sums: dict[str, Range]
    """Ranges by node of the sums of magnitudes, or of squares, that its result is computed from."""


def ranges_on(model: onnx.ModelProto, crops: NDArray[np.float32], headroom: float) -> Ranges:
    """Runs an FP32 graph, inferred, on crops of 3 x H x W, one by one in ONNX Runtime.

    ``headroom`` is how many times larger than any value seen FP16's largest must be.
    """
    measuring = _Measuring(model, LARGEST_HALF / headroom)
    # Fusions would skip tensors, and thousands of statistics take long to optimise.
    session = open_graph(measuring.model, "ORT_DISABLE_ALL")
    tensors: dict[str, Range] = {}
    sums: dict[str, Range] = {}
    for crop in crops:
        found = dict(
            zip(measuring.outputs, session.run(measuring.outputs, {INPUT: crop[None]}), strict=True)
        )
        _join(tensors, measuring.tensors, found)
        _join(sums, measuring.sums, found)
    return Ranges(tensors, sums)


def range_of(values: NDArray[np.float32]) -> Range:
    """Range of a weight, which is what it is: no headroom."""
    sizes = np.abs(values)
    small = (sizes > 0) & (sizes < SMALLEST_NORMAL)
    return Range(
        float(sizes.max(initial=0)),
        float(sizes.min(initial=np.inf)),
        1 - float(np.mean(sizes <= LARGEST_HALF)) if values.size else 0.0,
        float(small.mean()) if values.size else 0.0,
    )


Statistics = tuple[str, str, str, str, str, str]
"""Outputs: largest, smallest, 1 if all are in range, share in range, below normal and not 0."""


class _Measuring:
    """A copy of a graph whose only outputs are statistics of its tensors."""

    def __init__(self, model: onnx.ModelProto, limit: float) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.tensors: dict[str, Statistics] = {}
        self.sums: dict[str, Statistics] = {}
        self.outputs: list[str] = []
        graph = self.model.graph
        for name, value in (("limit", limit), ("normal", SMALLEST_NORMAL)):
            constant = numpy_helper.from_array(np.array(value, np.float32), _own(name))
            graph.initializer.append(constant)
        floats, shapes = tensors_of(model, FLOAT), shapes_of(model)
        weights = {weight.name for weight in graph.initializer}
        nodes = list(graph.node)
        del graph.output[:], graph.value_info[:]
        for name in (graph.input[0].name, *(name for node in nodes for name in node.output)):
            if name in floats and name not in weights:
                self.tensors[name] = self._statistics(name)
        for node in nodes:
            added, result = sum_nodes(node, floats, shapes, _own)
            graph.node.extend(added)
            if result:
                self.sums[node.name] = self._statistics(result)

    def _statistics(self, tensor: str) -> Statistics:
        size = self._node("Abs", tensor)
        within = self._node("Cast", self._node("LessOrEqual", size, _own("limit")), to=FLOAT)
        below = self._node("Cast", self._node("Less", size, _own("normal")), to=FLOAT)
        return (
            self._output(self._node("ReduceMax", size)),
            self._output(self._node("ReduceMin", size)),
            self._output(self._node("ReduceMin", within)),
            self._output(self._node("ReduceMean", within)),
            self._output(self._node("ReduceMean", below)),
            self._output(self._node("ReduceMean", self._node("Sign", size))),
        )

    def _node(self, operator: str, *inputs: str, **attributes: int) -> str:
        if operator.startswith("Reduce"):
            attributes["keepdims"] = 0
        result = _own(f"{len(self.model.graph.node)}")
        self.model.graph.node.append(helper.make_node(operator, inputs, [result], **attributes))
        return result

    def _output(self, name: str) -> str:
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [])
        self.model.graph.output.append(value)
        self.outputs.append(name)
        return name


def _own(name: str) -> str:
    return f"fp16-range/{name}"


def _join(
    ranges: dict[str, Range],
    statistics: dict[str, Statistics],
    found: dict[str, NDArray[np.float32]],
) -> None:
    for name, outputs in statistics.items():
        largest, smallest, whole, within, below, filled = (float(found[name]) for name in outputs)
        # A mean of many ones need not be 1.
        overflowing = 0.0 if whole else 1 - within
        measured = Range(largest, smallest, overflowing, max(0.0, below - (1 - filled)))
        ranges[name] = ranges[name].joined(measured) if name in ranges else measured
