"""Energy that a candidate takes: while it alone runs, less what the machine takes at rest."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from edgerestore.measure.bench.harness import TURN_WARM_UP, Candidate, Plan, running
from edgerestore.measure.bench.sensors.meter import Meter
from edgerestore.measure.bench.sensors.sensor import Sensor

REST_S = 2.0
"""How long the loaded candidate rests first, so that the machine's own power is known."""
RUNNING_S = 3.0
"""How long it runs at least: many updates of the slowest counter, ten in a second."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one sensor told."""

    sensor: str
    idle_watts: float
    """With the candidate loaded and at rest."""
    watts: float
    """While it ran, the machine's rest included."""
    joules_per_megapixel: float
    """Of output, without what the machine takes at rest; near nothing where the sensor's part
    does not work for it, and below where noise is larger."""


def energy_of(candidate: Candidate, sensors: Sequence[Sensor]) -> list[Spent]:
    """Loads a candidate in a fresh process, lets it rest, then run; one entry for a sensor.

    Empty without sensors, and where the candidate does not run.
    """
    if not sensors:
        return []
    with running([candidate], Plan(seconds=RUNNING_S)) as (lane,), Meter(sensors) as meter:
        lane.open()
        lane.warm_up()
        begin = meter.read()
        time.sleep(REST_S)
        rested = meter.read()
        while lane.wants_more:
            lane.turn()
        end = meter.read()
        lane.close()
    opened = lane.seen.opened
    if lane.seen.status != "measured" or opened is None:
        return []
    runs = sum(len(turn) + TURN_WARM_UP for turn in lane.seen.turns_ns)
    megapixels = runs * opened.output_pixels / 1e6
    idle, watts = rested.watts_since(begin), end.watts_since(rested)
    return [
        Spent(
            sensor=name,
            idle_watts=idle[name],
            watts=watts[name],
            joules_per_megapixel=(watts[name] - idle[name]) * (end.at - rested.at) / megapixels,
        )
        for name in watts
    ]
