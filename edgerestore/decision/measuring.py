"""Candidates side by side: latency in one interleaved run, then a profile of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgerestore.bundle import Bundle
from edgerestore.decision.candidates import Built
from edgerestore.measure.bench.bundles import costs_of, protocol_of, worker_command
from edgerestore.measure.bench.environment import Watch, warnings
from edgerestore.measure.bench.harness import (
    Candidate,
    Measurement,
    Plan,
    Progress,
    cpu_seconds,
    measure,
)
from edgerestore.measure.bench.profile import Profile, profile_bundle
from edgerestore.measure.bench.results import Results, ratios_of, result_of

PROFILED_RUNS = 15


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was measured, by label."""

    measurements: dict[str, Measurement]
    profiles: dict[str, Profile]
    results: Results
    """Results as 'edgerestore bench' writes them, also of candidates that miss their gate."""


def measure_candidates(
    built: Sequence[Built],
    plan: Plan,
    threads: int,
    report: Callable[[str], None],
    progress: Progress,
) -> Seen:
    """Times all that have a bundle in shuffled turns of one run; the first is the reference.

    Raises BundleError for a model file that cannot be read, before anything runs.
    """
    bundles: dict[str, Bundle] = {item.label: item.bundle for item in built if item.bundle}
    costs = {label: costs_of(bundle) for label, bundle in bundles.items()}
    candidates = [
        Candidate(label, worker_command(bundle.path, threads)) for label, bundle in bundles.items()
    ]
    report("measuring latency")
    watch = Watch()
    timed = measure(candidates, plan, progress)
    environment = watch.finish(cpu_seconds(timed))
    measurements = {m.candidate.name: m for m in timed}
    results = Results(
        bundles=[
            result_of(measurements[label], str(bundle.path), costs[label])
            for label, bundle in bundles.items()
        ],
        environment=environment,
        ratios=ratios_of(timed, plan),
        protocol=protocol_of(plan, threads),
        warnings=warnings(environment),
    )
    profiles = {}
    for label, bundle in bundles.items():
        if measurements[label].status == "measured":
            report(f"profiling {label}")
            profiles[label] = profile_bundle(bundle.path, threads, PROFILED_RUNS)
    return Seen(measurements, profiles, results)


def medians_ms(bundles: Sequence[Bundle], plan: Plan, threads: int) -> list[float]:
    """Latencies of bundles in turns of one run; infinite where one cannot be measured."""
    seen = measure([Candidate(str(b.path), worker_command(b.path, threads)) for b in bundles], plan)
    every = (item.samples_ns for item in seen)
    return [float(np.median(ns)) / 1e6 if ns else math.inf for ns in every]
