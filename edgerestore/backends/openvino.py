"""OpenVINO on CPU, GPU and NPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends.base import Backend, Session, options_of, runtime_errors

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle

NAME = "openvino"
OPTIONS = frozenset({"EXECUTION_MODE_HINT", "INFERENCE_PRECISION_HINT"})

DRIVERS = {
    "NPU": "install Intel's NPU driver: https://github.com/intel/linux-npu-driver",
    "GPU": "install Intel's compute runtime: https://github.com/intel/compute-runtime",
}
"""What makes a device visible, by OpenVINO's name of it."""


class OpenVinoSession:
    """An IR compiled for one OpenVINO device, with one inference request."""

    def __init__(self, bundle: Bundle, threads: int, **options: str) -> None:
        self._request = compiled_model(bundle, threads, **options).create_infer_request()

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`edgerestore.backends.base.Session`."""
        with runtime_errors(NAME, "running"):
            self._request.infer([images])
            result = self._request.get_output_tensor(0).data
        return np.array(result, np.float32)

    def close(self) -> None:
        """Frees the compiled network."""
        del self._request


def compiled_model(bundle: Bundle, threads: int, **options: str) -> Any:
    """The network compiled as sessions run it; ``options`` of the runtime are added."""
    import openvino

    device = bundle.manifest.target.device
    config = {"PERFORMANCE_HINT": "LATENCY", **options_of(bundle), **options}
    if threads and device == "CPU":
        config["INFERENCE_NUM_THREADS"] = str(threads)
    with runtime_errors(NAME, f"compiling {bundle.model_file} for {device}"):
        return openvino.Core().compile_model(bundle.model_file, device, config)


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


def open_bundle(bundle: Bundle, threads: int) -> Session:
    """Opens a bundle in OpenVINO."""
    return OpenVinoSession(bundle, threads)


def open_again(bundle: Bundle, threads: int, compiled: Path) -> Session:
    """The same; the CPU's kernels are still chosen anew, the graph is not rewritten again."""
    return OpenVinoSession(bundle, threads, CACHE_DIR=str(compiled))


BACKEND = Backend(
    name=NAME,
    package="openvino",
    distribution="openvino",
    extra="openvino",
    open=open_bundle,
    open_again=open_again,
    options=OPTIONS,
    why_not_executable=why_no_device,
)
