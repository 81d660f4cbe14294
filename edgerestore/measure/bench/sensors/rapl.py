"""Intel's and AMD's running average power limit: energy counters of the CPU, below powercap."""

from __future__ import annotations

from pathlib import Path

from edgerestore.measure.bench.machine.files import ROOT, matching, number, text
from edgerestore.measure.bench.sensors.sensor import Sensor

ZONES = "sys/class/powercap/intel-rapl:*"
"""Of the registers that every such CPU has; the same ones by memory mapping stand beside them."""
PARTS_OF_PACKAGE = ("core", "uncore")
"""Zones whose energy their package holds already."""


class Counter:
    """A counter of microjoules that begins again at nothing where it is full.

    It may be full once between two readings: after 4 minutes at 250 W at the earliest.
    """

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._range = number(zone / "max_energy_range_uj") or 0.0
        self._last = number(self._file)
        self._joules = 0.0

    def joules(self) -> float | None:
        """Since construction; None where the counter cannot be read."""
        seen = number(self._file)
        if seen is None or self._last is None:
            return None
        grown = seen - self._last
        self._joules += (grown if grown >= 0 else grown + self._range) / 1e6
        self._last = seen
        return self._joules


def sensors(root: Path = ROOT) -> list[Sensor]:
    """A sensor for each package, and for what is no part of one, that this user may read.

    Linux lets only root read them unless the administrator allows more.
    """
    found = []
    for zone in zones(root):
        name = text(zone / "name")
        if name is None or name in PARTS_OF_PACKAGE or number(zone / "energy_uj") is None:
            continue
        package = text(zone.with_name(zone.name.rpartition(":")[0]) / "name")
        owner = f" of {package}" if package and zone.name.count(":") > 1 else ""
        found.append(Sensor(f"RAPL {name}{owner}", "joules", Counter(zone).joules))
    return found


def zones(root: Path = ROOT) -> list[Path]:
    """Folders of all counters, whether they may be read or not."""
    return matching(root, ZONES)
