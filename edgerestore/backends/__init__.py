"""The runtimes that execute a bundle. Importing this imports none of them."""

from __future__ import annotations

import importlib

from edgerestore.backends.base import Backend, Session
from edgerestore.errors import UnknownNameError

__all__ = ["BACKENDS", "Backend", "Session", "find_backend"]

BACKENDS: dict[str, str] = {
    "onnxruntime": "edgerestore.backends.onnxruntime:BACKEND",
    "openvino": "edgerestore.backends.openvino:BACKEND",
    "tensorrt": "edgerestore.backends.tensorrt:BACKEND",
    "tensorrt-rtx": "edgerestore.backends.tensorrt:BACKEND_RTX",
}


def find_backend(name: str) -> Backend:
    """Looks a backend up. Raises UnknownNameError."""
    if name not in BACKENDS:
        raise UnknownNameError("backend", name, BACKENDS)
    module, attribute = BACKENDS[name].split(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)
    return backend
