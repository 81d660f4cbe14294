"""FP32 and quantize-dequantize graphs, run in ONNX Runtime while a network is compressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgerestore.export.onnx import INPUT, OUTPUT

Crops = NDArray[np.float32]
"""N x 3 x tile x tile in [0, 1]."""
Values = dict[str, NDArray[np.float32]]


def open_graph(model: onnx.ModelProto, optimizations: str = "ORT_ENABLE_ALL") -> Any:
    """A session on this CPU; ``optimizations`` names a level of ONNX Runtime's.

    Quantize and dequantize pairs are computed as they stand, with products in float: integer
    kernels of CPUs without VNNI cut sums off, which no other device does.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, optimizations)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_graph(model: onnx.ModelProto, crops: Crops) -> Crops:
    """What the graph returns for each crop, one at a time."""
    return np.concatenate([values[OUTPUT] for values in values_over(model, [OUTPUT], crops)])


def values_over(model: onnx.ModelProto, names: Sequence[str], crops: Crops) -> Iterator[Values]:
    """Some of a graph's tensors for each crop, the input's among them if it is named."""
    inner = [name for name in names if name != INPUT]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    ends = {value.name for value in model.graph.output}
    exposed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in inner
        if name not in ends
    )
    # Fusions would take longer to find than some crops take to run.
    session = open_graph(exposed, "ORT_ENABLE_BASIC")
    for crop in crops:
        found = session.run(inner, {INPUT: crop[None]}) if inner else []
        values = dict(zip(inner, found, strict=True))
        yield {INPUT: crop[None], **values} if len(inner) < len(names) else values
