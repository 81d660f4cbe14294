from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest

from edgerestore.measure.bench import memory


def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    ballast = bytearray(200 * memory.MIB)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    code = "from edgerestore.measure.bench.memory import peak_host_mib; print(peak_host_mib())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert memory.peak_host_mib() > 200
    assert 0 < float(child.stdout) < 150


def test_without_proc_the_peak_still_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_STATUS", memory.Path("/no/such/file"))
    assert memory.peak_host_mib() > 5
    assert memory.host_mib() > 5


def test_without_nvml_there_is_no_device_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    device = memory.DeviceMemory()
    device.sample()
    assert device.peak_mib is None


def fake_nvml(own_mib: list[int], used_mib: list[int]) -> types.ModuleType:
    """A pynvml with one GPU, whose readings are taken from the two lists in turn."""
    nvml = types.ModuleType("pynvml")

    def processes(_: object) -> list[types.SimpleNamespace]:
        mine = own_mib.pop(0)
        process = types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=mine * memory.MIB)
        return [process] if mine else []

    nvml.NVMLError = type("NVMLError", (Exception,), {})  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetCount = lambda: 1  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetComputeRunningProcesses = processes  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetMemoryInfo = lambda _: types.SimpleNamespace(  # type: ignore[attr-defined]
        used=used_mib.pop(0) * memory.MIB
    )
    return nvml


def test_the_peak_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([300, 700, 500], [1000]))
    device = memory.DeviceMemory()
    for _ in range(3):
        device.sample()
    assert device.peak_mib == 700


def test_where_processes_are_hidden_the_growth_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([0, 0], [1000, 1400, 1200]))
    device = memory.DeviceMemory()
    for _ in range(2):
        device.sample()
    assert device.peak_mib == 400


def test_a_driver_that_does_not_answer_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml([], [])

    def fail() -> None:
        raise nvml.NVMLError

    nvml.nvmlInit = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    device = memory.DeviceMemory()
    device.sample()
    assert device.peak_mib is None
