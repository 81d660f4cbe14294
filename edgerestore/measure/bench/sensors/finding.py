"""All sensors of this machine."""

from __future__ import annotations

from pathlib import Path

from edgerestore.measure.bench.machine.files import ROOT
from edgerestore.measure.bench.sensors import ina3221, nvml, rapl
from edgerestore.measure.bench.sensors.sensor import Sensor


def find_sensors(root: Path = ROOT) -> list[Sensor]:
    """Those of CPU, board and GPU that can be read; empty where the device tells nothing."""
    return [*rapl.sensors(root), *ina3221.sensors(root), *nvml.sensors()]


def why_none(root: Path = ROOT) -> str:
    """One line on why there is no sensor, with what would help."""
    if rapl.zones(root):
        return "only root may read the CPU's energy: sudo chmod -R a+r /sys/class/powercap/*"
    return "this machine shows no power sensor"
