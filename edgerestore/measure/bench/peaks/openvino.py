"""A product and a scaling by OpenVINO, for the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgerestore.measure.bench.peaks.sizes import LARGEST_INT8, SIDE, VALUES
from edgerestore.measure.bench.worker import Ready

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What is not quantized is computed in; of INT8 that is only the way in and out."""


def precisions() -> list[str]:
    """Those that this CPU multiplies in."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = {"FP32": "fp32", "BF16": "bf16", "INT8": "int8"}
    return [name for capability, name in found.items() if capability in capabilities]


def product(precision: str) -> Any:
    """A model of one product of an input with a constant, both SIDE x SIDE."""
    import openvino
    from openvino import opset13 as opset

    rng = np.random.default_rng(0)
    given = opset.parameter([SIDE, SIDE], np.float32, "input")
    weights: Any = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    left: Any = given
    if precision == "int8":
        low, high = np.float32(-4), np.float32(4)
        left = opset.fake_quantize(given, low, high, low, high, 256)
        scale = np.abs(weights).max() / LARGEST_INT8
        narrow = opset.constant(np.rint(weights / scale).astype(np.int8))
        right: Any = opset.multiply(opset.convert(narrow, np.float32), np.float32(scale))
    else:
        right = opset.constant(weights)
    return openvino.Model([opset.matmul(left, right, False, True)], [given], "product")


def scaling() -> Any:
    """A model of one product of VALUES values with a single one."""
    import openvino
    from openvino import opset13 as opset

    given = opset.parameter([VALUES], np.float32, "input")
    return openvino.Model([opset.multiply(given, np.float32(3))], [given], "scaling")


def open_product(precision: str, threads: int) -> Ready:
    """Compiles the product as bundles are compiled."""
    return _opened(product(precision), HINTS[precision], threads)


def open_scaling(threads: int) -> Ready:
    """Compiles the scaling as bundles are compiled."""
    return _opened(scaling(), HINTS["fp32"], threads)


def _opened(model: Any, hint: str, threads: int) -> Ready:
    """Its input stays where the runtime has it, so that no copy is timed."""
    import openvino

    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    data = request.get_input_tensor(0).data
    data[:] = np.random.default_rng(1).standard_normal(data.shape, np.float32)
    return Ready(
        run=request.infer,
        output_pixels=data.size,
        runtime=f"openvino {openvino.__version__} on CPU",
    )
