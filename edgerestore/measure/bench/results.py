"""The results file: what was measured, under which conditions, raw samples included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgerestore.bundle import Accuracy, Parity
from edgerestore.files import write_beside
from edgerestore.measure.bench.energy import Spent
from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.harness import Measurement, Plan
from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.protocol import Status
from edgerestore.measure.bench.statistics import (
    P90_SAMPLES,
    P99_SAMPLES,
    RATIO_ROUNDS,
    median_interval,
    paired_ratios,
    percentile,
)
from edgerestore.metrics import exceeding

SCHEMA = 1


class LatencyMs(msgspec.Struct, frozen=True, kw_only=True):
    """Steady state: one inference, host array to host array, copies included."""

    p50: float
    p90: float | None
    p90_reason: str | None = None
    """Why there is no 90th percentile."""
    p99: float | None = None
    p99_reason: str | None = None
    samples: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a candidate without running it."""

    params: int | None = None
    macs: int | None = None
    macs_not_counted: dict[str, int] = {}
    """Operators whose work ``macs`` lacks, with how often they occur."""
    activations: int | None = None
    attention_score_bytes: int | None = None
    file_bytes: int | None = None
    weight_bytes: int | None = None
    """Of all constants as stored; null for compiled engines."""
    operators: dict[str, int] = {}
    """Of the graph, by type."""
    input_shape: list[int] = []
    """Of one run: images x channels x height x width; all costs and times are of it."""
    model: str | None = None
    precision: str | None = None
    target: str | None = None
    accuracy: Accuracy | None = None
    built: Parity | None = None
    """What the bundle says of its own verification, where it was built."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Several inferences under way at once."""

    streams: int
    batch: int
    megapixels_per_s: float | None = None
    """Of output; null where the bundle or its runtime does not take the setting."""
    images_per_s: float | None = None
    """Inputs of the bundle's own shape."""
    peak_host_mib: float | None = None
    peak_device_mib: float | None = None
    reason: str | None = None
    """Why it was not measured."""
    turns_ns: list[list[int]] = []
    """Raw times of ``inferences`` runs each."""
    inferences: int = 0


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A whole picture file: decoded, cut into tiles, run, blended, encoded, written."""

    picture: str
    width: int
    """Of the input."""
    height: int
    tiles: int
    ms: LatencyMs | None = None
    network_ms: LatencyMs | None = None
    """Of it, how long at least one tile was in the network."""
    megapixels_per_s: float | None = None
    """Of the output, which tiles cover more than once."""
    reason: str | None = None
    """Why it was not measured."""
    turns_ns: list[list[int]] = []
    network_turns_ns: list[list[int]] = []


class Result(Costs, frozen=True, kw_only=True):
    """One candidate; every measured field is null unless its status is 'measured'."""

    bundle: str
    """Its folder; for a candidate that is no bundle, its name."""
    name: str
    """Unique within the file."""
    status: Status
    reason: str | None = None
    runtime: str | None = None
    parity_psnr_db: float | None = None
    parity_floor_db: float | None = None
    prepare_ms: float | None = None
    load_ms: float | None = None
    """From files to a session that can run, compiling included."""
    opening: Opening | None = None
    first_ms: float | None = None
    latency_ms: LatencyMs | None = None
    megapixels_per_s: float | None = None
    host_mib_before_load: float | None = None
    """Resident memory once runtime and files were in, before the model was."""
    peak_host_mib: float | None = None
    peak_device_mib: float | None = None
    """By NVML: context and kernels included."""
    runtime_device_mib: float | None = None
    """What the CUDA runtime or PyTorch says that was taken of the GPU."""
    turns_ns: list[list[int]] = []
    """Raw samples of each round."""
    throughput: list[Throughput] = []
    restored: Restored | None = None
    energy: list[Spent] = []
    """One entry for each sensor of the machine; empty where it has none."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of one candidate over another's, from turns of the same rounds."""

    name: str
    against: str
    median: float
    low: float | None
    """Lower bound of the 95 % bootstrap interval."""
    high: float | None
    rounds: int
    reason: str | None = None
    """Why there is no interval."""
    per_pixel: bool = False
    """Whether each latency was divided by the output pixels of its run, as the two differ in
    them."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One session of ``edgerestore bench``."""

    schema: int = SCHEMA
    bundles: list[Result]
    environment: Environment
    ratios: list[Ratio]
    protocol: dict[str, Any]
    warnings: list[str]


def result_of(seen: Measurement, bundle: str, costs: Costs | None = None) -> Result:
    """One row of the results from what the harness saw and what the bundle says."""
    known = msgspec.structs.asdict(costs or Costs())
    row = Result(
        bundle=bundle, name=seen.candidate.name, status=seen.status, reason=seen.reason, **known
    )
    opened, closed = seen.opened, seen.closed
    if seen.status != "measured" or opened is None or closed is None:
        return row
    latency = latency_of(seen.samples_ns)
    return msgspec.structs.replace(
        row,
        runtime=opened.runtime,
        parity_psnr_db=opened.parity_psnr_db,
        parity_floor_db=opened.parity_floor_db,
        prepare_ms=opened.prepare_ms,
        load_ms=opened.load_ms,
        first_ms=opened.first_ms,
        latency_ms=latency,
        megapixels_per_s=opened.output_pixels / latency.p50 / 1e3,
        host_mib_before_load=opened.host_mib_before_load,
        peak_host_mib=closed.peak_host_mib,
        peak_device_mib=closed.peak_device_mib,
        runtime_device_mib=closed.runtime_device_mib,
        turns_ns=seen.turns_ns,
    )


def latency_of(samples_ns: list[int]) -> LatencyMs:
    """Median and, each with enough samples, 90th and 99th percentile.

    Raises ValueError for no samples.
    """
    if not samples_ns:
        raise ValueError("no samples")
    p90, p90_reason = _tail(samples_ns, 90, P90_SAMPLES)
    p99, p99_reason = _tail(samples_ns, 99, P99_SAMPLES)
    return LatencyMs(
        p50=float(np.median(samples_ns)) / 1e6,
        p90=p90,
        p90_reason=p90_reason,
        p99=p99,
        p99_reason=p99_reason,
        samples=len(samples_ns),
    )


def _tail(samples_ns: list[int], percent: int, needed: int) -> tuple[float | None, str | None]:
    if len(samples_ns) < needed:
        return None, f"needs {needed} samples, has {len(samples_ns)}"
    return percentile(samples_ns, percent) / 1e6, None


def ratios_of(measurements: list[Measurement], plan: Plan) -> list[Ratio]:
    """Each measured candidate against the first measured one.

    Per pixel of output where one run of the two does not give as many: it is not the same work.
    """
    measured = [seen for seen in measurements if seen.status == "measured"]
    found = []
    for seen in measured[1:]:
        values = paired_ratios(seen.turns_ns, measured[0].turns_ns)
        pixels, of_first = _output_pixels(seen), _output_pixels(measured[0])
        if pixels != of_first:
            values *= of_first / pixels
        interval = median_interval(values, seed=plan.seed)
        few = f"needs {RATIO_ROUNDS} rounds, has {values.size}" if interval.low is None else None
        found.append(
            Ratio(
                name=seen.candidate.name,
                against=measured[0].candidate.name,
                median=interval.median,
                low=interval.low,
                high=interval.high,
                rounds=int(values.size),
                reason=few,
                per_pixel=pixels != of_first,
            )
        )
    return found


def _output_pixels(seen: Measurement) -> int:
    """Of one run; 1 of what gives no picture."""
    return max(1, seen.opened.output_pixels) if seen.opened else 1


def not_measured(result: Result) -> list[str]:
    """What was tried beyond latency and has no number, with why; one line each."""
    flows = [
        f"{flow.streams} under way in batches of {flow.batch}: {flow.reason}"
        for flow in result.throughput
        if flow.reason
    ]
    others = (("a whole picture", result.restored), ("opening", result.opening))
    return flows + [f"{what}: {part.reason}" for what, part in others if part and part.reason]


def gate_missed(accuracy: Accuracy | None) -> str | None:
    """By how much a bundle misses its own accuracy gate; None where it holds or none was run."""
    if accuracy is None:
        return None
    misses = []
    for what, drop, allowed in (
        ("mean", accuracy.mean_drop_db, accuracy.allowed_mean_drop_db),
        ("worst image", accuracy.worst_drop_db, accuracy.allowed_worst_drop_db),
    ):
        if not drop <= allowed:
            lost, limit = exceeding(drop, allowed, 2)
            misses.append(f"{what} loses {lost} dB, allowed {limit} dB")
    return "; ".join(misses) or None


def short_names(results: Sequence[Result]) -> dict[str, str]:
    """Each name as precision and target, such as "INT8 x86-openvino", and its batch, if any.

    Empty where that does not tell the candidates apart, or their models differ.
    """
    names = {r.name: f"{(r.precision or '').upper()} {r.target}{_batch(r)}" for r in results}
    one_model = len({r.model for r in results}) == 1
    complete = all(r.precision and r.target for r in results)
    return names if one_model and complete and len(set(names.values())) == len(names) else {}


def _batch(result: Result) -> str:
    batch = result.input_shape[0] if result.input_shape else 1
    return f", batch {batch}" if batch > 1 else ""


def write_results(path: Path, results: Results) -> None:
    """Writes the file whole or not at all."""
    write_beside(path, msgspec.json.encode(results) + b"\n")
