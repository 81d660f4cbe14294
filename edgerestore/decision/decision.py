"""From a job to a decision: build, measure, choose, say why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgerestore.backends import find_backend
from edgerestore.decision.accuracy import drop_of
from edgerestore.decision.candidates import Built, build_candidates
from edgerestore.decision.choice import Choice, Option, choose, front, keeps
from edgerestore.decision.measuring import Seen, measure_candidates, medians_ms
from edgerestore.decision.result import Candidate, Decision, Limits
from edgerestore.decision.words import reasons
from edgerestore.errors import InputError
from edgerestore.evaluation import protocol
from edgerestore.measure.bench.harness import Plan, Progress
from edgerestore.measure.bench.results import Results, gate_missed
from edgerestore.pipeline.job import Job
from edgerestore.recipe import Target

ORDER = ("fp32", "fp16", "bf16", "int8")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision, and the run that it rests on with its raw samples."""

    decision: Decision
    results: Results


def decide(
    job: Job,
    limits: Limits,
    plan: Plan,
    threads: int = 0,
    report: Report = lambda stage: None,
    progress: Progress = lambda done: None,
) -> Decided:
    """Builds every precision of the job's one target, measures them and chooses.

    The bundles stay in ``job.out``, those that miss their gate included. Raises InputError
    where there are no pairs to measure accuracy on, MissingPartError where the target cannot
    execute here, and what a build raises where FP32 itself cannot be built.
    """
    (target,) = {target.name: target for target, _ in job.cases}.values()
    find_backend(target.backend).require(target.device)
    if not job.evaluation:
        raise InputError(f"{job.spec.name}: no pairs are shipped for its task; give --data DIR")
    cases = sorted(job.cases, key=lambda case: ORDER.index(case[1]))
    built = build_candidates(
        dataclasses.replace(job, cases=tuple(cases)),
        limits,
        lambda bundles: medians_ms(bundles, plan, threads),
        report,
    )
    seen = measure_candidates(built, plan, threads, report, progress)
    options = _options(built, seen)
    choice = choose(options, limits)
    return Decided(_decision(job, target, built, seen, options, choice, limits), seen.results)


def _options(built: Sequence[Built], seen: Seen) -> list[Option]:
    found = []
    for item in built:
        accuracy = item.bundle.manifest.accuracy if item.bundle else None
        if item.bundle is None or accuracy is None:
            continue
        measurement = seen.measurements[item.label]
        if measurement.status == "measured":
            size = item.bundle.file_bytes
            found.append(Option(item.label, drop_of(accuracy), measurement.turns_ns, size))
    return found


def _decision(
    job: Job,
    target: Target,
    built: Sequence[Built],
    seen: Seen,
    options: Sequence[Option],
    choice: Choice,
    limits: Limits,
) -> Decision:
    on_front = front(options)
    known = {option.label: option for option in options}
    environment = seen.results.environment
    return Decision(
        model=job.spec.name,
        target=target.name,
        answer=choice.answer,
        recommended=choice.label,
        rivals=choice.rivals,
        reasons=reasons(
            choice,
            options,
            limits,
            seen.profiles,
            {i.label: i.float_modules for i in built},
            environment.cpu_units if target.device == "CPU" else (),
        ),
        limits=limits,
        data=job.evaluation_name,
        accuracy_protocol=protocol(border=job.spec.border, tile=job.tile, overlap=job.overlap),
        latency_protocol=seen.results.protocol,
        candidates=[
            _candidate(item, known.get(item.label), seen, limits, item.label in on_front)
            for item in built
        ],
        environment=environment,
        warnings=seen.results.warnings,
    )


def _candidate(
    item: Built, option: Option | None, seen: Seen, limits: Limits, on_front: bool
) -> Candidate:
    bundle = item.bundle
    if bundle is None:
        return Candidate(
            label=item.label,
            precision=item.precision,
            bundle=None,
            float_modules=item.float_modules,
            status="not built",
            reason=item.reason,
        )
    row = next(row for row in seen.results.bundles if row.name == item.label)
    profile = seen.profiles.get(item.label)
    accuracy = bundle.manifest.accuracy
    return Candidate(
        label=item.label,
        precision=item.precision,
        bundle=str(bundle.path),
        float_modules=item.float_modules,
        status=row.status,
        reason=row.reason,
        keeps=keeps(option, limits) if option else "no",
        on_front=on_front,
        gate_missed=gate_missed(accuracy),
        drop=drop_of(accuracy) if accuracy else None,
        psnr_y_db=accuracy.images if accuracy else (),
        latency_ms=row.latency_ms,
        against_fp32=next((r for r in seen.results.ratios if r.name == item.label), None),
        peak_host_mib=row.peak_host_mib,
        peak_device_mib=row.peak_device_mib,
        file_bytes=bundle.file_bytes,
        profile=profile.groups if profile else None,
        profile_summary=profile.summary if profile else [],
    )
