"""Every way in which a target can run a network, built and scored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgerestore.backends import find_backend
from edgerestore.bundle import Bundle
from edgerestore.decision.choice import LATENCY_MARGIN
from edgerestore.decision.mixed import attention_modules, float_sets, sets_in_time
from edgerestore.decision.result import Limits
from edgerestore.errors import AccuracyError, EdgeRestoreError
from edgerestore.measure.bench.machine import cpu
from edgerestore.pipeline.job import Builder, Job, builder_of
from edgerestore.recipe import Target
from edgerestore.recipe.scalars import PrecisionName

PARTLY = "INT8 in part"
"""Label of the mixed candidate that was sought and not found."""

Report = Callable[[str], None]
Medians = Callable[[Sequence[Bundle]], list[float]]
"""Latencies in milliseconds of bundles that are timed beside each other."""


@dataclass(frozen=True, slots=True)
class Built:
    """One candidate as it was built, whatever its accuracy."""

    label: str
    precision: PrecisionName
    float_modules: tuple[str, ...] = ()
    bundle: Bundle | None = None
    reason: str | None = None
    """Why there is no bundle."""


def build_candidates(job: Job, limits: Limits, medians_ms: Medians, report: Report) -> list[Built]:
    """FP32 first, then each other precision of the job's cases, then mixed ones.

    All cases are of one target. A candidate that cannot be built says why; the others go on.
    Where the limits name a latency, ``medians_ms`` measures which mixed ones keep it.
    """
    builder = builder_of(dataclasses.replace(job, refuses=False), report)
    builder = builder.on(job.cases[0][0])
    made = [_whole(builder, target, precision) for target, precision in job.cases]
    for (target, _), whole in zip(job.cases, list(made), strict=True):
        if whole.precision != "int8" or whole.bundle is None:
            continue
        if limits.latency_ms is not None:
            made += _in_time(builder, target, whole.bundle, limits.latency_ms, medians_ms, report)
            continue
        accuracy = whole.bundle.manifest.accuracy
        try:
            sets = float_sets(builder, target, accuracy, limits, report)
        except AccuracyError as error:
            made.append(Built(PARTLY, "int8", reason=str(error)))
            continue
        made += [_mixed(builder, target, modules) for modules in sets]
        if target.device == "CPU" and cpu.lacks_vnni(cpu.vector_units()):
            made += _attention_in_float(builder, target, sets)
    return made


def _attention_in_float(
    builder: Builder, target: Target, sets: Sequence[tuple[str, ...]]
) -> list[Built]:
    """Without VNNI no kernel of fused attention runs in INT8: its products may take longer so."""
    modules = attention_modules(builder.emitter.quantizer.plan(target.int8))
    if not modules or modules in sets:
        return []
    made = _built(builder.keeping(modules, builder.job.out / "attention-in-float"), target, "int8")
    label = "INT8, attention in float"
    return [dataclasses.replace(made, label=label, float_modules=modules)]


def _whole(builder: Builder, target: Target, precision: PrecisionName) -> Built:
    label = precision.upper()
    if precision == "int8" and not builder.emitter.quantizer.plan(target.int8).products:
        return Built(label, precision, reason=f"{target.name} runs nothing of it in INT8")
    options = target.options.get(precision, {})
    lacking = find_backend(target.backend).lacks(target.device, options)
    if precision == "bf16" and lacking:
        return Built(label, precision, reason=lacking)
    return _built(builder, target, precision)


def _in_time(
    builder: Builder,
    target: Target,
    whole: Bundle,
    limit_ms: float,
    medians_ms: Medians,
    report: Report,
) -> list[Built]:
    """The mixed candidates that a search for the most float within a latency came by."""
    built: dict[tuple[str, ...], Built] = {}
    (whole_ms,) = medians_ms([whole])

    def measured(modules: tuple[str, ...]) -> float:
        if not modules:
            return whole_ms
        report(f"INT8 with {len(modules)} modules in float, against {limit_ms:g} ms")
        built[modules] = made = _mixed(builder, target, modules)
        if made.bundle is None:
            return math.inf
        # Beside each other, as the machine may be slower by then.
        mine, others = medians_ms([made.bundle, whole])
        return whole_ms * mine / others

    # A little more than is allowed: the last run, of all side by side, decides.
    sets = sets_in_time(builder, target, measured, limit_ms * (1 + LATENCY_MARGIN), report)
    return [built[modules] for modules in sets]


def _mixed(builder: Builder, target: Target, modules: tuple[str, ...]) -> Built:
    out = builder.job.out / f"{len(modules)}-in-float"
    label = f"INT8, {len(modules)} in float"
    made = _built(builder.keeping(modules, out), target, "int8")
    return dataclasses.replace(made, label=label, float_modules=modules)


def _built(builder: Builder, target: Target, precision: PrecisionName) -> Built:
    label = precision.upper()
    try:
        return Built(label, precision, bundle=builder.build(target, precision))
    except EdgeRestoreError as error:
        return Built(label, precision, reason=str(error))
