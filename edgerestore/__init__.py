"""From a PyTorch image-restoration network to a verified artifact on the device.

::

    import edgerestore

    with edgerestore.load("bundles/esrt_s_x2-int8-x86-openvino") as restorer:
        restored = restorer.restore(image)

Names are imported when they are first used: importing this imports nothing else.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgerestore.api import bench as bench
    from edgerestore.api import check as check
    from edgerestore.api import evaluate as evaluate
    from edgerestore.api import gate as gate
    from edgerestore.api import models as models
    from edgerestore.api import profile as profile
    from edgerestore.api import targets as targets
    from edgerestore.bundle import Bundle as Bundle
    from edgerestore.bundle import Manifest as Manifest
    from edgerestore.decision.deciding import decide as decide
    from edgerestore.errors import AccuracyError as AccuracyError
    from edgerestore.errors import AnswerIsNoError as AnswerIsNoError
    from edgerestore.errors import BackendError as BackendError
    from edgerestore.errors import BundleError as BundleError
    from edgerestore.errors import CheckFailedError as CheckFailedError
    from edgerestore.errors import CheckpointError as CheckpointError
    from edgerestore.errors import EdgeRestoreError as EdgeRestoreError
    from edgerestore.errors import ImageError as ImageError
    from edgerestore.errors import InputError as InputError
    from edgerestore.errors import MissingPartError as MissingPartError
    from edgerestore.errors import RecipeError as RecipeError
    from edgerestore.errors import UnknownNameError as UnknownNameError
    from edgerestore.pipeline.building import build as build
    from edgerestore.restorer import Restorer as Restorer
    from edgerestore.restorer import load as load

__version__ = "0.1.0"

__all__ = [
    "AccuracyError",
    "AnswerIsNoError",
    "BackendError",
    "Bundle",
    "BundleError",
    "CheckFailedError",
    "CheckpointError",
    "EdgeRestoreError",
    "ImageError",
    "InputError",
    "Manifest",
    "MissingPartError",
    "RecipeError",
    "Restorer",
    "UnknownNameError",
    "bench",
    "build",
    "check",
    "decide",
    "evaluate",
    "gate",
    "load",
    "models",
    "profile",
    "targets",
]

_PLACES = {
    "edgerestore.api": ("bench", "check", "evaluate", "gate", "models", "profile", "targets"),
    "edgerestore.bundle": ("Bundle", "Manifest"),
    "edgerestore.decision.deciding": ("decide",),
    "edgerestore.errors": (
        "AccuracyError",
        "AnswerIsNoError",
        "BackendError",
        "BundleError",
        "CheckFailedError",
        "CheckpointError",
        "EdgeRestoreError",
        "ImageError",
        "InputError",
        "MissingPartError",
        "RecipeError",
        "UnknownNameError",
    ),
    "edgerestore.pipeline.building": ("build",),
    "edgerestore.restorer": ("Restorer", "load"),
}
"""Modules with the public names that they hold."""

# ONNX Runtime and NNCF report to their makers, unasked, unless this is set before they are
# imported. Nothing done here is anybody else's business; and NNCF reports from a forked process,
# which a Ctrl-C at the wrong moment leaves waiting for ever.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("NNCF_CI", "1")


def __getattr__(name: str) -> object:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'edgerestore' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
