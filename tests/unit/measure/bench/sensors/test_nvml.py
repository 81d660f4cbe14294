from __future__ import annotations

import sys
import types

import pytest

from edgerestore.measure.bench.sensors import nvml


def fake_nvml(energy_mj: int | None, power_mw: int | None) -> types.ModuleType:
    """A pynvml with one GPU, which does not know the question whose answer is None."""
    library = types.ModuleType("pynvml")
    library.NVMLError = type("NVMLError", (Exception,), {})  # type: ignore[attr-defined]

    def answering(answer: object) -> object:
        def ask(*_: object) -> object:
            if answer is None:
                raise library.NVMLError
            return answer

        return ask

    for name, answer in {
        "nvmlInit": 0,
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": object(),
        "nvmlDeviceGetName": "NVIDIA L4",
        "nvmlDeviceGetTotalEnergyConsumption": energy_mj,
        "nvmlDeviceGetPowerUsage": power_mw,
    }.items():
        setattr(library, name, answering(answer))
    return library


@pytest.mark.parametrize(
    ("energy_mj", "power_mw", "unit", "reads"),
    [(7_500_000, 30_000, "joules", 7500.0), (None, 30_500, "watts", 30.5)],
)
def test_a_counter_is_better_than_samples(
    monkeypatch: pytest.MonkeyPatch,
    energy_mj: int | None,
    power_mw: int | None,
    unit: str,
    reads: float,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(energy_mj, power_mw))
    (sensor,) = nvml.sensors()
    assert (sensor.name, sensor.unit, sensor.read()) == ("GPU 0 NVIDIA L4", unit, reads)


def test_a_gpu_that_tells_neither_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(None, None))
    assert nvml.sensors() == []


def test_without_the_library_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.sensors() == []
