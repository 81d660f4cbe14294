"""TensorRT's times by layer, with what its engine inspector says of the layers.

Written after NVIDIA's documentation and published output of TensorRT 10; no GPU was there to
run it on.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from edgerestore.backends.base import runtime_errors
from edgerestore.backends.tensorrt import RTX, STANDARD, TensorRtSession
from edgerestore.bundle import Bundle
from edgerestore.graphs.onnx import read_onnx
from edgerestore.measure.bench.profile.inspector import operators_of, read_layers
from edgerestore.measure.bench.profile.operators import Operator

ONNX = "model.onnx"
"""What the engine was compiled from, which every TensorRT bundle carries."""


def profile(bundle: Bundle, threads: int, warm_up: int, runs: int) -> list[Operator]:
    """Runs the probe under the runtime's own profiler; operators in the order of the engine.

    Raises BackendError where the runtime refuses, or an engine does not tell of its layers.
    """
    flavour = {f.name: f for f in (STANDARD, RTX)}[bundle.manifest.target.backend]
    trt = flavour.load()
    given, _ = bundle.probe()
    session = TensorRtSession(flavour, bundle)
    try:
        with runtime_errors(flavour.name, "profiling", Exception):
            for _ in range(warm_up):
                session.run(given)
            profiler = _profiler(trt)
            session.context.profiler = profiler
            for _ in range(runs):
                session.run(given)
            inspector = session.engine.create_engine_inspector()
            inspector.execution_context = session.context
            told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    finally:
        session.close()
    nodes, _ = read_onnx(bundle.path / ONNX)
    types = {node.name: node.type for node in nodes if node.name}
    return operators_of(read_layers(told), profiler.us, types, runs)


def _profiler(trt: Any) -> Any:
    """An object that TensorRT calls with each layer's time, in every run."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.us: dict[str, list[float]] = defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.us[layer_name].append(1e3 * ms)

    return Profiler()
