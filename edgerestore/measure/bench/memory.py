"""How much memory this process uses, on the host and on a GPU."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from edgerestore.measure.bench.machine import MIB, nvidia
from edgerestore.measure.bench.runtime_memory import RuntimeMemory

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
    """Follows the GPU memory of this process, through NVML and through its runtime.

    Every case is a process of its own, so that both begin at nothing. A sample after each
    turn, so allocations that live only within one inference are missed by NVML; runtimes keep
    their arenas, which makes these few. Where the driver hides processes, as in containers,
    the growth of the whole device since construction counts instead.
    """

    def __init__(self) -> None:
        self._nvml = nvidia.nvml()
        self._handles = nvidia.handles(self._nvml)
        self._used_before = self._used()
        self._runtime = RuntimeMemory()
        self.peak_mib: float | None = None
        """By NVML: context, kernels and arenas included."""
        self.runtime_peak_mib: float | None = None
        """What the runtime itself says it has allocated."""

    def sample(self) -> None:
        """Raises the peaks to the present use; without a GPU they stay None."""
        used = (self._own() or max(0, self._used() - self._used_before)) if self._handles else 0
        self.peak_mib = _raised(self.peak_mib, used)
        self.runtime_peak_mib = _raised(self.runtime_peak_mib, self._runtime.bytes() or 0)

    def _own(self) -> int:
        total = 0
        for handle in self._handles:
            query = self._nvml.nvmlDeviceGetComputeRunningProcesses
            for process in nvidia.asked(self._nvml, partial(query, handle)) or ():
                if process.pid == os.getpid():
                    total += process.usedGpuMemory or 0
        return total

    def _used(self) -> int:
        total = 0
        for handle in self._handles:
            query = self._nvml.nvmlDeviceGetMemoryInfo
            found = nvidia.asked(self._nvml, partial(query, handle))
            total += int(found.used) if found is not None else 0
        return total


def _raised(peak_mib: float | None, used: int) -> float | None:
    return max(used / MIB, peak_mib or 0.0) if used else peak_mib


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
