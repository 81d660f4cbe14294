"""ONNX with explicit quantize and dequantize pairs, or with ONNX Runtime's whole products."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.steps import Steps, int8_weight
from edgerestore.compress.quantization.whole import MICROSOFT, WholeProducts
from edgerestore.export.onnx import drop_unread


def qdq_from_plan(plan: Plan) -> onnx.ModelProto:
    """Puts a pair before everything that a quantized product reads.

    Every tensor has its own pair, so each call of a recursion its own range. A weight is stored
    once, in 8 bits, however many calls read it, and dequantized for each of them. Where the
    plan asks for whole products, tokens times a weight are none of this: one operator reads the
    quantized tokens and the weight, and adds its bias.
    """
    made = onnx.ModelProto()
    made.CopyFrom(plan.graph)
    graph = made.graph
    new = _Added(int16_pairs=plan.int16_pairs)
    weights = {weight.name: weight for weight in graph.initializer}
    products = {product.node: product for product in plan.products}
    whole = WholeProducts(plan)
    quantized = {
        (reader, slot): new.pair(tensor, plan.steps[tensor])
        for tensor, readers in plan.pairs.items()
        for reader, slot in readers
        if reader not in whole.passed_by
    }
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.name in whole.biases:
            continue
        if node.name in whole.tokens:
            graph.node.extend(new.whole(node, whole, numpy_helper.to_array(weights[node.input[1]])))
            continue
        for slot in range(len(node.input)):
            node.input[slot] = quantized.get((node.name, slot), node.input[slot])
        if node.name in products and products[node.name].weight is not None:
            name = node.input[1]
            values = numpy_helper.to_array(weights[name])
            node.input[1] = new.weight(name, values, products[node.name].output_axis)
        graph.node.extend(new.before(node))
        graph.node.append(node)
    drop_unread(graph)
    graph.initializer.extend(new.constants)
    if whole.tokens:
        made.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.checker.check_model(made, full_check=True)
    return made


class _Added:
    """Nodes and constants that quantization adds, each tensor's and each weight's once."""

    def __init__(self, *, int16_pairs: bool) -> None:
        self._int16_pairs = int16_pairs
        self.constants: list[onnx.TensorProto] = []
        self._pairs: dict[str, list[onnx.NodeProto]] = {}
        """Pairs of nodes, by the name of the dequantized tensor."""
        self._calls: Counter[str] = Counter()
        self._named: set[str] = set()
        self._integers: set[str] = set()
        """Quantized tokens that stand in the graph already."""

    def pair(self, tensor: str, steps: Steps) -> str:
        out = f"{tensor}.dequantized"
        if out not in self._pairs:
            scale, zero = self._steps(tensor, steps)
            self._pairs[out] = [
                _node("QuantizeLinear", [tensor, scale, zero], f"{tensor}.quantized"),
                _node("DequantizeLinear", [f"{tensor}.quantized", scale, zero], out),
            ]
        return out

    def whole(
        self, node: onnx.NodeProto, whole: WholeProducts, weight: np.ndarray
    ) -> list[onnx.NodeProto]:
        """The operator in place of a product and its bias, and before it what it reads."""
        tokens, name = node.input
        integers = f"{tokens}.integers"
        before = []
        scale, zero = self._steps(tokens, whole.tokens[node.name])
        if integers not in self._integers:
            self._integers.add(integers)
            before = [_node("QuantizeLinear", [tokens, scale, zero], integers)]
        held, scales, zeros = self._stored(name, weight, axis=1)
        bias, out = whole.bias_of.get(node.name, ("", node.output[0]))
        inputs = [integers, held, scale, scales, zero, zeros, *([bias] if bias else [])]
        product = helper.make_node(
            "MatMulIntegerToFloat", inputs, [out], name=node.name, domain=MICROSOFT
        )
        return [*before, product]

    def weight(self, name: str, values: np.ndarray, axis: int) -> str:
        integers, scale, zero = self._stored(name, values, axis)
        self._calls[name] += 1
        out = f"{name}.dequantized.{self._calls[name]}"
        node = _node("DequantizeLinear", [integers, scale, zero], out, axis=axis)
        self._pairs[out] = [node]
        return out

    def before(self, reader: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What must stand before a node and does not yet."""
        return [node for name in reader.input for node in self._pairs.pop(name, [])]

    def _stored(self, name: str, values: np.ndarray, axis: int) -> tuple[str, str, str]:
        """A weight's integers, steps and zero points, which all its readers share."""
        weight = int8_weight(values, axis, int16_pairs=self._int16_pairs)
        names = f"{name}.int8", f"{name}.scale", f"{name}.zero_point"
        self._constant(names[0], weight.values)
        self._constant(names[1], weight.scales)
        self._constant(names[2], np.zeros(len(weight.scales), np.int8))
        return names

    def _steps(self, tensor: str, steps: Steps) -> tuple[str, str]:
        """Scale and zero point of a tensor."""
        integer = np.int8 if steps.signed else np.uint8
        scale, zero = f"{tensor}.scale", f"{tensor}.zero_point"
        self._constant(scale, np.array(steps.scale, np.float32))
        self._constant(zero, np.array(steps.zero_point, integer))
        return scale, zero

    def _constant(self, name: str, values: np.ndarray) -> None:
        if name not in self._named:
            self._named.add(name)
            self.constants.append(numpy_helper.from_array(values, name))


def _node(kind: str, inputs: list[str], out: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [out], name=out, **attributes)
