"""Device memory for TensorRT sessions, by NVIDIA's own Python bindings."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import BackendError, MissingPartError


def why_no_gpu(device: str | None = None) -> str | None:
    """One line on why no NVIDIA GPU can execute here; None if one can. All devices are GPUs."""
    del device
    if importlib.util.find_spec("cuda") is None:
        return "cuda-bindings is not installed: pip install cuda-bindings"
    try:
        cudart = _runtime()
        status, count = cudart.cudaGetDeviceCount()
    except (MissingPartError, RuntimeError) as error:
        return f"the NVIDIA driver is absent ({error})"
    if status != cudart.cudaError_t.cudaSuccess or not count:
        return "no NVIDIA GPU is visible"
    return None


def device_name() -> str:
    """Name and compute capability of the first GPU, for the name of a compiled engine."""
    cudart = _runtime()
    properties = _checked(cudart.cudaGetDeviceProperties(0))
    name = properties.name.decode().replace(" ", "-").lower()
    return f"{name}-sm{properties.major}{properties.minor}"


class DeviceBuffers:
    """One input and one output buffer on the GPU, and the stream that uses them."""

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        self._cudart = cudart = _runtime()
        self._result = np.empty(output_shape, np.float32)
        self._input_bytes = int(np.prod(input_shape)) * 4
        with contextlib.ExitStack() as allocated:
            self.input = int(_checked(cudart.cudaMalloc(self._input_bytes)))
            allocated.callback(cudart.cudaFree, self.input)
            self.output = int(_checked(cudart.cudaMalloc(self._result.nbytes)))
            allocated.callback(cudart.cudaFree, self.output)
            self._stream = _checked(cudart.cudaStreamCreate())
            # All three are there: free gives them back.
            allocated.pop_all()
        self.stream = int(self._stream)

    def upload(self, images: NDArray[np.float32]) -> None:
        """Copies the input to the device."""
        host = np.ascontiguousarray(images, np.float32)
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        _checked(self._cudart.cudaMemcpy(self.input, host.ctypes.data, self._input_bytes, kind))

    def download(self) -> NDArray[np.float32]:
        """Waits for the stream and copies the output from the device."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _checked(self._cudart.cudaStreamSynchronize(self._stream))
        target = self._result.ctypes.data
        _checked(self._cudart.cudaMemcpy(target, self.output, self._result.nbytes, kind))
        return self._result.copy()

    def free(self) -> None:
        """Gives both buffers and the stream back."""
        self._cudart.cudaFree(self.input)
        self._cudart.cudaFree(self.output)
        self._cudart.cudaStreamDestroy(self._stream)


def _runtime() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingPartError("cuda-bindings cannot load: pip install cuda-bindings") from error
    return runtime


def _checked(answer: tuple[Any, ...]) -> Any:
    status, *values = answer
    if int(status) != 0:
        raise BackendError(f"CUDA failed: {status.name}")
    return values[0] if values else None
