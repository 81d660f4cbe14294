"""How much memory this process uses, on the host and on a GPU."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

MIB = 1 << 20

_STATUS = Path("/proc/self/status")


def peak_host_mib() -> float:
    """The most resident memory that this process has had, in MiB; 0 where unknown.

    Linux gives VmHWM, because there ``ru_maxrss`` of a fresh process starts at its parent's.
    """
    kib = _status_kib("VmHWM")
    return kib / 1024 if kib is not None else _max_rss_mib()


def host_mib() -> float:
    """The resident memory of this process now, in MiB; elsewhere than on Linux its peak."""
    kib = _status_kib("VmRSS")
    return kib / 1024 if kib is not None else _max_rss_mib()


class DeviceMemory:
    """Follows the GPU memory of this process through NVML.

    A sample after each turn, so allocations that live only within one inference are missed;
    runtimes keep their arenas, which makes these few. Where the driver hides processes, as
    in containers, the growth of the whole device since construction counts instead.
    """

    def __init__(self) -> None:
        self._nvml = _nvml()
        self._used_before = self._used()
        self.peak_mib: float | None = None

    def sample(self) -> None:
        """Raises the peak to the present use; without a GPU it stays None."""
        if self._nvml is None:
            return
        mib = (self._own() or max(0, self._used() - self._used_before)) / MIB
        if mib:
            self.peak_mib = max(mib, self.peak_mib or 0.0)

    def _own(self) -> int:
        total = 0
        for handle in _handles(self._nvml):
            with contextlib.suppress(self._nvml.NVMLError):
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    if process.pid == os.getpid():
                        total += process.usedGpuMemory or 0
        return total

    def _used(self) -> int:
        total = 0
        for handle in _handles(self._nvml):
            with contextlib.suppress(self._nvml.NVMLError):
                total += int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        return total


def _nvml() -> Any:
    """The initialized pynvml module; None without it or without a GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _handles(nvml: Any) -> list[Any]:
    if nvml is None:
        return []
    try:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []


def _status_kib(field: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    return None


def _max_rss_mib() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others KiB.
    return peak / MIB if sys.platform == "darwin" else peak / 1024
