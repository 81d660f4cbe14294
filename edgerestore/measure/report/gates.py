"""Verdicts of the gate: the latest of each pair of bundles in full, all of them over time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edgerestore.measure.gate.latency import Latency
from edgerestore.measure.gate.verdict import Side, Verdict
from edgerestore.measure.gate.words import fact_words, latency_words
from edgerestore.measure.report.axes import (
    MARGIN,
    Axis,
    axis_over,
    both_widths,
    horizontal_grid,
    line,
    svg,
    text,
)
from edgerestore.measure.report.markup import (
    NONE,
    Content,
    Markup,
    behind,
    breakable,
    decimal,
    joined,
    table,
    tag,
)
from edgerestore.measure.report.shapes import mark
from edgerestore.measure.report.verdicts import readable_time

MOST = 40
"""Verdicts drawn, the latest ones; the table has them all."""
COMMIT_DIGITS = 10
HEIGHT, LEFT, TOP, BOTTOM = 240, 46, 24, 36
MARKS = {"pass": 0, "regressed": 1, "improved": 3, "inconclusive": 6}
"""Shapes by answer: disc, square, triangle, ring."""


def gates_section(verdicts: Sequence[Verdict]) -> Markup | None:
    """Each pair of names in the order of its first verdict; None without any."""
    pairs: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        pairs.setdefault((verdict.candidate.name, verdict.baseline.name), []).append(verdict)
    return joined(_pair(seen) for seen in pairs.values()) if pairs else None


def _pair(seen: Sequence[Verdict]) -> Markup:
    last = seen[-1]
    heading = joined([breakable(last.candidate.name), " against ", breakable(last.baseline.name)])
    said = f"{last.answer}: {last.candidate.given} against {last.baseline.given}"
    kind = {"pass": "good", "improved": "good", "regressed": "bad"}.get(last.answer, "unproven")
    when = readable_time(last.environment.taken_at)
    return joined(
        [
            tag("h3", heading),
            tag("p", tag("span", said, class_=f"pill {kind}"), class_="verdict"),
            table(f"Checks of the latest verdict, {when}", ("Check", "Answer"), _checks(last)),
            *(tag("p", f"Caution: {warning}.", class_="caution") for warning in last.warnings),
            _history(seen),
        ]
    )


def _checks(verdict: Verdict) -> list[list[Content]]:
    latency = verdict.latency
    said = latency_words(latency) if latency else f"not compared: {verdict.latency_reason}"
    rows = [("latency", said), *((fact.check, fact_words(fact)) for fact in verdict.facts)]
    return [[check, tag("span", words, class_="prose")] for check, words in rows]


def _history(seen: Sequence[Verdict]) -> Markup:
    every = behind(
        "Verdicts, the oldest first",
        ("Taken at", "Candidate", "Its commit", "Baseline", "Its commit", "Answer",
         "Latency ratio", "From", "To", "Pairs"),
        (_row(verdict) for verdict in seen),
    )  # fmt: skip
    timed = [verdict for verdict in seen if verdict.latency is not None][-MOST:]
    if not timed:
        return every
    caption = (
        "Latency over the baseline's, verdict by verdict, with its interval; the band is what "
        "does not matter, around 1 or the accepted ratio. Disc: pass; square: regressed; "
        "triangle: improved; ring: inconclusive."
    )
    return both_widths(lambda width: _timeline(width, timed), caption, every)


def _row(verdict: Verdict) -> list[Content]:
    latency = verdict.latency
    figures = [NONE] * 4
    if latency is not None:
        inner = (decimal(x, 3) for x in (latency.low, latency.high))
        figures = [decimal(latency.ratio, 3), *inner, str(latency.pairs)]
    return [
        readable_time(verdict.environment.taken_at),
        breakable(verdict.candidate.given),
        _commit(verdict.candidate) or NONE,
        breakable(verdict.baseline.given),
        _commit(verdict.baseline) or NONE,
        verdict.answer,
        *figures,
    ]


def _commit(side: Side) -> str:
    return (side.revision or "")[:COMMIT_DIGITS]


def _timeline(width: int, seen: Sequence[Verdict]) -> Markup:
    known = [verdict.latency for verdict in seen if verdict.latency is not None]
    down = _axis(known)
    right = width - MARGIN - 12
    step = (right - LEFT - 20) / max(1, len(known) - 1)
    first = LEFT + 14 + (0 if len(known) > 1 else (right - LEFT) / 2)
    places = [first + step * number for number in range(len(known))]
    drawn = [*_bands(known, places, width - MARGIN, down), *_frame(width, down)]
    for x, latency in zip(places, known, strict=True):
        if latency.low is not None and latency.high is not None:
            drawn.append(line(x, down.at(latency.low), x, down.at(latency.high), "interval"))
        bad = "bad" if latency.answer == "regressed" else ""
        drawn.append(mark(MARKS[latency.answer], x, down.at(latency.ratio), bad))
    begin, end = (
        f"{readable_time(v.environment.taken_at)[:10]} {_commit(v.candidate)}".rstrip()
        for v in (seen[0], seen[-1])
    )
    drawn.append(text(LEFT + 2, HEIGHT - 14, begin, "t small"))
    if len(known) > 1:
        drawn.append(text(width - MARGIN, HEIGHT - 14, end, "t small", "end"))
    title = "Latency ratios over time: " + "; ".join(
        f"{_commit(v.candidate)} {v.latency.ratio:.3f} {v.latency.answer}".lstrip()
        for v in seen
        if v.latency is not None
    )
    return svg(width, HEIGHT, title, *drawn)


def _axis(known: Sequence[Latency]) -> Axis:
    ends = [x for k in known for x in (1.0, k.ratio, k.low, k.high) if x is not None]
    room = [k.expected * (1 + side * 2 * k.threshold) for k in known for side in (-1, 1)]
    return axis_over(min(*ends, *room), max(*ends, *room), HEIGHT - BOTTOM, TOP)


def _bands(
    known: Sequence[Latency], places: Sequence[float], right: float, down: Axis
) -> list[Markup]:
    """What does not matter, which another file of accepted differences may have moved."""
    edges = [LEFT, *((a + b) / 2 for a, b in itertools.pairwise(places)), right]
    drawn, begin = [], 0
    for (expected, threshold), same in itertools.groupby(
        known, lambda latency: (latency.expected, latency.threshold)
    ):
        end = begin + len(list(same))
        upper, lower = down.at(expected * (1 + threshold)), down.at(expected / (1 + threshold))
        span = {"x": round(edges[begin], 1), "width": round(edges[end] - edges[begin], 1)}
        height = round(lower - upper, 1)
        drawn.append(tag("rect", y=upper, height=height, class_="band", **span))
        begin = end
    return drawn


def _frame(width: int, down: Axis) -> list[Markup]:
    drawn = horizontal_grid(down, LEFT, width - MARGIN)
    drawn.append(line(LEFT, down.at(1), width - MARGIN, down.at(1), "one"))
    drawn.append(text(0, 11, "times the baseline's latency", "t small"))
    return drawn
