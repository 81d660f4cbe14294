"""An FP16 graph as a machine without FP16 units computes it faithfully."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from edgerestore.compress.fp16.graphs import FLOAT, HALF, inferred, tensors_of


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that computes in FP32 and rounds every FP16 tensor, as it is written.

    ONNX Runtime on a CPU computes FP16 graphs in FP32 from one explicit cast to the next: in
    it nothing overflows. Here each operator's result becomes infinite where FP16's does. What
    happens within an operator is FP32's, as in units that add up products in FP32. A graph
    without FP16 is returned as it is.
    """
    halves = tensors_of(inferred(model), HALF)
    if not halves:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for weight in graph.initializer:
        if weight.data_type == HALF:
            values = numpy_helper.to_array(weight).astype("float32")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    nodes = list(graph.node)
    del graph.node[:], graph.value_info[:]
    for node in nodes:
        if node.op_type == "Cast" and node.input[0] in halves:
            node.CopyFrom(_from_half(node))
        written = [slot for slot, name in enumerate(node.output) if name in halves]
        exact = {f"{node.output[slot]}/exact": node.output[slot] for slot in written}
        for slot, name in zip(written, exact, strict=True):
            node.output[slot] = name
        if node.op_type == "Cast" and exact:
            node.attribute[0].i = FLOAT
        graph.node.append(node)
        for name, value in exact.items():
            narrow = f"{value}/half"
            for given, taken, kind in ((name, narrow, HALF), (narrow, value, FLOAT)):
                cast = helper.make_node("Cast", [given], [taken], name=f"{taken}/cast", to=kind)
                graph.node.append(cast)
    return copy


def _from_half(cast: onnx.NodeProto) -> onnx.NodeProto:
    """A cast of what was FP16 and now is FP32 already."""
    if cast.attribute[0].i == FLOAT:
        return helper.make_node("Identity", cast.input, cast.output, name=cast.name)
    return cast
