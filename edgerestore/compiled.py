"""Engines that a device compiled from a bundle, each sealed like the bundle itself."""

from __future__ import annotations

from pathlib import Path

from edgerestore.backends import find_backend
from edgerestore.bundle import COMPILED, Bundle, seal
from edgerestore.files import replacing_folder


def compile_bundle(bundle: Bundle) -> Path | None:
    """Builds the engine for this machine's GPU; returns it, or None where none is needed.

    OpenVINO and ONNX Runtime compile while they open a bundle, and a plan for TensorRT for
    RTX is in the bundle already. Raises MissingPartError without the runtime or a GPU.
    """
    backend = find_backend(bundle.manifest.target.backend)
    if backend.name != "tensorrt":
        return None
    from edgerestore.backends.tensorrt import ENGINE, STANDARD, environment_id, plan_from_onnx

    backend.require()
    plan = plan_from_onnx(STANDARD, bundle.model_file)
    folder = bundle.path / COMPILED / environment_id(bundle)
    with replacing_folder(folder) as beside:
        (beside / ENGINE).write_bytes(plan)
        seal(beside)
    return folder / ENGINE
