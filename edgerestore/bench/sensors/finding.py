"""All sensors of this machine."""

from __future__ import annotations

from pathlib import Path

from edgerestore.bench.machine.files import ROOT
from edgerestore.bench.sensors import ina3221, nvml, rapl
from edgerestore.bench.sensors.sensor import Sensor


def find_sensors(root: Path = ROOT) -> list[Sensor]:
    """Those of CPU, board and GPU that can be read; empty where the device tells nothing."""
    return [*rapl.sensors(root), *ina3221.sensors(root), *nvml.sensors()]
