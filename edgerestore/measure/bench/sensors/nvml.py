"""NVIDIA GPUs: an energy counter where the chip has one (Volta and later), else present power."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from edgerestore.measure.bench.machine import nvidia
from edgerestore.measure.bench.sensors.sensor import Sensor


def sensors() -> list[Sensor]:
    """One for each GPU that tells either."""
    library = nvidia.nvml()
    found = []
    for index, handle in enumerate(nvidia.handles(library)):
        name = f"GPU {index} {nvidia.name(library, handle)}"
        energy = partial(_thousandth, library, library.nvmlDeviceGetTotalEnergyConsumption, handle)
        power = partial(_thousandth, library, library.nvmlDeviceGetPowerUsage, handle)
        if energy() is not None:
            found.append(Sensor(name, "joules", energy))
        elif power() is not None:
            found.append(Sensor(name, "watts", power))
    return found


def _thousandth(library: Any, ask: Callable[[Any], int], handle: Any) -> float | None:
    """Both are told in thousandths of their unit."""
    found = nvidia.asked(library, partial(ask, handle))
    return None if found is None else found / 1e3
