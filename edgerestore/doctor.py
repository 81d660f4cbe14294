"""What this machine has, and the command that adds what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass

from edgerestore.backends import BACKENDS, find_backend
from edgerestore.measure.bench.machine import cpu

HOST_PARTS = {
    "torch": "pip install 'edgerestore[host]'",
    "onnx": "pip install 'edgerestore[host]'",
    "onnxscript": "pip install 'edgerestore[host]'",
    "nncf": "pip install 'edgerestore[host]'",
    "torch-pruning": "pip install 'edgerestore[host]'",
    "scikit-image": "pip install 'edgerestore[evaluate]'",
}
"""Distributions of the host ring, with what installs each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the toolkit or machine."""

    part: str
    found: str
    ready: bool
    cure: str | None = None
    """What to do about it; a command where one helps."""


def examine() -> list[Finding]:
    """Looks at Python, the CPU, every backend and every host package; runs nothing."""
    return [
        Finding("python", f"{platform.python_version()} on {platform.machine()}", ready=True),
        _cpu(),
        *(_backend(name) for name in BACKENDS),
        *_accelerators(),
        *(_package(name, cure) for name, cure in HOST_PARTS.items()),
    ]


def _cpu() -> Finding:
    units = cpu.vector_units()
    told = ", ".join(units) or "units unknown"
    if cpu.lacks_vnni(units):
        told += f"; {cpu.WITHOUT_VNNI}"
    return Finding("cpu", f"{os.cpu_count()} cores; {told}", True)


def _backend(name: str) -> Finding:
    backend = find_backend(name)
    version = backend.version()
    reason = backend.why_not()
    found = f"{backend.distribution} {version}" if version else "not installed"
    return Finding(f"{name} backend", found, reason is None, reason)


def _accelerators() -> list[Finding]:
    """What OpenVINO runs on beside the CPU, where it is installed."""
    backend = find_backend("openvino")
    if backend.why_not() is not None:
        return []
    reasons = {device: backend.why_not(device) for device in ("NPU",)}
    return [
        Finding(f"openvino on {device}", "absent" if reason else "present", reason is None, reason)
        for device, reason in reasons.items()
    ]


def _package(name: str, cure: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name), ready=True)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", ready=False, cure=cure)
