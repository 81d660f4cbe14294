"""How much of what the machine can multiply a bundle really gets, measured in one run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgerestore.backends import find_backend
from edgerestore.bench import peak
from edgerestore.bench.bundles import protocol_of, unique, worker_command
from edgerestore.bench.environment import Environment, Watch, warnings
from edgerestore.bench.harness import Candidate, Measurement, Plan, Progress, measure
from edgerestore.bench.results import latency_of
from edgerestore.bench.statistics import median_interval, paired_ratios
from edgerestore.bundle import Bundle, read_bundle
from edgerestore.errors import BackendError, InputError

RUNTIME = "openvino"
"""Whose products are the peak: the bundles must be of the same runtime."""


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


class Achieved(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle, from host array to host array."""

    bundle: str
    name: str
    macs: int
    gmacs_per_s: float
    of_peak: list[Fraction]


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """Peaks and bundles of one interleaved run."""

    peaks: list[Peak]
    bundles: list[Achieved]
    protocol: dict[str, str]
    environment: Environment
    warnings: list[str]


def roofline(
    paths: Sequence[Path], plan: Plan, threads: int = 0, progress: Progress = lambda _: None
) -> Roofline:
    """Measures OpenVINO bundles for the CPU beside large products in each precision.

    Raises BundleError for damage, InputError for bundles of another runtime or device,
    MissingPartError without OpenVINO, and BackendError where a bundle does not run.
    """
    bundles = [read_bundle(path) for path in paths]
    for bundle in bundles:
        target = bundle.manifest.target
        if target.backend != RUNTIME or target.device != "CPU":
            raise InputError(
                f"{bundle.path}: is for {target.backend} on {target.device}; peaks are measured "
                f"for {RUNTIME} on CPU"
            )
    find_backend(RUNTIME).require()
    names = unique([bundle.name for bundle in bundles])
    known = peak.precisions()
    candidates = [
        *(Candidate(precision, _peak_command(precision, threads)) for precision in known),
        *(
            Candidate(name, worker_command(bundle.path, threads))
            for name, bundle in zip(names, bundles, strict=True)
        ),
    ]
    watch = Watch()
    seen = measure(candidates, plan, progress)
    environment = watch.finish(sum(m.closed.cpu_seconds for m in seen if m.closed))
    for measurement in seen:
        if measurement.status != "measured":
            raise BackendError(f"{measurement.candidate.name}: {measurement.reason}")
    peaks, own = seen[: len(known)], seen[len(known) :]
    return Roofline(
        peaks=[
            Peak(precision=m.candidate.name, gmacs_per_s=_gmacs_per_s(peak.MACS, m)) for m in peaks
        ],
        bundles=[_achieved(bundle, m, peaks) for bundle, m in zip(bundles, own, strict=True)],
        protocol=protocol_of(plan, threads),
        environment=environment,
        warnings=warnings(environment),
    )


def _achieved(bundle: Bundle, seen: Measurement, peaks: Sequence[Measurement]) -> Achieved:
    macs = bundle.manifest.costs.macs
    fractions = []
    for reference in peaks:
        # How many times longer a multiplication takes in the bundle than at the peak.
        times = paired_ratios(seen.turns_ns, reference.turns_ns) * peak.MACS / max(macs, 1)
        interval = median_interval(times)
        fractions.append(
            Fraction(
                precision=reference.candidate.name,
                median=1 / interval.median,
                low=None if interval.high is None else 1 / interval.high,
                high=None if interval.low is None else 1 / interval.low,
            )
        )
    return Achieved(
        bundle=str(bundle.path),
        name=seen.candidate.name,
        macs=macs,
        gmacs_per_s=_gmacs_per_s(macs, seen),
        of_peak=fractions,
    )


def _gmacs_per_s(macs: int, seen: Measurement) -> float:
    return macs / latency_of([ns for turn in seen.turns_ns for ns in turn]).p50 / 1e6


def _peak_command(precision: str, threads: int) -> tuple[str, ...]:
    return (sys.executable, "-m", peak.__name__, f"--threads={threads}", precision)
