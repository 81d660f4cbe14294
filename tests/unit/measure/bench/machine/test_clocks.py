from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgerestore.measure.bench.machine import clocks

Recorded = Callable[[str], Path]


def test_a_jetson_tells_its_power_mode_by_name(recorded: Recorded) -> None:
    root = recorded("jetson")
    assert clocks.power_mode(root) == "MAXN_SUPER (2)"
    (root / "etc" / "nvpmodel.conf").unlink()
    assert clocks.power_mode(root) == "2"


def test_clocks_are_those_of_all_cores(recorded: Recorded) -> None:
    root = recorded("jetson")
    assert clocks.governor(root) == "performance, schedutil"
    assert clocks.clock_limits_mhz(root) == (729.6, 1728)
    assert clocks.clock_mhz(root) == 1510.4
    assert clocks.boost(root) is None


def test_a_laptop_tells_its_profile_and_boost(recorded: Recorded) -> None:
    root = recorded("laptop")
    assert clocks.power_mode(root) == "balanced"
    assert clocks.governor(root) == "powersave"
    assert clocks.boost(root) is True
    (root / "sys/devices/system/cpu/intel_pstate/no_turbo").write_text("1\n")
    assert clocks.boost(root) is False


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    assert clocks.governor(tmp_path) is None
    assert clocks.clock_limits_mhz(tmp_path) is None
    assert clocks.clock_mhz(tmp_path) is None
    assert clocks.boost(tmp_path) is None
    assert clocks.power_mode(tmp_path) is None
