"""Which modules lose the most when they alone are quantized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgerestore.export.onnx import INPUT

Crops = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One module's part in the error of a quantized network."""

    module: str
    gain_db: float
    """PSNR to the FP32 output that is won back when this module alone returns to float."""


def module_sensitivities(
    fp32: onnx.ModelProto,
    quantized: onnx.ModelProto,
    crops: Crops,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Sensitivity]:
    """Ranks modules by what their return to float would win, largest first.

    ``quantized`` is ``fp32`` with quantize and dequantize pairs; all calls of a module go
    back together. Measured on ``crops`` (N x 3 x tile x tile) in ONNX Runtime.
    """
    expected = _run(fp32, crops)
    start = _psnr_db(_run(quantized, crops), expected)
    modules = sorted({_module(node) for node in quantized.graph.node if _is_quantized(node)})
    found = []
    for number, module in enumerate(modules, 1):
        freed = _without_pairs(quantized, module)
        found.append(Sensitivity(module, _psnr_db(_run(freed, crops), expected) - start))
        report(number, len(modules))
    return sorted(found, key=lambda item: -item.gain_db)


def _without_pairs(model: onnx.ModelProto, module: str) -> onnx.ModelProto:
    """A copy in which the module's products read values that skip their activation's pair.

    Weights keep theirs: per channel, they cost an order of magnitude less.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made_by = {name: node for node in copy.graph.node for name in node.output}
    for node in copy.graph.node:
        if _is_quantized(node) and _module(node) == module:
            for slot, name in enumerate(node.input[:2]):
                dequantize = made_by.get(name)
                if dequantize is None or dequantize.op_type != "DequantizeLinear":
                    continue
                quantize = made_by.get(dequantize.input[0])
                if quantize is not None and quantize.op_type == "QuantizeLinear":
                    node.input[slot] = quantize.input[0]
    return copy


def _is_quantized(node: onnx.NodeProto) -> bool:
    return node.op_type in ("Conv", "MatMul") and "#" in node.name


def _module(node: onnx.NodeProto) -> str:
    return str(node.name.partition("#")[0])


def _run(model: onnx.ModelProto, crops: Crops) -> Crops:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fusions would take longer to find than these few crops take to run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {INPUT: crop[None]})[0] for crop in crops])


def _psnr_db(result: Crops, expected: Crops) -> float:
    error = float(np.mean((result.astype(np.float64) - expected) ** 2))
    return -10 * float(np.log10(max(error, 1e-30)))
