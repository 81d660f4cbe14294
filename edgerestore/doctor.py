"""What this machine has, and the command that adds what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edgerestore.backends import BACKENDS, find_backend

HOST_PARTS = {
    "torch": "pip install 'edgerestore[host]'",
    "onnx": "pip install 'edgerestore[host]'",
    "onnxscript": "pip install 'edgerestore[host]'",
    "nncf": "pip install 'edgerestore[host]'",
    "torch-pruning": "pip install 'edgerestore[host]'",
    "scikit-image": "pip install 'edgerestore[evaluate]'",
}
"""Distributions of the host ring, with what installs each."""

VECTOR_UNITS = {
    "avx2": "INT8 by AVX2",
    "avx512_vnni": "INT8 at full rate",
    "avx_vnni": "INT8 at full rate",
    "avx512_bf16": "BF16",
    "amx_int8": "INT8 by AMX",
    "amx_bf16": "BF16 by AMX",
}
"""Flags of ``/proc/cpuinfo`` that decide what pays on an x86 CPU."""


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
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("flags"):
                flags = set(line.split(":", 1)[1].split())
                break
    units = sorted({meaning for flag, meaning in VECTOR_UNITS.items() if flag in flags})
    return Finding("cpu", f"{os.cpu_count()} cores; {', '.join(units) or 'units unknown'}", True)


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
