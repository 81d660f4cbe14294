"""A measured process that does nothing but multiply matrices: what a runtime reaches at best.

``python -m edgerestore.bench.peak int8`` serves one product of two large matrices, by
OpenVINO in the precision that is named, beside which bundles can be measured.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from edgerestore.bench.worker import Ready, serve

SIDE = 1024
"""Of both matrices: the time of all else around the product is a few per cent of its own."""
MACS = SIDE**3
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What is not quantized is computed in; of INT8 that is only the way in and out."""
LARGEST_INT8 = 127


def precisions() -> list[str]:
    """Those that this CPU multiplies in."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = {"FP32": "fp32", "BF16": "bf16", "INT8": "int8"}
    return [name for capability, name in found.items() if capability in capabilities]


def product(precision: str) -> Any:
    """An OpenVINO model of one product of an input with a constant, both SIDE x SIDE."""
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


def open_product(precision: str, threads: int) -> Ready:
    """Compiles the product as bundles are compiled."""
    import openvino

    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": HINTS[precision]}
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = openvino.Core().compile_model(product(precision), "CPU", config)
    request = compiled.create_infer_request()
    given = np.random.default_rng(1).standard_normal((SIDE, SIDE)).astype(np.float32)
    return Ready(
        run=lambda: request.infer([given]),
        output_pixels=SIDE * SIDE,
        runtime=f"openvino {openvino.__version__} on CPU",
    )


def main(arguments: list[str] | None = None) -> None:
    """Serves the precision that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.bench.peak")
    parser.add_argument("precision", choices=sorted(HINTS))
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    serve(lambda: open_product(given.precision, given.threads))


if __name__ == "__main__":
    main()
