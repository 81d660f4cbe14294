"""A decision's file as results that a report can show beside others."""

from __future__ import annotations

from typing import Any

import msgspec

from edgerestore.bundle import Accuracy
from edgerestore.decision.result import SCHEMA, Candidate, Decision
from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.results import Result, Results
from edgerestore.measure.report.reading import Read, require_schema, take_session


def take_decision(document: dict[str, Any], read: Read) -> list[Environment]:
    """Adds a decision as a session without raw samples, its answer and its reasons.

    Raises ValueError or msgspec's errors, which name the field, for another document.
    """
    require_schema(document, SCHEMA)
    decision = msgspec.convert(document, Decision)
    taken = take_session(_results(decision), read)
    name = f"{decision.model} on {decision.target}"
    said = f"{decision.answer}: {decision.recommended}" if decision.recommended else decision.answer
    read.facts[name] = said
    read.notes += [f"{name}: {reason}" for reason in decision.reasons]
    return taken


def _results(decision: Decision) -> Results:
    return Results(
        bundles=[_row(decision, candidate) for candidate in decision.candidates],
        environment=decision.environment,
        ratios=[c.against_fp32 for c in decision.candidates if c.against_fp32],
        protocol=dict(decision.latency_protocol),
        warnings=decision.warnings,
    )


def _row(decision: Decision, candidate: Candidate) -> Result:
    status = "failed" if candidate.status == "not built" else candidate.status
    return Result(
        bundle=candidate.bundle or candidate.label,
        name=candidate.label,
        status=status,
        reason=candidate.reason,
        latency_ms=candidate.latency_ms,
        peak_host_mib=candidate.peak_host_mib,
        peak_device_mib=candidate.peak_device_mib,
        file_bytes=candidate.file_bytes,
        model=decision.model,
        precision=candidate.precision,
        accuracy=_accuracy(decision, candidate),
    )


def _accuracy(decision: Decision, candidate: Candidate) -> Accuracy | None:
    if candidate.drop is None:
        return None
    return Accuracy(
        data=decision.data,
        protocol=decision.accuracy_protocol,
        images=candidate.psnr_y_db,
        mean_drop_db=candidate.drop.mean_db,
        worst_drop_db=candidate.drop.worst_db,
        allowed_mean_drop_db=decision.limits.mean_drop_db,
        allowed_worst_drop_db=decision.limits.worst_drop_db,
    )
