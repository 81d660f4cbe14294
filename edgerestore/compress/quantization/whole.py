"""Which products ONNX Runtime takes whole: tokens in integers times a weight, plus a bias."""

from __future__ import annotations

from collections import defaultdict

import onnx

from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.steps import Steps

MICROSOFT = "com.microsoft"
"""Domain of the operators that only ONNX Runtime has."""


class WholeProducts:
    """What of a plan's graph goes into whole products; nothing where the plan wants pairs."""

    def __init__(self, plan: Plan) -> None:
        self.tokens: dict[str, Steps] = {}
        """Steps of what a product reads, by the product's node."""
        self.bias_of: dict[str, tuple[str, str]] = {}
        """Bias, and the tensor that holds the sum, by the product's node."""
        self.biases: set[str] = set()
        """Additions that are no nodes any more."""
        self.passed_by: set[str] = set()
        """What would else read a pair: such products, or what moves floats to them."""
        if not plan.whole_products:
            return
        graph = plan.graph.graph
        made_by = {name: node for node in graph.node for name in node.output}
        readers = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                readers[name].append(node)
        vectors = {w.name for w in graph.initializer if len(w.dims) == 1}
        nodes = {node.name: node for node in graph.node}
        for product in plan.products:
            if product.kind != "MatMul" or product.weight is None:
                continue
            reader, tensor = product.node, product.activations[0]
            while (reader, 0) not in plan.pairs.get(tensor, ()):
                reader, tensor = made_by[tensor].name, made_by[tensor].input[0]
            self.passed_by.add(reader)
            self.tokens[product.node] = plan.steps[tensor]
            node = nodes[product.node]
            self._take_bias(node, readers[node.output[0]], vectors)

    def _take_bias(
        self, node: onnx.NodeProto, readers: list[onnx.NodeProto], vectors: set[str]
    ) -> None:
        if len(readers) != 1 or readers[0].op_type != "Add":
            return
        (addition,) = readers
        bias = [name for name in addition.input if name in vectors]
        if bias:
            self.bias_of[node.name] = bias[0], addition.output[0]
            self.biases.add(addition.name)
