"""Energy over a span of time, from counters and from samples of power."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from edgerestore.measure.bench.sensors.sensor import Sensor

PERIOD_S = 0.02
"""Between samples of power: a Jetson's monitor has a new value about as often."""


class Energy:
    """Joules of one sensor since its first sample."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._last: tuple[float, float] | None = None
        self.joules: float | None = 0.0
        """None from the first time on that the sensor could not be read."""

    def sample(self, now: float) -> None:
        """Adds what was spent since the last sample; power counts as straight between two."""
        value = None if self.joules is None else self._sensor.read()
        if value is None or self.joules is None:
            self.joules = None
            return
        if self._last is not None:
            then, before = self._last
            counts = self._sensor.unit == "joules"
            self.joules += value - before if counts else (now - then) * (value + before) / 2
        self._last = (now, value)


@dataclass(frozen=True, slots=True)
class Reading:
    """Joules of every sensor since the meter was entered; those that failed are left out."""

    at: float
    """Seconds of the monotonic clock."""
    joules: dict[str, float]

    def watts_since(self, earlier: Reading) -> dict[str, float]:
        """Mean power between two readings."""
        seconds = self.at - earlier.at
        return {name: (j - earlier.joules[name]) / seconds for name, j in self.joules.items()}


class Meter:
    """Samples sensors in a thread of its own, from entering to leaving it."""

    def __init__(self, sensors: Sequence[Sensor], period_s: float = PERIOD_S) -> None:
        self._energies = {sensor.name: Energy(sensor) for sensor in sensors}
        self._period_s = period_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Meter:
        self.read()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def read(self) -> Reading:
        """Samples every sensor and says what all samples come to."""
        with self._lock:
            now = time.monotonic()
            for energy in self._energies.values():
                energy.sample(now)
            known = {name: e.joules for name, e in self._energies.items() if e.joules is not None}
            return Reading(now, known)

    def _follow(self) -> None:
        while not self._over.wait(self._period_s):
            self.read()
