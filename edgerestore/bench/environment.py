"""The machine that numbers were taken on; without it they mean nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import os
import platform
from pathlib import Path

import msgspec

import edgerestore

RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
    "numpy",
)
"""Distributions whose versions belong to a measurement, where installed."""
BUSY_LOAD = 0.25
"""Load average per core above which another job is likely; an idle desktop has 0.05."""
BUSY_CORES = 0.1
"""Cores used by others while measuring, per core, above which medians move."""

_CGROUP = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when; null stands for what this machine does not tell."""

    taken_at: str
    """UTC, ISO 8601."""
    machine: str
    cpu: str
    cores: int
    """Logical cores that this process may use."""
    governor: str | None
    memory_mib: float | None
    container_cores: float | None
    """CPU quota of the control group; null without one."""
    container_memory_mib: float | None
    gpus: list[str]
    os: str
    python: str
    versions: dict[str, str]
    load_average_begin: float | None
    """Over the last minute, before the first worker started."""
    load_average_end: float | None
    other_cores: float | None
    """Cores that other processes kept busy meanwhile, on average."""


class Watch:
    """Reads the machine at the beginning and, in ``finish``, at the end."""

    def __init__(self) -> None:
        self._load = _load_average()
        self._busy = _busy_seconds()
        self._own = _own_seconds()
        self._clock = _uptime()

    def finish(self, workers_cpu_seconds: float) -> Environment:
        """The whole fingerprint; CPU time of the workers counts as ours, not as others'."""
        return Environment(
            taken_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            machine=f"{platform.machine()}{_board()}",
            cpu=cpu_name(),
            cores=_cores(),
            governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory_mib=_memory_mib(),
            container_cores=_container_cores(),
            container_memory_mib=_container_memory_mib(),
            gpus=_gpus(),
            os=_os(),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            versions=_versions(),
            load_average_begin=self._load,
            load_average_end=_load_average(),
            other_cores=self._other_cores(workers_cpu_seconds),
        )

    def _other_cores(self, workers: float) -> float | None:
        busy = _busy_seconds()
        elapsed = _uptime() - self._clock
        if busy is None or self._busy is None or elapsed <= 0:
            return None
        others = busy - self._busy - workers - (_own_seconds() - self._own)
        return round(max(0.0, others / elapsed), 2)


def warnings(environment: Environment) -> list[str]:
    """What may have disturbed the numbers, one line each."""
    found = []
    cores, load = environment.cores, environment.load_average_begin
    if load is not None and load > BUSY_LOAD * cores:
        found.append(
            f"the load average was {load:.1f} on {cores} cores before the first run: "
            "other work was running; trust the ratios, not the milliseconds"
        )
    others = environment.other_cores
    if others is not None and others > BUSY_CORES * cores:
        found.append(
            f"other processes used {others:.1f} cores while measuring: "
            "trust the ratios, not the milliseconds"
        )
    if environment.governor not in (None, "performance"):
        found.append(f"the CPU governor is '{environment.governor}', not 'performance'")
    return found


def cpu_name() -> str:
    """The processor as the system names it."""
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or platform.machine()


def _text(path: str | Path) -> str | None:
    """A small system file, stripped; None where it cannot be read or is empty."""
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _board() -> str:
    model = _text("/proc/device-tree/model")
    return f", {model}" if model else ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _os() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except (OSError, AttributeError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _memory_mib() -> float | None:
    for line in (_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 1024
    return None


def _versions() -> dict[str, str]:
    found = {"edgerestore": edgerestore.__version__}
    for name in RUNTIMES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _gpus() -> list[str]:
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []


def _control_groups() -> list[Path]:
    """Version 2 folders from this process's group up to the root."""
    for line in (_text("/proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            inside = _CGROUP / line[3:].lstrip("/")
            return [
                folder
                for folder in (inside, *inside.parents)
                if _CGROUP in (folder, *folder.parents)
            ]
    return [_CGROUP]


def _container_cores() -> float | None:
    quotas = []
    for folder in _control_groups():
        quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    quota_v1, period_v1 = (
        _text(_CGROUP / "cpu" / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")
    )
    if quota_v1.isdigit() and period_v1.isdigit():
        quotas.append(int(quota_v1) / int(period_v1))
    return min(quotas, default=None)


def _container_memory_mib() -> float | None:
    files = [folder / "memory.max" for folder in _control_groups()]
    files.append(_CGROUP / "memory" / "memory.limit_in_bytes")
    limits = [int(text) for text in map(_text, files) if text and text.isdigit()]
    return min((n / (1 << 20) for n in limits if n < _NO_LIMIT), default=None)


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _busy_seconds() -> float | None:
    """CPU seconds that the whole machine has worked since it started."""
    fields = (_text("/proc/stat") or "").split("\n", 1)[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    busy = user + nice + system + irq + softirq + steal
    return float(busy) / os.sysconf("SC_CLK_TCK") if busy else None


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _uptime() -> float:
    return os.times().elapsed
