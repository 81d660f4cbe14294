"""NVIDIA GPUs, through the driver's own library NVML."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def nvml() -> Any:
    """The initialised pynvml module; None without it, a driver or a GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def handles(library: Any) -> list[Any]:
    """One for each GPU; none for a library of None."""
    if library is None:
        return []
    count = asked(library, library.nvmlDeviceGetCount) or 0
    found = [asked(library, partial(library.nvmlDeviceGetHandleByIndex, i)) for i in range(count)]
    return [handle for handle in found if handle is not None]


def asked(library: Any, question: Callable[[], Any]) -> Any:
    """The answer; None where this GPU or driver has none."""
    try:
        return question()
    except library.NVMLError:
        return None


def name(library: Any, handle: Any) -> str:
    """Such as "NVIDIA L4"."""
    return str(asked(library, lambda: library.nvmlDeviceGetName(handle)) or "NVIDIA GPU")


def limits(library: Any, handle: Any) -> str:
    """Highest SM clock and power limit, as far as the driver tells: "2040 MHz, 72 W"."""
    clock = asked(library, lambda: library.nvmlDeviceGetMaxClockInfo(handle, library.NVML_CLOCK_SM))
    milliwatts = asked(library, lambda: library.nvmlDeviceGetEnforcedPowerLimit(handle))
    parts = [f"{clock} MHz" if clock else "", f"{milliwatts / 1e3:g} W" if milliwatts else ""]
    return ", ".join(filter(None, parts))


def clock_mhz(library: Any, handle: Any) -> float | None:
    """The SM clock now."""
    found = asked(library, lambda: library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM))
    return None if found is None else float(found)


def driver_version(library: Any) -> str | None:
    """Of the kernel's driver."""
    found = None if library is None else asked(library, library.nvmlSystemGetDriverVersion)
    return None if found is None else str(found)
