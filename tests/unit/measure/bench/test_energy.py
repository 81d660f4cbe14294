from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from edgerestore.measure.bench import energy
from edgerestore.measure.bench.energy import energy_of
from edgerestore.measure.bench.harness import Candidate
from edgerestore.measure.bench.sensors.sensor import Sensor

Script = Callable[[str, str], Candidate]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "REST_S", 0.05)
    monkeypatch.setattr(energy, "RUNNING_S", 0.1)


def test_what_a_machine_takes_at_rest_is_not_the_candidates(script: Script, steady: str) -> None:
    even = Sensor("board", "watts", lambda: 5.0)
    (found,) = energy_of(script("a", steady), [even])
    assert found.sensor == "board"
    assert found.idle_watts == pytest.approx(5)
    assert found.watts == pytest.approx(5)
    assert found.joules_per_megapixel == pytest.approx(0, abs=1e-6)


def test_more_power_while_it_runs_is_energy(script: Script, steady: str) -> None:
    rising = count()
    board = Sensor("board", "watts", lambda: float(next(rising)))
    (found,) = energy_of(script("a", steady), [board])
    assert found.watts > found.idle_watts
    assert found.joules_per_megapixel > 0


def test_without_sensors_nothing_runs() -> None:
    assert energy_of(Candidate("a", ("/no/such/program",)), []) == []


def test_a_candidate_that_fails_has_no_energy(script: Script) -> None:
    board = Sensor("board", "watts", lambda: 5.0)
    assert energy_of(script("broken", "raise SystemExit"), [board]) == []
