from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench.sensors import ina3221

Recorded = Callable[[str], Path]


def test_rails_that_are_on_have_the_boards_names(recorded: Recorded) -> None:
    found = ina3221.sensors(recorded("jetson"))
    assert [(sensor.name, sensor.unit) for sensor in found] == [
        ("VDD_IN", "watts"),
        ("VDD_CPU_GPU_CV", "watts"),
    ]
    # 4.96 V x 1.25 A and 4.952 V x 0.2 A.
    assert [sensor.read() for sensor in found] == [pytest.approx(6.2), pytest.approx(0.9904)]


def test_a_rail_that_is_switched_off_meanwhile_tells_nothing(recorded: Recorded) -> None:
    root = recorded("jetson")
    rail = ina3221.sensors(root)[0]
    (root / "sys/class/hwmon/hwmon1/curr1_input").write_text("garbage\n")
    assert rail.read() is None


def test_other_monitors_are_no_rails(recorded: Recorded) -> None:
    root = recorded("jetson")
    (root / "sys/class/hwmon/hwmon1/name").write_text("nct6775\n")
    assert ina3221.sensors(root) == []
