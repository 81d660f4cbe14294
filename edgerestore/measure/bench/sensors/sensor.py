"""One source of power or energy, whichever chip it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sensor:
    """Gives joules since some time in the past, or watts at present."""

    name: str
    """The part whose power it is, such as "RAPL package-0" or "VDD_IN"."""
    unit: Literal["joules", "watts"]
    read: Callable[[], float | None]
    """In the unit; None where it cannot be read any more."""
