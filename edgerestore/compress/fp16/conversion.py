"""FP16 graphs, strongly typed, with chosen operators kept in FP32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgerestore.compress.fp16.graphs import FLOAT, HALF, converted_inputs, inferred, tensors_of
from edgerestore.compress.fp16.ranges import LARGEST_HALF
from edgerestore.errors import EdgeRestoreError
from edgerestore.export.onnx import drop_unread


def fp16_from_fp32(model: onnx.ModelProto, keep_nodes: Collection[str] = ()) -> onnx.ModelProto:
    """Returns a copy in FP16 with explicit casts; its input and output stay FP32.

    ``keep_nodes`` are names of nodes that stay in FP32, as :func:`analyse` finds them. Every
    tensor has one declared type, so that a strongly typed TensorRT network follows. Quantize
    and dequantize pairs take FP16 scales. Raises EdgeRestoreError for a weight that FP16
    cannot hold.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    _Writer(converted, keep_nodes).convert()
    del converted.graph.value_info[:]
    return inferred(converted)


class _Writer:
    """Rewrites one graph node by node, casting each tensor at most once per type."""

    def __init__(self, model: onnx.ModelProto, keep_nodes: Collection[str]) -> None:
        self._graph = model.graph
        self._keep = frozenset(keep_nodes)
        self._floats = tensors_of(inferred(model), FLOAT)
        self._weights = {w.name: w for w in model.graph.initializer if w.name in self._floats}
        self._half_weights: dict[str, TensorProto] = {}
        self._type = {value.name: FLOAT for value in model.graph.input}
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def convert(self) -> None:
        for node in self._graph.node:
            wanted = FLOAT if node.name in self._keep else HALF
            for slot, name in converted_inputs(node, self._floats).items():
                node.input[slot] = self._as(name, wanted)
            self._nodes.append(node)
            for name in node.output:
                self._type[name] = _cast_to(node) or wanted
        for output in self._graph.output:
            self._restore(output.name)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        drop_unread(self._graph)
        self._graph.initializer.extend(self._half_weights.values())

    def _as(self, name: str, wanted: int) -> str:
        if name in self._weights:
            return name if wanted == FLOAT else self._half_weight(name)
        if self._type.get(name, FLOAT) == wanted:
            return name
        if (name, wanted) not in self._casts:
            cast = f"{name}_{'half' if wanted == HALF else 'float'}"
            self._nodes.append(helper.make_node("Cast", [name], [cast], name=cast, to=wanted))
            self._casts[name, wanted] = cast
        return self._casts[name, wanted]

    def _half_weight(self, name: str) -> str:
        half = f"{name}_half"
        if half not in self._half_weights:
            values = numpy_helper.to_array(self._weights[name])
            if values.size and float(np.abs(values).max()) > LARGEST_HALF:
                raise EdgeRestoreError(f"'{name}' holds values that FP16 cannot: keep it in FP32")
            self._half_weights[half] = numpy_helper.from_array(values.astype(np.float16), half)
        return half

    def _restore(self, output: str) -> None:
        """Casts the graph's output back under its own name."""
        if self._type[output] == FLOAT:
            return
        inner = f"{output}_half"
        for node in self._nodes:
            for names in (node.input, node.output):
                for slot, name in enumerate(names):
                    if name == output:
                        names[slot] = inner
        self._nodes.append(helper.make_node("Cast", [inner], [output], name=output, to=FLOAT))


def _cast_to(node: onnx.NodeProto) -> int:
    """The type that a node of the original graph casts to; 0 for any other node."""
    return node.attribute[0].i if node.op_type == "Cast" else 0
