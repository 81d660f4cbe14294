"""The plane of accuracy and latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerestore.bundle import Accuracy
from edgerestore.measure.bench.results import Results
from edgerestore.measure.report.axes import (
    MARGIN,
    Axis,
    axis_over,
    both_widths,
    horizontal_grid,
    line,
    svg,
    text,
    vertical_grid,
)
from edgerestore.measure.report.labels import Box, labelled
from edgerestore.measure.report.markup import Markup, behind, tag
from edgerestore.measure.report.verdicts import UNSEEN_DB, Verdicts, signed
from edgerestore.measure.report.work import time_unit, work_of

HEIGHT, LEFT, TOP, BOTTOM = 320, 46, 28, 44


@dataclass(frozen=True, slots=True)
class Point:
    """One bundle on the plane."""

    label: str
    ms: float
    """Median latency, of one run or of one megapixel."""
    accuracy: Accuracy


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other equals in both and betters in one of latency and mean loss.

    The fastest first.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.ms, p.accuracy.mean_drop_db)):
        if not front or point.accuracy.mean_drop_db < front[-1].accuracy.mean_drop_db:
            front.append(point)
    return front


def plane_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Accuracy lost against latency, one point per bundle; None without a pair."""
    points = []
    for result in verdicts.timed(session):
        accuracy, latency = verdicts.accuracy_of(result), verdicts.latency(result)
        if accuracy and latency:
            ms = latency.p50 / work_of(session, result)
            points.append(Point(verdicts.label(result.name), ms, accuracy))
    if not points:
        return None
    front = pareto_front(points)
    unit, of = time_unit(session)
    rows = (
        [
            point.label,
            f"{point.ms:.2f}",
            signed(point.accuracy.mean_drop_db, 3),
            signed(point.accuracy.worst_drop_db, 3),
            "yes" if point in front else "no",
        ]
        for point in points
    )
    head = ("Bundle", f"Median {unit}", "Mean dB lost", "Worst dB lost", "On the front")
    return both_widths(
        lambda width: _plane(width, points, front, unit, of),
        "Upper left is better. The dot is the mean loss against the FP32 network, its line ends "
        "at the worst image; filled dots joined by a line are the Pareto front, which no other "
        "bundle beats in both; dashed lines are the loosest gate.",
        behind("Accuracy lost and latency", head, rows),
    )


def _plane(
    width: int, points: Sequence[Point], front: Sequence[Point], unit: str, of: str
) -> Markup:
    gates = {
        "mean allowed": max(p.accuracy.allowed_mean_drop_db for p in points),
        "worst allowed": max(p.accuracy.allowed_worst_drop_db for p in points),
    }
    drops = [x for p in points for x in (p.accuracy.mean_drop_db, p.accuracy.worst_drop_db)]
    # Gains that nobody can see would only add an empty band above zero.
    drops = [0.0 if -UNSEEN_DB < drop < 0 else drop for drop in drops]
    across = axis_over(0.0, max(p.ms for p in points) * 1.1, LEFT, width - MARGIN)
    down = axis_over(min([0.0, *drops]), max([*drops, *gates.values()]), TOP, HEIGHT - BOTTOM)
    grid = horizontal_grid(down, LEFT, width - MARGIN)
    for name, value in gates.items():
        y = down.at(value)
        grid.append(line(LEFT, y, width - MARGIN, y, "gate"))
        grid.append(text(LEFT + 6, y - 5, name, "t small halo"))
    across_grid = vertical_grid(across, TOP, HEIGHT - BOTTOM, f"ms for {of} (median)", width)
    grid.append(text(0, 11, "dB lost", "t small"))
    title = "Accuracy lost against latency: " + "; ".join(
        f"{p.label} {p.ms:.2f} {unit}, {signed(p.accuracy.mean_drop_db)} dB" for p in points
    )
    drawn = [_staircase(front, across, down), *_marks(points, front, across, down)]
    return svg(width, HEIGHT, title, *across_grid, *grid, *drawn)


def _staircase(front: Sequence[Point], across: Axis, down: Axis) -> Markup:
    """From the fastest to the most accurate: what lies above and left of it is not reached."""
    places = [(across.at(p.ms), down.at(p.accuracy.mean_drop_db)) for p in front]
    path = "M" + " ".join(
        f"{x:g} {y:g}" if number == 0 else f"H{x:g} V{y:g}" for number, (x, y) in enumerate(places)
    )
    return tag("path", d=path, class_="front")


def _marks(
    points: Sequence[Point], front: Sequence[Point], across: Axis, down: Axis
) -> list[Markup]:
    marks, named = [], []
    for point in sorted(points, key=lambda p: p.accuracy.mean_drop_db):
        x, y = across.at(point.ms), down.at(point.accuracy.mean_drop_db)
        marks.append(line(x, y, x, down.at(point.accuracy.worst_drop_db), "interval"))
        kind = "point" if point in front else "point beaten"
        marks.append(tag("circle", cx=x, cy=y, r=5, class_=kind))
        named.append((point.label, x, y))
    frame = Box(across.begin, 0, across.end, down.end)
    return [*labelled(named, frame), *marks]
