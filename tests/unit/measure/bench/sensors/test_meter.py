from __future__ import annotations

import pytest

from edgerestore.measure.bench.sensors.meter import Energy, Meter
from edgerestore.measure.bench.sensors.sensor import Sensor


def reading(unit: str, values: list[float | None]) -> Sensor:
    rest = iter(values)
    return Sensor("part", unit, lambda: next(rest))  # type: ignore[arg-type]


def test_a_counters_energy_is_its_growth() -> None:
    energy = Energy(reading("joules", [100.0, 103.0, 110.5]))
    for now in (0.0, 1.0, 7.0):
        energy.sample(now)
    assert energy.joules == 10.5


def test_power_counts_over_the_time_between_samples() -> None:
    energy = Energy(reading("watts", [2.0, 4.0, 4.0]))
    for now in (10.0, 11.0, 13.0):
        energy.sample(now)
    # 1 s at 3 W on average, 2 s at 4 W.
    assert energy.joules == pytest.approx(11)


def test_a_sensor_that_fails_once_is_absent_for_good() -> None:
    energy = Energy(reading("watts", [2.0, None, 2.0]))
    for now in (0.0, 1.0, 2.0):
        energy.sample(now)
    assert energy.joules is None


def test_a_meter_samples_by_itself_and_ends() -> None:
    seen: list[float] = []

    def power() -> float:
        seen.append(1.0)
        return 1.0

    failed = Sensor("b", "watts", lambda: None)
    with Meter([Sensor("a", "watts", power), failed], period_s=0.001) as meter:
        begin = meter.read()
        while len(seen) < 8:
            pass
        end = meter.read()
    count = len(seen)
    assert end.watts_since(begin) == {"a": pytest.approx(1.0)}
    meter.read()
    assert len(seen) == count + 1
