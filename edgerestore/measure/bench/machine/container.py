"""What affinity and control groups, versions 2 and 1, allow this process."""

from __future__ import annotations

import os
from pathlib import Path

from edgerestore.measure.bench.machine import MIB
from edgerestore.measure.bench.machine.files import ROOT, text

_CGROUP = "sys/fs/cgroup"
_NO_LIMIT = 1 << 60
"""Bytes above which version 1 means that there is none."""


def usable_cores() -> int:
    """Logical cores that this process may use, whatever its quota."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def container_cores(root: Path = ROOT) -> float | None:
    """The CPU quota in cores; None without one."""
    quotas = []
    for folder in _groups(root):
        quota, _, period = (text(folder / "cpu.max") or "max").partition(" ")
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    quota_v1, period_v1 = (
        text(root / _CGROUP / "cpu" / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")
    )
    if quota_v1.isdigit() and period_v1.isdigit():
        quotas.append(int(quota_v1) / int(period_v1))
    return min(quotas, default=None)


def container_memory_mib(root: Path = ROOT) -> float | None:
    """The memory limit in MiB; None without one."""
    files = [folder / "memory.max" for folder in _groups(root)]
    files.append(root / _CGROUP / "memory" / "memory.limit_in_bytes")
    limits = [int(found) for found in map(text, files) if found and found.isdigit()]
    return min((n / MIB for n in limits if n < _NO_LIMIT), default=None)


def _groups(root: Path) -> list[Path]:
    """Version 2 folders from this process's group up to the root."""
    top = root / _CGROUP
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            inside = top / line[3:].lstrip("/")
            return [
                folder for folder in (inside, *inside.parents) if top in (folder, *folder.parents)
            ]
    return [top]
