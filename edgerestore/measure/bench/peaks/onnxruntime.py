"""A product and a scaling by ONNX Runtime, for the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgerestore.measure.bench.peaks.onnx_bytes import Node, onnx_bytes
from edgerestore.measure.bench.peaks.sizes import LARGEST_INT8, SIDE, VALUES
from edgerestore.measure.bench.worker import Ready


def precisions() -> list[str]:
    """Those that it has products for on a CPU."""
    return ["fp32", "int8"]


def product(precision: str) -> bytes:
    """A model of one product of an input with a constant, both SIDE x SIDE."""
    weights = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    shape = (SIDE, SIDE)
    if precision == "fp32":
        return onnx_bytes([Node("MatMul", ("input", "w"), "output")], {"w": weights}, shape)
    scale = np.abs(weights).max() / np.float32(LARGEST_INT8)
    constants = {
        "w": np.rint(weights / scale).astype(np.int8),
        "w_scale": scale,
        "w_zero": np.zeros((), np.int8),
        "scale": np.array(8 / 256, np.float32),
        "zero": np.array(128, np.uint8),
    }
    nodes = [
        Node("QuantizeLinear", ("input", "scale", "zero"), "narrow"),
        Node("DequantizeLinear", ("narrow", "scale", "zero"), "left"),
        Node("DequantizeLinear", ("w", "w_scale", "w_zero"), "right"),
        Node("MatMul", ("left", "right"), "output"),
    ]
    return onnx_bytes(nodes, {name: np.asarray(value) for name, value in constants.items()}, shape)


def scaling() -> bytes:
    """A model of one product of VALUES values with a single one."""
    factor = np.array(3, np.float32)
    return onnx_bytes([Node("Mul", ("input", "factor"), "output")], {"factor": factor}, (VALUES,))


def open_product(precision: str, threads: int) -> Ready:
    """Opens the product as bundles are opened."""
    return _opened(product(precision), (SIDE, SIDE), threads)


def open_scaling(threads: int) -> Ready:
    """Opens the scaling as bundles are opened."""
    return _opened(scaling(), (VALUES,), threads)


def session_of(model: bytes, threads: int, **entries: Any) -> Any:
    """A session with options by their attribute's name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    for name, value in entries.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _opened(model: bytes, shape: tuple[int, ...], threads: int) -> Ready:
    """Input and output stay where they are, so that neither a copy nor new pages are timed."""
    import onnxruntime

    session = session_of(model, threads)
    given = np.random.default_rng(1).standard_normal(shape, np.float32)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in (given, given.copy())]
    binding = session.io_binding()
    binding.bind_ortvalue_input("input", values[0])
    binding.bind_ortvalue_output("output", values[1])
    return Ready(
        run=lambda: session.run_with_iobinding(binding),
        output_pixels=given.size,
        runtime=f"onnxruntime {onnxruntime.__version__} on CPU",
    )
