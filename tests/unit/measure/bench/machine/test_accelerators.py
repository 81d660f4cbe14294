from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench.machine import accelerators

Recorded = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_devices_are_named_by_driver_and_number(recorded: Recorded) -> None:
    root = recorded("laptop")
    assert accelerators.gpus(root) == ["i915 8086:7d55"]
    assert accelerators.npus(root) == ["intel_vpu 8086:7d1d"]
    assert accelerators.drivers(root) == {"i915": "6.8.0-45-generic", "intel_vpu": "1.0.0"}


def test_a_jetson_tells_its_release(recorded: Recorded) -> None:
    assert accelerators.drivers(recorded("jetson")) == {"Jetson Linux": "36.4.3"}


def test_nvidias_gpus_are_not_named_twice(recorded: Recorded) -> None:
    root = recorded("laptop")
    (root / "sys/class/drm/card0/device/vendor").write_text("0x10de\n")
    assert accelerators.gpus(root) == []


def test_a_bare_machine_has_none(tmp_path: Path) -> None:
    assert accelerators.gpus(tmp_path) == accelerators.npus(tmp_path) == []
    assert accelerators.drivers(tmp_path) == {}
    assert accelerators.gpu_clocks_mhz() == []
