"""A measured process that does nothing but move memory: what a runtime reaches at best.

``python -m edgerestore.bench.bandwidth`` serves one multiplication of every value of a large
array by a constant, in OpenVINO: each value is read once and written once.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from edgerestore.bench.worker import Ready, serve

NAME = "bandwidth"
VALUES = 1 << 24
"""Of float32, 64 MiB each way: beyond the last cache of all but the largest servers."""
BYTES = 2 * 4 * VALUES


def scaling() -> Any:
    """An OpenVINO model of one product of all values with a constant."""
    import openvino
    from openvino import opset13 as opset

    given = opset.parameter([VALUES], np.float32, "input")
    return openvino.Model([opset.multiply(given, np.float32(3))], [given], "scaling")


def open_scaling(threads: int) -> Ready:
    """Compiles it as bundles are compiled; the array stays where the runtime has it."""
    import openvino

    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    request = openvino.Core().compile_model(scaling(), "CPU", config).create_infer_request()
    request.get_input_tensor(0).data[:] = 1
    return Ready(
        run=request.infer,
        output_pixels=VALUES,
        runtime=f"openvino {openvino.__version__} on CPU",
    )


def main(arguments: list[str] | None = None) -> None:
    """Serves it."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.bench.bandwidth")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    serve(lambda: open_scaling(given.threads))


if __name__ == "__main__":
    main()
