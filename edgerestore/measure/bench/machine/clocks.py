"""How fast the machine is allowed to be: governor, clock limits, boost and power mode."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgerestore.measure.bench.machine.files import ROOT, matching, number, text

_CPU = "sys/devices/system/cpu"
_FREQUENCY = _CPU + "/cpu[0-9]*/cpufreq/scaling_{}"
_MODE = re.compile(r"pmode:(\d+)")
_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")


def governor(root: Path = ROOT) -> str | None:
    """The CPU's frequency governor; those that differ between cores are all named."""
    found = {text(path) for path in matching(root, _FREQUENCY.format("governor"))}
    return ", ".join(sorted(filter(None, found))) or None


def clock_limits_mhz(root: Path = ROOT) -> tuple[float, float] | None:
    """The lowest and the highest clock that any core may take, in MHz."""
    low = _clock_mhz(root, "min_freq", min)
    high = _clock_mhz(root, "max_freq", max)
    return None if low is None or high is None else (low, high)


def clock_mhz(root: Path = ROOT) -> float | None:
    """The highest clock of any core now, in MHz."""
    return _clock_mhz(root, "cur_freq", max)


def boost(root: Path = ROOT) -> bool | None:
    """Whether the CPU may clock beyond its base for as long as heat and power allow."""
    for file, value_if_on in (("cpufreq/boost", 1), ("intel_pstate/no_turbo", 0)):
        found = number(root / _CPU / file)
        if found is not None:
            return found == value_if_on
    return None


def power_mode(root: Path = ROOT) -> str | None:
    """Jetson's nvpmodel, by name where its table tells, or a laptop's platform profile."""
    found = _MODE.search(text(root / "var/lib/nvpmodel/status") or "")
    if found:
        table = dict(_MODEL.findall(text(root / "etc/nvpmodel.conf") or ""))
        mode = str(int(found[1]))
        return f"{table[mode]} ({mode})" if mode in table else mode
    return text(root / "sys/firmware/acpi/platform_profile")


def _clock_mhz(root: Path, which: str, choose: Callable[[list[float]], float]) -> float | None:
    found = [number(path) for path in matching(root, _FREQUENCY.format(which))]
    known = [kilohertz / 1e3 for kilohertz in found if kilohertz is not None]
    return choose(known) if known else None
