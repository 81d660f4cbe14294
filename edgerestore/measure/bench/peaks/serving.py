"""A measured process that does nothing but multiply matrices, or move memory.

``python -m edgerestore.measure.bench.peaks.serving openvino int8`` serves the product in the
precision that is named, or with ``bandwidth`` the scaling, beside which bundles can be measured.
"""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from edgerestore.measure.bench.peaks import onnxruntime, openvino
from edgerestore.measure.bench.worker import Ready, serve

BANDWIDTH = "bandwidth"
RUNTIMES: dict[str, ModuleType] = {"onnxruntime": onnxruntime, "openvino": openvino}
"""Modules with ``precisions``, ``open_product`` and ``open_scaling``, by backend."""


def command(runtime: str, case: str, threads: int) -> tuple[str, ...]:
    """What starts a worker that serves a precision or the bandwidth."""
    return (sys.executable, "-m", __spec__.name, f"--threads={threads}", runtime, case)


def open_case(runtime: str, case: str, threads: int) -> Ready:
    """Opens a precision's product, or the scaling."""
    module = RUNTIMES[runtime]
    opened: Ready = (
        module.open_scaling(threads) if case == BANDWIDTH else module.open_product(case, threads)
    )
    return opened


def main(arguments: list[str] | None = None) -> None:
    """Serves what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.measure.bench.peaks.serving")
    parser.add_argument("runtime", choices=sorted(RUNTIMES))
    parser.add_argument("case")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    serve(lambda: open_case(given.runtime, given.case, given.threads))


if __name__ == "__main__":
    main()
