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
from edgerestore.measure.bench.machine import accelerators, clocks, container, cpu
from edgerestore.measure.bench.machine.files import text

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
    """Names, with the highest clock and the power limit where the driver tells."""
    os: str
    python: str
    versions: dict[str, str]
    load_average_begin: float | None
    """Over the last minute, before the first worker started."""
    load_average_end: float | None
    other_cores: float | None
    """Cores that other processes kept busy meanwhile, on average."""
    cpu_units: list[str] = []
    """What it multiplies by; processors of different speed bear one name in virtual machines."""
    npus: list[str] = []
    drivers: dict[str, str] = {}
    """Versions of what serves GPUs and NPUs."""
    power_mode: str | None = None
    """Jetson's nvpmodel, or a laptop's platform profile."""
    boost: bool | None = None
    """Whether the CPU may clock beyond its base."""
    clock_limits_mhz: tuple[float, float] | None = None
    """Lowest and highest clock that the CPU's cores may take."""
    clock_mhz: float | None = None
    """Highest clock of a CPU core, right after the last run."""
    gpu_clocks_mhz: list[float] = []
    """Of each NVIDIA GPU, right after the last run."""


class Watch:
    """Reads the machine at the beginning and, in ``finish``, at the end."""

    def __init__(self) -> None:
        self._load = _load_average()
        self._busy = _busy_seconds()
        self._own = _own_seconds()
        self._clock = _uptime()

    def finish(self, workers_cpu_seconds: float) -> Environment:
        """The whole fingerprint; CPU time of the workers counts as ours, not as others'."""
        clock, gpu_clocks = clocks.clock_mhz(), accelerators.gpu_clocks_mhz()
        return Environment(
            taken_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            machine=f"{platform.machine()}{_board()}",
            cpu=cpu.name(),
            cpu_units=cpu.vector_units(),
            cores=container.usable_cores(),
            governor=clocks.governor(),
            memory_mib=_memory_mib(),
            container_cores=container.container_cores(),
            container_memory_mib=container.container_memory_mib(),
            gpus=accelerators.gpus(),
            os=_os(),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            versions=_versions(),
            load_average_begin=self._load,
            load_average_end=_load_average(),
            other_cores=self._other_cores(workers_cpu_seconds),
            npus=accelerators.npus(),
            drivers=accelerators.drivers(),
            power_mode=clocks.power_mode(),
            boost=clocks.boost(),
            clock_limits_mhz=clocks.clock_limits_mhz(),
            clock_mhz=clock,
            gpu_clocks_mhz=gpu_clocks,
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
    quota = environment.container_cores
    if quota is not None and quota < cores:
        found.append(
            f"the container may use {quota:g} of the {cores} cores that runtimes see: "
            "more --threads than that wait for each other"
        )
    if environment.governor not in (None, "performance"):
        found.append(f"the CPU governor is '{environment.governor}', not 'performance'")
    return found


def _board() -> str:
    model = text(Path("/proc/device-tree/model"))
    return f", {model}" if model else ""


def _os() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except (OSError, AttributeError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _memory_mib() -> float | None:
    for line in (text(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 1024
    return None


def _versions() -> dict[str, str]:
    found = {"edgerestore": edgerestore.__version__}
    for name in RUNTIMES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _busy_seconds() -> float | None:
    """CPU seconds that the whole machine has worked since it started."""
    fields = (text(Path("/proc/stat")) or "").split("\n", 1)[0].split()
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
