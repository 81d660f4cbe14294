"""What is measured of bundles beyond one inference at a time: streams, pictures, power, opening.

Each kind runs after the latencies, in processes of its own, all bundles side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgerestore.bundle import Bundle
from edgerestore.errors import InputError
from edgerestore.imaging import read_sides
from edgerestore.measure.bench import picture as picturing
from edgerestore.measure.bench import throughput
from edgerestore.measure.bench.energy import REST_S, RUNNING_S, energy_of
from edgerestore.measure.bench.harness import (
    Candidate,
    Measurement,
    Plan,
    Progress,
    cpu_seconds,
    measure,
)
from edgerestore.measure.bench.machine.container import container_cores, usable_cores
from edgerestore.measure.bench.opening import opening_of
from edgerestore.measure.bench.results import Restored, Result, Throughput, latency_of
from edgerestore.measure.bench.sensors.sensor import Sensor
from edgerestore.measure.bench.throughput import Setting
from edgerestore.restoration import STREAMS_MAX
from edgerestore.tiling import count_tiles

SHARE = 0.5
"""Of the plan's seconds, for each bundle and setting."""
SAMPLES_SHARE = 1 / 8
"""Of the plan's samples, as one run is of many inferences."""
NOT_MEASURED = "not measured"

Stage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Further:
    """What to measure."""

    streams: tuple[int, ...] = ()
    """Inferences under way at once; the runtime's threads are shared between them."""
    batches: tuple[int, ...] = ()
    """Images in one inference; the bundle's own where there is none. All of ``streams`` run at
    each."""
    picture: Path | None = None
    """To be restored as a whole."""
    sensors: tuple[Sensor, ...] = ()
    """Whose energy is read."""
    no_sensors: str | None = None
    """Why there are none, where there should be."""
    opening: bool = False
    """Whether opening is taken apart."""

    def __post_init__(self) -> None:
        """Raises InputError for settings out of range, ImageError for no picture."""
        for name, values in (("--streams", self.streams), ("--batch", self.batches)):
            for value in values:
                if not 1 <= value <= STREAMS_MAX:
                    raise InputError(f"{name} {value}: must be from 1 to {STREAMS_MAX}")
        if self.picture is not None:
            read_sides(self.picture)

    @property
    def stages(self) -> int:
        """Of progress."""
        settings = len(self.streams) * max(1, len(self.batches))
        return settings + bool(self.picture) + bool(self.sensors) + self.opening

    def protocol(self) -> dict[str, str]:
        """How these numbers are taken, in words that a report can print."""
        said = {}
        if self.streams:
            said["throughput"] = (
                f"median time of {throughput.ROUNDS} inferences for each stream, in a process "
                "of its own, all bundles side by side"
            )
        if self.picture:
            said["picture"] = (
                f"{self.picture.name} from file to file: decoded, tiled, run, blended, encoded "
                "as PNG and written"
            )
        if self.sensors:
            said["energy"] = (
                f"while the bundle alone runs, {RUNNING_S:g} s, less the power of {REST_S:g} s "
                "of rest with it loaded"
            )
        elif self.no_sensors:
            said["energy"] = f"{NOT_MEASURED}: {self.no_sensors}"
        if self.opening:
            said["opening"] = "once more, in a process of its own"
        return said


def default_streams() -> tuple[int, ...]:
    """One, and as many as there are whole cores, of the machine and of the container's quota."""
    quota = container_cores()
    cores = usable_cores() if quota is None else min(usable_cores(), int(quota))
    return tuple(sorted({1, min(STREAMS_MAX, max(1, cores))}))


class Run:
    """The stages of one measurement, as progress hears of them."""

    def __init__(self, stages: int, progress: Progress, stage: Stage) -> None:
        self._stages, self._done = max(1, stages), 0
        self._progress, self._stage = progress, stage
        self.cpu_seconds = 0.0
        """Of all workers so far."""

    def measure(self, what: str, candidates: Sequence[Candidate], plan: Plan) -> list[Measurement]:
        """One stage of candidates side by side."""
        self._stage(what)
        seen = measure(candidates, plan, self._fraction)
        self.cpu_seconds += cpu_seconds(seen)
        self._done += 1
        return seen

    def step(self, what: str, part: float) -> None:
        """Says how much of one other stage is done, 0 to 1."""
        self._stage(what)
        self._fraction(part)
        self._done += part == 1

    def _fraction(self, part: float) -> None:
        self._progress((self._done + part) / self._stages)


def measure_settings(
    run: Run, rows: Sequence[tuple[Result, Bundle]], further: Further, plan: Plan, threads: int
) -> list[Result]:
    """Adds throughput at every setting, and the picture, to results of bundles that ran."""
    results = {result.name: result for result, _ in rows}
    own_plan = replace(
        plan,
        seconds=None if plan.seconds is None else plan.seconds * SHARE,
        samples=None if plan.samples is None else max(1, round(plan.samples * SAMPLES_SHARE)),
        warm_up_runs=1,
    )
    for streams in further.streams:
        for batch in further.batches or (0,):
            settings = {
                result.name: Setting(streams, batch or bundle.manifest.contract.batch)
                for result, bundle in rows
            }
            candidates = [
                Candidate(r.name, throughput.command(b.path, threads, settings[r.name]))
                for r, b in rows
            ]
            what = f"{streams} batches of {batch}" if batch else f"{streams} under way"
            for seen in run.measure(what, candidates, own_plan):
                name = seen.candidate.name
                row = results[name]
                found = [*row.throughput, throughput_of(seen, settings[name])]
                results[name] = msgspec.structs.replace(row, throughput=found)
    if further.picture:
        candidates = [
            Candidate(r.name, picturing.command(b.path, threads, further.picture)) for r, b in rows
        ]
        pairs = zip(run.measure("a whole picture", candidates, own_plan), rows, strict=True)
        for seen, (row, bundle) in pairs:
            found_picture = restored_of(seen, bundle, further.picture)
            results[row.name] = msgspec.structs.replace(results[row.name], restored=found_picture)
    return list(results.values())


def measure_apart(
    run: Run,
    rows: Sequence[tuple[Result, Bundle]],
    candidates: Mapping[str, Candidate],
    further: Further,
    threads: int,
) -> list[Result]:
    """Adds energy, and what opening consists of, to results of bundles that ran.

    ``candidates`` serve them, by name. Their CPU seconds are not counted.
    """
    results = [row for row, _ in rows]
    if further.sensors and rows:
        run.step("energy", 0)
        for number, row in enumerate(results, 1):
            spent = energy_of(candidates[row.name], further.sensors)
            results[number - 1] = msgspec.structs.replace(row, energy=spent)
            run.step("energy", number / len(rows))
    if further.opening and rows:
        run.step("opening", 0)
        for number, (_, bundle) in enumerate(rows, 1):
            opening = opening_of(bundle.path, threads)
            results[number - 1] = msgspec.structs.replace(results[number - 1], opening=opening)
            run.step("opening", number / len(rows))
    return results


def throughput_of(seen: Measurement, setting: Setting) -> Throughput:
    """What the harness saw of one setting."""
    row = Throughput(streams=setting.streams, batch=setting.batch, reason=seen.reason)
    opened, closed = seen.opened, seen.closed
    if seen.status != "measured" or opened is None or closed is None:
        return row
    seconds = latency_of(seen.samples_ns).p50 / 1e3
    inferences = throughput.ROUNDS * setting.streams
    return msgspec.structs.replace(
        row,
        megapixels_per_s=opened.output_pixels / seconds / 1e6,
        images_per_s=inferences * setting.batch / seconds,
        peak_host_mib=closed.peak_host_mib,
        peak_device_mib=closed.peak_device_mib,
        turns_ns=seen.turns_ns,
        inferences=inferences,
    )


def restored_of(seen: Measurement, bundle: Bundle, picture: Path) -> Restored:
    """What the harness saw of a whole picture."""
    contract = bundle.manifest.contract
    height, width = read_sides(picture)
    side = contract.tile
    tiles = count_tiles(max(height, side), max(width, side), side, contract.overlap)
    row = Restored(
        picture=picture.name, width=width, height=height, tiles=tiles, reason=seen.reason
    )
    if seen.status != "measured" or seen.opened is None:
        return row
    whole = latency_of(seen.samples_ns)
    return msgspec.structs.replace(
        row,
        ms=whole,
        network_ms=latency_of([ns for turn in seen.network_turns_ns for ns in turn]),
        megapixels_per_s=seen.opened.output_pixels / whole.p50 / 1e3,
        turns_ns=seen.turns_ns,
        network_turns_ns=seen.network_turns_ns,
    )
