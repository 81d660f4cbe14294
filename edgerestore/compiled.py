"""Engines that a device compiled from a bundle, each sealed like the bundle itself."""

from __future__ import annotations

import re
from pathlib import Path

from edgerestore.backends import find_backend
from edgerestore.bundle import COMPILED, Bundle, seal, verify_sealed
from edgerestore.errors import InputError
from edgerestore.files import replacing_folder


def compiled_engine(bundle: Bundle) -> Path | None:
    """The engine for this machine: one compiled here, or the plan that the bundle ships.

    Its hash is verified before it is returned. Raises BundleError for a damaged engine.
    """
    from edgerestore.backends.tensorrt import ENGINE

    if ENGINE in bundle.manifest.files:
        return bundle.path / ENGINE
    folder = bundle.path / COMPILED / environment_id(bundle)
    if not folder.is_dir():
        return None
    verify_sealed(folder, required=ENGINE)
    return folder / ENGINE


def compile_bundle(bundle: Bundle) -> Path | None:
    """Builds the engine for this machine's GPU; returns it, or None where none is needed.

    OpenVINO and ONNX Runtime compile while they open a bundle, and a plan for TensorRT for
    RTX is in the bundle already. Raises MissingPartError without the runtime or a GPU.
    """
    backend = find_backend(bundle.manifest.target.backend)
    if backend.name != "tensorrt":
        return None
    from edgerestore.backends.tensorrt import ENGINE, STANDARD, plan_from_onnx

    backend.require()
    plan = plan_from_onnx(STANDARD, bundle.model_file)
    folder = bundle.path / COMPILED / environment_id(bundle)
    with replacing_folder(folder) as beside:
        (beside / ENGINE).write_bytes(plan)
        seal(beside)
    return folder / ENGINE


def environment_id(bundle: Bundle) -> str:
    """Runtime, version and GPU: what an engine is bound to, as a folder name."""
    from edgerestore.backends.cuda import device_name

    backend = find_backend(bundle.manifest.target.backend)
    name = f"{backend.name}-{backend.version()}-{device_name()}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"the GPU's name '{name}' cannot name a folder")
    return name
