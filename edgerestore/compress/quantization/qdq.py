"""ONNX with explicit quantize and dequantize pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.steps import Steps, int8_weight


def qdq_from_plan(plan: Plan) -> onnx.ModelProto:
    """Puts a pair before everything that a quantized product reads.

    Every tensor has its own pair, so each call of a recursion its own range. A weight is stored
    once, in 8 bits, however many calls read it, and dequantized for each of them.
    """
    made = onnx.ModelProto()
    made.CopyFrom(plan.graph)
    graph = made.graph
    new = _Added()
    weights = {weight.name: weight for weight in graph.initializer}
    products = {product.node: product for product in plan.products}
    quantized = {
        (reader, slot): new.pair(tensor, plan.steps[tensor])
        for tensor, readers in plan.pairs.items()
        for reader, slot in readers
    }
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        for slot in range(len(node.input)):
            node.input[slot] = quantized.get((node.name, slot), node.input[slot])
        if node.name in products and products[node.name].weight is not None:
            name = node.input[1]
            values = numpy_helper.to_array(weights[name])
            node.input[1] = new.weight(name, values, products[node.name].output_axis)
        graph.node.extend(new.before(node))
        graph.node.append(node)
    read = {name for node in graph.node for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *new.constants])
    onnx.checker.check_model(made, full_check=True)
    return made


class _Added:
    """Nodes and constants that quantization adds, each tensor's and each weight's once."""

    def __init__(self) -> None:
        self.constants: list[onnx.TensorProto] = []
        self._pairs: dict[str, list[onnx.NodeProto]] = {}
        """By the name of the dequantized tensor."""
        self._calls: Counter[str] = Counter()

    def pair(self, tensor: str, steps: Steps) -> str:
        out = f"{tensor}.dequantized"
        if out not in self._pairs:
            integer = np.int8 if steps.signed else np.uint8
            scale, zero = f"{tensor}.scale", f"{tensor}.zero_point"
            self._constant(scale, np.array(steps.scale, np.float32))
            self._constant(zero, np.array(steps.zero_point, integer))
            self._pairs[out] = [
                _node("QuantizeLinear", [tensor, scale, zero], f"{tensor}.quantized"),
                _node("DequantizeLinear", [f"{tensor}.quantized", scale, zero], out),
            ]
        return out

    def weight(self, name: str, values: np.ndarray, axis: int) -> str:
        integers, scale, zero = f"{name}.int8", f"{name}.scale", f"{name}.zero_point"
        if not self._calls[name]:
            weight = int8_weight(values, axis)
            self._constant(integers, weight.values)
            self._constant(scale, weight.scales)
            self._constant(zero, np.zeros(len(weight.scales), np.int8))
        self._calls[name] += 1
        out = f"{name}.dequantized.{self._calls[name]}"
        node = _node("DequantizeLinear", [integers, scale, zero], out, axis=axis)
        self._pairs[out] = [node]
        return out

    def before(self, reader: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What must stand before a node and does not yet."""
        return [node for name in reader.input for node in self._pairs.pop(name, [])]

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.constants.append(numpy_helper.from_array(values, name))


def _node(kind: str, inputs: list[str], out: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [out], name=out, **attributes)
