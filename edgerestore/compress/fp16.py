"""FP16 graphs, strongly typed, with the operators that FP16 breaks kept in FP32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgerestore.errors import EdgeRestoreError

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

SENSITIVE_OPERATORS = ("Clip", "Div", "LayerNormalization", "ReduceL2", "ReduceMean", "Softmax")
"""Where FP16 fails: sums over hundreds of values, exponentials, and vectors made unit ones.

The squares of 4,096 values of 5 exceed FP16's largest number, and the 1e-12 that a norm is
clipped to before the division is zero in it, so that nothing would be divided by nothing.
"""

NOT_CONVERTED_INPUTS = {"Resize": (1, 2, 3), "Reshape": (1,), "Slice": (1, 2, 3, 4), "Pad": (1, 3)}
"""Inputs that hold sizes, scales or positions and not values of the image."""

LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Fp16:
    """Which operators stay in FP32."""

    keep_operators: tuple[str, ...] = SENSITIVE_OPERATORS
    keep_nodes: tuple[str, ...] = field(default=())
    """Names of further nodes."""


def fp16_from_fp32(model: onnx.ModelProto, config: Fp16 | None = None) -> onnx.ModelProto:
    """Returns a copy in FP16 with explicit casts; its input and output stay FP32.

    Every tensor has one declared type, so that a strongly typed TensorRT network follows.
    Quantize and dequantize pairs take FP16 scales. Raises EdgeRestoreError for a weight
    that FP16 cannot hold.
    """
    config = config or Fp16()
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    writer = _Writer(converted, config)
    writer.convert()
    del converted.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(converted, strict_mode=True, data_prop=True)


class _Writer:
    """Rewrites one graph node by node, casting each tensor at most once per type."""

    def __init__(self, model: onnx.ModelProto, config: Fp16) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        self._graph = model.graph
        self._config = config
        self._floats = _float_tensors(inferred)
        self._weights = {w.name: w for w in model.graph.initializer if w.name in self._floats}
        self._half_weights: dict[str, TensorProto] = {}
        self._type = {value.name: FLOAT for value in model.graph.input}
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def convert(self) -> None:
        for node in self._graph.node:
            wanted = FLOAT if self._stays(node) else HALF
            kept = NOT_CONVERTED_INPUTS.get(node.op_type, ())
            for slot, name in enumerate(node.input):
                if name in self._floats and slot not in kept:
                    node.input[slot] = self._as(name, wanted)
            self._nodes.append(node)
            for name in node.output:
                self._type[name] = _cast_to(node) or wanted
        for output in self._graph.output:
            self._restore(output.name)
        used = {name for node in self._nodes for name in node.input}
        weights = [w for w in self._graph.initializer if w.name in used]
        weights += self._half_weights.values()
        del self._graph.initializer[:]
        self._graph.initializer.extend(weights)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _stays(self, node: onnx.NodeProto) -> bool:
        return node.op_type in self._config.keep_operators or node.name in self._config.keep_nodes

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


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    graph = model.graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.value_info, *graph.input, *graph.output)
    names = {v.name for v in values if v.type.tensor_type.elem_type == FLOAT}
    return names | {w.name for w in graph.initializer if w.data_type == FLOAT}
