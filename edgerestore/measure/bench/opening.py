"""What a runtime does while it opens a bundle, and the memory that it plans.

``python -m edgerestore.measure.bench.opening BUNDLE`` opens it in a process of its own and
prints one JSON object: opening once more in a measured process would add to its memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgerestore.errors import EdgeRestoreError
from edgerestore.measure.bench.machine import MIB
from edgerestore.measure.bench.process import child_environment, how_it_ended
from edgerestore.measure.bench.timing import timed

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle

TIMEOUT_S = 1800.0


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of ``load_ms``, measured apart from it."""

    read_ms: float | None = None
    """Reading the model file, or an engine that was compiled before."""
    compile_ms: float | None = None
    """Optimizing the graph and making kernels for this device; null for such an engine."""
    planned_device_mib: float | None = None
    """What the backend says it will need for one inference, beside weights; of TensorRT alone."""
    reason: str | None = None
    """Why it was not measured."""


def opening_of(path: Path, threads: int) -> Opening:
    """Opens a bundle in a fresh process; only a reason is known where that fails."""
    command = [
        sys.executable,
        "-m",
        __spec__.name,
        f"--threads={threads}",
        "--",
        str(path.resolve()),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_S, check=False, env=child_environment()
        )
    except OSError as error:
        return Opening(reason=f"its process cannot start: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Opening(reason=f"not done within {TIMEOUT_S:g} s")
    if done.returncode:
        return Opening(reason=f"its process {how_it_ended(done.returncode, done.stderr)}")
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Opening)
    except (msgspec.MsgspecError, IndexError):
        return Opening(reason="its process gave no result")


def open_once(bundle: Bundle, threads: int) -> Opening:
    """Opens a bundle as its backend does, step by step.

    Raises MissingPartError without the runtime, BackendError where it refuses.
    """
    from edgerestore.backends import find_backend

    backend = find_backend(bundle.manifest.target.backend)
    backend.require(bundle.manifest.target.device)
    return _OPENERS[backend.name](bundle, threads)


def main(arguments: list[str] | None = None) -> None:
    """Opens the bundle that the command line names."""
    from edgerestore.bundle import read_bundle

    parser = argparse.ArgumentParser(prog="python -m edgerestore.measure.bench.opening")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        found = open_once(read_bundle(given.bundle), given.threads)
    except EdgeRestoreError as error:
        found = Opening(reason=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")


def _open_openvino(bundle: Bundle, threads: int) -> Opening:
    import openvino

    from edgerestore.backends.openvino import compiled_model

    # The first use of a device finds its plugin, which is no part of either.
    core = openvino.Core()
    core.get_property(bundle.manifest.target.device, "SUPPORTED_PROPERTIES")
    _, read_ms = timed(lambda: core.read_model(bundle.model_file))
    _, both_ms = timed(lambda: compiled_model(bundle, threads))
    return Opening(read_ms=read_ms, compile_ms=max(0.0, both_ms - read_ms))


def _open_onnxruntime(bundle: Bundle, threads: int) -> Opening:
    from edgerestore.backends.onnxruntime import inference_session

    with tempfile.TemporaryDirectory() as folder:
        session = inference_session(bundle, threads, Path(folder) / "opening")
        events = msgspec.json.decode(Path(session.end_profiling()).read_bytes())
    ms = {str(event.get("name")): float(event.get("dur", 0)) / 1e3 for event in events}
    reading = [value for name, value in ms.items() if name.startswith("model_loading")]
    return Opening(
        read_ms=sum(reading) if reading else None, compile_ms=ms.get("session_initialization")
    )


def _open_tensorrt(bundle: Bundle, _: int) -> Opening:
    from edgerestore.backends.tensorrt import RTX, STANDARD, engine_file

    flavour = {f.name: f for f in (STANDARD, RTX)}[bundle.manifest.target.backend]
    trt = flavour.load()
    plan = engine_file(bundle).read_bytes()
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine, read_ms = timed(lambda: runtime.deserialize_cuda_engine(plan))
    if engine is None:
        return Opening(reason=f"{flavour.name} does not take its engine")
    # The first of the two overflows at 2 GiB, and old versions have no other.
    size = getattr(engine, "device_memory_size_v2", None) or engine.device_memory_size
    return Opening(read_ms=read_ms, planned_device_mib=size / MIB)


_OPENERS: dict[str, Callable[[Any, int], Opening]] = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
    "tensorrt": _open_tensorrt,
    "tensorrt-rtx": _open_tensorrt,
}


if __name__ == "__main__":
    main()
