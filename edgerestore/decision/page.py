"""A decision as one HTML file: the plane of accuracy and latency, tables and reasons."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgerestore.decision.decision import Decided
from edgerestore.decision.result import Decision, Limits
from edgerestore.files import write_beside
from edgerestore.measure.bench.results import Result, Results
from edgerestore.measure.report.html import report_html


def write_page(path: Path, decided: Decided) -> None:
    """Writes the file whole or not at all. What keeps the decision's limits is in its figures."""
    decision, limits = decided.decision, decided.decision.limits
    page = report_html(
        title=f"{decision.model} on {decision.target}: {headline(decision)}",
        model={
            "answer": decision.answer,
            "recommended": decision.recommended,
            "might be better": ", ".join(decision.rivals) or None,
            "on the Pareto front": ", ".join(c.label for c in decision.candidates if c.on_front),
            "may lose": f"{limits.mean_drop_db:g} dB mean, {limits.worst_drop_db:g} dB worst",
            "may take": None if limits.latency_ms is None else f"{limits.latency_ms:g} ms",
        },
        bench=_judged(decided.results, limits),
        notes=decision.reasons,
    )
    write_beside(path, page.encode())


def headline(decision: Decision) -> str:
    """The answer in a few words."""
    if decision.answer == "decided":
        return f"deploy {decision.recommended}"
    if decision.recommended:
        return f"undecided, {decision.recommended} is safe"
    return decision.answer


def _judged(results: Results, limits: Limits) -> Results:
    """The results held against the decision's limits instead of each precision's own gate."""
    return msgspec.structs.replace(results, bundles=[_held(row, limits) for row in results.bundles])


def _held(row: Result, limits: Limits) -> Result:
    if row.accuracy is None:
        return row
    accuracy = msgspec.structs.replace(
        row.accuracy,
        allowed_mean_drop_db=limits.mean_drop_db,
        allowed_worst_drop_db=limits.worst_drop_db,
    )
    return msgspec.structs.replace(row, accuracy=accuracy)
