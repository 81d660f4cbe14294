"""The power monitors of Jetson boards: three rails each, below hwmon."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgerestore.measure.bench.machine.files import ROOT, matching, number, text
from edgerestore.measure.bench.sensors.sensor import Sensor

CHIP = "ina3221"
CHANNELS = (1, 2, 3)


def sensors(root: Path = ROOT) -> list[Sensor]:
    """A sensor for each rail that is switched on, by the board's name of it.

    ``VDD_IN`` is what the whole module draws, where a board has it; the others are parts.
    """
    found = []
    for chip in matching(root, "sys/class/hwmon/hwmon[0-9]*"):
        if text(chip / "name") != CHIP:
            continue
        for channel in CHANNELS:
            label = text(chip / f"in{channel}_label")
            read = partial(_watts, chip, channel)
            if label and text(chip / f"in{channel}_enable") != "0" and read() is not None:
                found.append(Sensor(label, "watts", read))
    return found


def _watts(chip: Path, channel: int) -> float | None:
    millivolts = number(chip / f"in{channel}_input")
    milliamperes = number(chip / f"curr{channel}_input")
    if millivolts is None or milliamperes is None:
        return None
    return millivolts * milliamperes / 1e6
