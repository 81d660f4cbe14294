from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench.sensors import rapl
from edgerestore.measure.bench.sensors.finding import why_none

Recorded = Callable[[str], Path]
ZONES = Path("sys/class/powercap")


def test_packages_and_what_is_no_part_of_them_are_sensors(recorded: Recorded) -> None:
    names = [sensor.name for sensor in rapl.sensors(recorded("laptop"))]
    assert names == ["RAPL package-0", "RAPL dram of package-0", "RAPL psys"]


def test_a_counter_goes_on_where_it_wraps(recorded: Recorded) -> None:
    root = recorded("laptop")
    package = rapl.sensors(root)[0]
    assert package.unit == "joules"
    assert package.read() == 0
    file = root / ZONES / "intel-rapl:0" / "energy_uj"
    file.write_text("262143300000\n")
    assert package.read() == pytest.approx(0.3)
    # 28,850 up to the top and 2,000,000 beyond it.
    file.write_text("2000000\n")
    assert package.read() == pytest.approx(0.3 + 2.02885)
    assert package.read() == pytest.approx(0.3 + 2.02885)


def test_what_may_not_be_read_is_absent(recorded: Recorded) -> None:
    root = recorded("laptop")
    # As a file that only root may read; these tests may run as root.
    for zone in (root / ZONES).iterdir():
        (zone / "energy_uj").unlink()
        (zone / "energy_uj").mkdir()
    assert rapl.sensors(root) == []
    assert "sudo chmod" in why_none(root)


def test_a_counter_that_vanishes_tells_nothing(recorded: Recorded) -> None:
    root = recorded("laptop")
    package = rapl.sensors(root)[0]
    (root / ZONES / "intel-rapl:0" / "energy_uj").unlink()
    assert package.read() is None


def test_a_machine_without_powercap_has_none(tmp_path: Path) -> None:
    assert rapl.sensors(tmp_path) == []
    assert why_none(tmp_path) == "this machine shows no power sensor"
