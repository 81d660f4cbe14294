"""OpenVINO on CPU, GPU and NPU."""

from __future__ import annotations

from collections.abc import Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends.base import Backend, Conditions, options_of, runtime_errors

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle

NAME = "openvino"
OPTIONS = frozenset({"EXECUTION_MODE_HINT", "INFERENCE_PRECISION_HINT"})

STREAMING = ("CPU", "GPU")
"""Devices that divide themselves among callers; others are asked for throughput only."""
DRIVERS = {
    "NPU": "install Intel's NPU driver: https://github.com/intel/linux-npu-driver",
    "GPU": "install Intel's compute runtime: https://github.com/intel/compute-runtime",
}
"""What makes a device visible, by OpenVINO's name of it."""


class OpenVinoSession:
    """An IR compiled for one OpenVINO device, with an inference request for each stream."""

    def __init__(self, bundle: Bundle, conditions: Conditions) -> None:
        options: dict[str, str] = {}
        if conditions.compiled is not None:
            # The graph is not rewritten again; kernels of a CPU are still chosen anew.
            options["CACHE_DIR"] = str(conditions.compiled)
        streaming = bundle.manifest.target.device in STREAMING
        self.streams = conditions.streams if streaming else 1
        if self.streams > 1:
            options |= throughput_options(bundle, self.streams)
        compiled = compiled_model(bundle, conditions.threads, **options)
        _meet_numpy()
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.streams):
            self._idle.put(compiled.create_infer_request())

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`edgerestore.backends.base.Session`."""
        request = self._idle.get()
        try:
            with runtime_errors(NAME, "running"):
                request.infer([images])
                result = request.get_output_tensor(0).data
            return np.array(result, np.float32)
        finally:
            self._idle.put(request)

    def close(self) -> None:
        """Frees the compiled network."""
        del self._idle


def _meet_numpy() -> None:
    """Lets OpenVINO's binding look numpy up, which it does at the first array that it takes.

    Two callers whose first inferences meet there hold what the other waits for, one Python's lock
    and one C++'s guard of the lookup, and never return (OpenVINO 2026.4, its pybind11).
    """
    import openvino

    openvino.Tensor(np.zeros(1, np.float32))


def compiled_model(bundle: Bundle, threads: int, **options: str) -> Any:
    """The network compiled as sessions run it; ``options`` of the runtime are added."""
    import openvino

    device = bundle.manifest.target.device
    config = configuration(bundle, threads, **options)
    with runtime_errors(NAME, f"compiling {bundle.model_file} for {device}"):
        return openvino.Core().compile_model(bundle.model_file, device, config)


def configuration(bundle: Bundle, threads: int, **options: str) -> dict[str, str]:
    """What the runtime is told: the bundle's own options, then ``options``; for latency else."""
    config = {"PERFORMANCE_HINT": "LATENCY", **options_of(bundle), **options}
    if threads and bundle.manifest.target.device == "CPU":
        config["INFERENCE_NUM_THREADS"] = str(threads)
    return config


def throughput_options(bundle: Bundle, streams: int) -> dict[str, str]:
    """Options for so many inferences under way at once, where the device divides itself."""
    options = {"PERFORMANCE_HINT": "THROUGHPUT"}
    if bundle.manifest.target.device in STREAMING:
        options["NUM_STREAMS"] = str(streams)
    return options


def why_no_device(device: str | None = None) -> str | None:
    """One line on why OpenVINO does not see a device here; None if it does, or for none."""
    if device in (None, "CPU"):
        return None
    import openvino

    seen = openvino.Core().available_devices
    if any(name.partition(".")[0] == device for name in seen):
        return None
    cure = f"; {DRIVERS[device]}" if device in DRIVERS else ""
    return f"OpenVINO sees no {device} here, only {', '.join(seen)}{cure}"


def lacks_bf16(device: str, options: Mapping[str, Any]) -> str | None:
    """One line where BF16 is asked for that OpenVINO replaces by FP32 on this device."""
    if options.get("INFERENCE_PRECISION_HINT") != "bf16":
        return None
    import openvino

    if "BF16" in openvino.Core().get_property(device, "OPTIMIZATION_CAPABILITIES"):
        return None
    return f"this {device} has no BF16: OpenVINO runs FP32 in its place"


BACKEND = Backend(
    name=NAME,
    package="openvino",
    distribution="openvino",
    extra="openvino",
    open=OpenVinoSession,
    options=OPTIONS,
    why_not_executable=why_no_device,
    lacks=lacks_bf16,
)
