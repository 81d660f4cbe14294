"""How much of what the machine can multiply and move a bundle really gets, measured in one run.

A bundle cannot be faster than its multiplications at the peak of its precision, nor than its
values through memory at the measured bandwidth: the later of the two is its roof.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgerestore.backends import find_backend
from edgerestore.bundle import Bundle, read_bundle
from edgerestore.errors import BackendError, InputError
from edgerestore.measure.bench.bundles import costs_of, protocol_of, unique, worker_command
from edgerestore.measure.bench.environment import Environment, Watch, warnings
from edgerestore.measure.bench.harness import (
    Candidate,
    Measurement,
    Plan,
    Progress,
    cpu_seconds,
    measure,
)
from edgerestore.measure.bench.peaks.serving import BANDWIDTH, RUNTIMES, command
from edgerestore.measure.bench.peaks.sizes import BYTES, MACS
from edgerestore.measure.bench.results import Costs, latency_of
from edgerestore.measure.bench.statistics import median_interval, paired_ratios

BYTES_OF_VALUE = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""As if every value of an INT8 bundle had 8 bits: what stays in float makes its roof too high
and what it reaches of it too low, never too good."""


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """One product of two large matrices."""

    precision: str
    gmacs_per_s: float


class Fraction(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's multiplications in a second over those of a peak, 0 to 1."""

    precision: str
    """Of the peak."""
    median: float
    low: float | None
    """Lower bound of the 95 % bootstrap interval; null from too few rounds."""
    high: float | None


class Roof(msgspec.Struct, frozen=True, kw_only=True):
    """The least time that multiplications and memory allow a bundle."""

    precision: str
    """Of the peak that counts: the bundle's own, or fp32 where the CPU does not multiply in it."""
    bytes_moved: int
    """Weights once, and each value that an operator writes once out and once in again. A runtime
    that fuses operators, or whose caches hold the values, moves less and can exceed the roof."""
    macs_per_byte: float
    """Arithmetic intensity."""
    bound: Literal["multiplications", "memory"]
    """Which of the two takes longer."""
    gmacs_per_s: float
    """At the roof."""
    median: float
    """Fraction of the roof that the bundle reaches."""
    low: float | None
    """Lower bound of the 95 % bootstrap interval; null from too few rounds."""
    high: float | None


class Achieved(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle, from host array to host array."""

    bundle: str
    name: str
    macs: int
    gmacs_per_s: float
    of_peak: list[Fraction]
    roof: Roof


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """Peaks and bundles of one interleaved run."""

    peaks: list[Peak]
    gb_per_s: float
    """Memory bandwidth: bytes read and written of an array that no cache holds."""
    bundles: list[Achieved]
    protocol: dict[str, str]
    environment: Environment
    warnings: list[str]


def roofline(
    paths: Sequence[Path], plan: Plan, threads: int = 0, progress: Progress = lambda _: None
) -> Roofline:
    """Measures bundles of one runtime for the CPU beside large products and a large array.

    Raises BundleError for damage, InputError for bundles of several runtimes or another device,
    MissingPartError without the runtime, and BackendError where a bundle does not run.
    """
    bundles = [read_bundle(path) for path in paths]
    runtime = _runtime_of(bundles)
    find_backend(runtime).require()
    names = unique([bundle.name for bundle in bundles])
    known: list[str] = RUNTIMES[runtime].precisions()
    candidates = [
        *(Candidate(case, command(runtime, case, threads)) for case in (BANDWIDTH, *known)),
        *(
            Candidate(name, worker_command(bundle.path, threads))
            for name, bundle in zip(names, bundles, strict=True)
        ),
    ]
    watch = Watch()
    seen = measure(candidates, plan, progress)
    environment = watch.finish(cpu_seconds(seen))
    for measurement in seen:
        if measurement.status != "measured":
            raise BackendError(f"{measurement.candidate.name}: {measurement.reason}")
    memory, peaks, own = seen[0], seen[1 : 1 + len(known)], seen[1 + len(known) :]
    return Roofline(
        peaks=[
            Peak(precision=m.candidate.name, gmacs_per_s=billions_per_s(MACS, m)) for m in peaks
        ],
        gb_per_s=billions_per_s(BYTES, memory),
        bundles=[
            _achieved(bundle, m, peaks, memory) for bundle, m in zip(bundles, own, strict=True)
        ],
        protocol=protocol_of(plan, threads),
        environment=environment,
        warnings=warnings(environment),
    )


def _runtime_of(bundles: Sequence[Bundle]) -> str:
    if not bundles:
        raise InputError("give at least one bundle")
    found = sorted({bundle.manifest.target.backend for bundle in bundles})
    for bundle in bundles:
        target = bundle.manifest.target
        if target.backend not in RUNTIMES or target.device != "CPU":
            raise InputError(
                f"{bundle.path}: is for {target.backend} on {target.device}; peaks are measured "
                f"for {' and '.join(sorted(RUNTIMES))} on CPU"
            )
    if len(found) > 1:
        raise InputError(f"peaks are of one runtime, but the bundles are for {' and '.join(found)}")
    return found[0]


def _achieved(
    bundle: Bundle, seen: Measurement, peaks: Sequence[Measurement], memory: Measurement
) -> Achieved:
    macs = bundle.manifest.costs.macs
    return Achieved(
        bundle=str(bundle.path),
        name=seen.candidate.name,
        macs=macs,
        gmacs_per_s=billions_per_s(macs, seen),
        of_peak=[fraction_of(seen, macs, peak) for peak in peaks],
        roof=_roof(bundle, seen, peaks, memory),
    )


def fraction_of(seen: Measurement, macs: int, peak: Measurement) -> Fraction:
    """What ``seen``, of so many multiplications, reaches of a peak's; both of one run."""
    # How many times longer a multiplication takes than at the peak.
    times = paired_ratios(seen.turns_ns, peak.turns_ns) * MACS / max(macs, 1)
    reached = median_interval(times).inverse()
    return Fraction(
        precision=peak.candidate.name, median=reached.median, low=reached.low, high=reached.high
    )


def _roof(
    bundle: Bundle, seen: Measurement, peaks: Sequence[Measurement], memory: Measurement
) -> Roof:
    costs = costs_of(bundle)
    macs, moved = costs.macs or 0, bytes_moved(costs)
    at = {m.candidate.name: m for m in peaks}
    counts = at.get(bundle.manifest.precision, at["fp32"])
    rounds = [
        (np.median(p) * macs / MACS, np.median(m) * moved / BYTES, np.median(own))
        for p, m, own in zip(counts.turns_ns, memory.turns_ns, seen.turns_ns, strict=False)
        if p and m and own
    ]
    multiplying, moving, took = np.array(rounds).T
    # How many times longer the bundle takes, in each round, than either allows.
    reached = median_interval(took / np.maximum(multiplying, moving)).inverse()
    slower = max(np.median(multiplying), np.median(moving))
    return Roof(
        precision=counts.candidate.name,
        bytes_moved=moved,
        macs_per_byte=macs / moved,
        bound="memory" if np.median(moving) > np.median(multiplying) else "multiplications",
        gmacs_per_s=float(macs / slower),
        median=reached.median,
        low=reached.low,
        high=reached.high,
    )


def bytes_moved(costs: Costs) -> int:
    """Through memory in one run, were no two operators fused and no cache there; at least 1."""
    width = BYTES_OF_VALUE.get(costs.precision or "", BYTES_OF_VALUE["fp32"])
    values = 2 * (costs.activations or 0) * width
    return max(1, values + (costs.weight_bytes or costs.file_bytes or 0))


def billions_per_s(amount: int, seen: Measurement) -> float:
    """What is done in a second, in billions, where one run does ``amount``."""
    return amount / latency_of(seen.samples_ns).p50 / 1e6
