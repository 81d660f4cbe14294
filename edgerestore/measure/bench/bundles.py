"""Measures bundles: checks first, times afterwards, and says why where it does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edgerestore.bundle import Bundle, read_bundle
from edgerestore.errors import InputError
from edgerestore.graphs.facts import graph_facts
from edgerestore.measure.bench.environment import Watch, warnings
from edgerestore.measure.bench.further import Further, Run, Stage, measure_apart, measure_settings
from edgerestore.measure.bench.harness import TURN_WARM_UP, Candidate, Measurement, Plan, Progress
from edgerestore.measure.bench.results import Costs, Results, gate_missed, ratios_of, result_of
from edgerestore.measure.bench.statistics import CONFIDENCE, P90_SAMPLES, P99_SAMPLES

PER_PIXEL = (
    "ratios are of time per pixel of output: one run of some bundles gives more than another"
)


def bench_bundles(
    paths: Sequence[Path],
    plan: Plan,
    threads: int = 0,
    progress: Progress = lambda _: None,
    further: Further | None = None,
    stage: Stage = lambda _: None,
) -> Results:
    """Measures bundles in one interleaved run; the first is what ratios are against.

    A bundle that misses its accuracy gate or fails parity on its probe has no timing, nor
    has one that cannot execute here; each says why. What ``further`` names is measured
    afterwards. ``progress`` hears the fraction done, ``stage`` what is under way. Raises
    BundleError for a bundle that is damaged, or whose graph cannot be read, before anything
    runs.
    """
    if not paths:
        raise InputError("give at least one bundle")
    further = further or Further()
    bundles = [read_bundle(path) for path in paths]
    names = unique([bundle.name for bundle in bundles])
    known = dict(zip(names, bundles, strict=True))
    # A graph that cannot be read must not cost the measurements of the others.
    costs = {name: costs_of(bundle) for name, bundle in known.items()}
    commands = [worker_command(bundle.path, threads) for bundle in bundles]
    candidates = [Candidate(*pair) for pair in zip(names, commands, strict=True)]
    refused = {
        name: Measurement(candidate, "below accuracy gate", missed)
        for name, candidate, bundle in zip(names, candidates, bundles, strict=True)
        if (missed := gate_missed(bundle.manifest.accuracy))
    }
    run = Run(1 + further.stages, progress, stage)
    watch = Watch()
    timed = run.measure("one at a time", [c for c in candidates if c.name not in refused], plan)
    seen = refused | {m.candidate.name: m for m in timed}
    rows = {
        name: result_of(seen[name], str(bundle.path), costs[name]) for name, bundle in known.items()
    }
    ran = [(row, known[row.name]) for row in rows.values() if row.status == "measured"]
    ran = [(row, known[row.name]) for row in measure_settings(run, ran, further, plan, threads)]
    environment = watch.finish(run.cpu_seconds)
    alone = {candidate.name: candidate for candidate in candidates}
    rows |= {row.name: row for row in measure_apart(run, ran, alone, further, threads)}
    progress(1.0)
    ratios = ratios_of(timed, plan)
    unlike = {"per pixel": PER_PIXEL} if any(ratio.per_pixel for ratio in ratios) else {}
    return Results(
        bundles=list(rows.values()),
        environment=environment,
        ratios=ratios,
        protocol=protocol_of(plan, threads) | unlike | further.protocol(),
        warnings=warnings(environment),
    )


def costs_of(bundle: Bundle) -> Costs:
    """What a bundle's manifest and model file say of it.

    Raises BundleError for a model file that cannot be read.
    """
    manifest, contract = bundle.manifest, bundle.manifest.contract
    facts = graph_facts(bundle)
    return Costs(
        params=manifest.costs.params,
        macs=manifest.costs.macs,
        macs_not_counted=manifest.costs.not_counted,
        activations=manifest.costs.activations,
        attention_score_bytes=manifest.costs.attention_score_bytes,
        file_bytes=bundle.file_bytes,
        weight_bytes=facts.weight_bytes if facts else None,
        operators=manifest.costs.operators,
        input_shape=[contract.batch, contract.channels, contract.tile, contract.tile],
        model=manifest.model.name,
        precision=manifest.precision,
        target=manifest.target.name,
        accuracy=manifest.accuracy,
        built=manifest.parity,
    )


def protocol_of(plan: Plan, threads: int) -> dict[str, str]:
    """How the numbers were taken, in words that a report can print."""
    limits = [
        f"{plan.seconds:g} s" if plan.seconds is not None else "",
        f"{plan.samples} samples" if plan.samples is not None else "",
    ]
    return {
        "clock": "perf_counter_ns around one inference, host array to host array, "
        "copies to and from a device included",
        "input": "the bundle's probe, whose first output passed parity before any timing",
        "processes": "one per bundle, all loaded, running one at a time",
        "order": f"rounds of turns of {plan.turn_seconds:g} s, at most, shuffled with seed "
        f"{plan.seed}",
        "warm_up": f"{plan.warm_up_runs} runs and {plan.warm_up_seconds:g} s after loading, "
        f"{TURN_WARM_UP} run before each turn, discarded",
        "until": " or ".join(filter(None, limits)) + " per bundle",
        "threads": str(threads) if threads else "the runtime's choice",
        "p90": f"only from {P90_SAMPLES} samples on",
        "p99": f"only from {P99_SAMPLES} samples on",
        "ratios": "median over rounds of one turn's median over the reference's of that round; "
        f"{CONFIDENCE:.0%} bootstrap interval",
        "host memory": "peak resident memory of the bundle's own process",
    }


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that repeat numbered from their second occurrence on."""
    taken: set[str] = set()
    found = []
    for name in names:
        numbered, number = name, 2
        while numbered in taken:
            numbered, number = f"{name} ({number})", number + 1
        taken.add(numbered)
        found.append(numbered)
    return found


def worker_command(path: Path, threads: int, compiled: Path | None = None) -> tuple[str, ...]:
    """What starts a worker that serves the bundle; 0 threads are the runtime's choice.

    The folder ``compiled`` keeps what was compiled for the next worker.
    """
    module = "edgerestore.measure.bench.worker"
    kept = () if compiled is None else (f"--compiled={compiled.resolve()}",)
    return (sys.executable, "-m", module, f"--threads={threads}", *kept, "--", str(path.resolve()))
