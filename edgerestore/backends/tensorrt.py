"""TensorRT and TensorRT for RTX: the same API, compiled differently.

An engine is native code bound to a TensorRT version and a GPU. Bundles therefore carry the
strongly typed ONNX; ``edgerestore compile`` builds the engine on the board, and what it
makes lies in the bundle under ``compiled/<environment>/`` with its own hashes.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends.base import Backend, Conditions, Session
from edgerestore.backends.cuda import DeviceBuffers, device_name, why_no_gpu
from edgerestore.bundle import COMPILED, Bundle, verify_sealed
from edgerestore.errors import BackendError, InputError, MissingPartError

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINE = "engine.plan"


@dataclass(frozen=True, slots=True)
class Flavour:
    """TensorRT or TensorRT for RTX."""

    name: str
    package: str

    def load(self) -> Any:
        """Imports the package. Raises MissingPartError where it is not installed."""
        try:
            return importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            raise MissingPartError(
                f"{self.package} is not installed: pip install 'edgerestore[{self.name}]'"
            ) from error


STANDARD = Flavour("tensorrt", "tensorrt")
RTX = Flavour("tensorrt-rtx", "tensorrt_rtx")


def plan_from_onnx(flavour: Flavour, onnx: Path, compute_capabilities: Sequence[str] = ()) -> bytes:
    """Parses and builds a strongly typed ONNX with NVIDIA's own parser and builder.

    ``compute_capabilities`` such as ``("8.6", "8.9")`` are for TensorRT for RTX, which builds
    ahead of time without a GPU; the standard TensorRT builds for the GPU that is present.
    Raises BackendError with the parser's or the builder's own words.
    """
    trt = flavour.load()
    words = _Words(trt)
    builder = trt.Builder(words.logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, words.logger)
    if not parser.parse_from_file(str(onnx)):
        errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise BackendError(f"{flavour.name} refused {onnx.name}: {errors}")
    config = builder.create_builder_config()
    # Kernels for weights of which two in four are zeros, where it finds them.
    config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    # Else an engine names its layers without saying what they are, and profiles mean nothing.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if compute_capabilities:
        config.num_compute_capabilities = len(compute_capabilities)
        for slot, capability in enumerate(compute_capabilities):
            name = "SM" + capability.replace(".", "")
            config.set_compute_capability(getattr(trt.ComputeCapability, name), slot)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"{flavour.name} could not build {onnx.name}: {words.last_error}")
    return bytes(plan)


class TensorRtSession:
    """An engine with its buffers on the GPU, for one caller."""

    streams = 1

    def __init__(self, flavour: Flavour, bundle: Bundle) -> None:
        trt = flavour.load()
        words = _Words(trt)
        contract, scale = bundle.manifest.contract, bundle.manifest.model.scale
        plan = engine_file(bundle).read_bytes()
        self.engine = trt.Runtime(words.logger).deserialize_cuda_engine(plan)
        if self.engine is None:
            raise BackendError(
                f"{flavour.name} refused {engine_file(bundle)}: {words.last_error}; "
                "'edgerestore compile' builds it again for this GPU and version"
            )
        self.context = self.engine.create_execution_context()
        side = contract.tile
        shape = (contract.batch, contract.channels, side, side)
        self._out_shape = (*shape[:2], side * scale, side * scale)
        self._buffers = DeviceBuffers(shape, self._out_shape)
        self.context.set_tensor_address(contract.input_name, self._buffers.input)
        self.context.set_tensor_address(contract.output_name, self._buffers.output)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`edgerestore.backends.base.Session`."""
        self._buffers.upload(images)
        if not self.context.execute_async_v3(self._buffers.stream):
            raise BackendError("TensorRT failed running the engine")
        return self._buffers.download()

    def close(self) -> None:
        """Frees the engine and its buffers."""
        self._buffers.free()
        del self.context, self.engine


def engine_file(bundle: Bundle) -> Path:
    """The engine that ``edgerestore compile`` made on this machine, or the shipped plan.

    Raises BackendError where there is none.
    """
    engine = compiled_engine(bundle)
    if engine is None:
        raise BackendError(
            f"{bundle.path}: holds no engine for this machine; run 'edgerestore compile' on it"
        )
    return engine


def compiled_engine(bundle: Bundle) -> Path | None:
    """The engine for this machine: one compiled here, or the plan that the bundle ships.

    Its hash is verified before it is returned. Raises BundleError for a damaged engine.
    """
    if ENGINE in bundle.manifest.files:
        return bundle.path / ENGINE
    folder = bundle.path / COMPILED / environment_id(bundle)
    if not folder.is_dir():
        return None
    verify_sealed(folder, required=ENGINE)
    return folder / ENGINE


def environment_id(bundle: Bundle) -> str:
    """Runtime, version and GPU: what an engine is bound to, as a folder name."""
    backend = {BACKEND.name: BACKEND, BACKEND_RTX.name: BACKEND_RTX}[bundle.manifest.target.backend]
    name = f"{backend.name}-{backend.version()}-{device_name()}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"the GPU's name '{name}' cannot name a folder")
    return name


class _Words:
    """Keeps what TensorRT says, so that errors can quote it and progress stays quiet."""

    def __init__(self, trt: Any) -> None:
        said: list[str] = []

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                    said.append(message)

        self._said = said
        self.logger = Logger()

    @property
    def last_error(self) -> str:
        return self._said[-1] if self._said else "no reason given"


def _open_standard(bundle: Bundle, _: Conditions) -> Session:
    return TensorRtSession(STANDARD, bundle)


def _open_rtx(bundle: Bundle, _: Conditions) -> Session:
    return TensorRtSession(RTX, bundle)


BACKEND = Backend(
    name="tensorrt",
    package="tensorrt",
    distribution="tensorrt",
    extra="tensorrt",
    open=_open_standard,
    why_not_executable=why_no_gpu,
)
BACKEND_RTX = Backend(
    name="tensorrt-rtx",
    package="tensorrt_rtx",
    distribution="tensorrt-rtx",
    extra="tensorrt-rtx",
    open=_open_rtx,
    why_not_executable=why_no_gpu,
)
