"""In what times compare: of one run, or per pixel where runs do not give as many."""

from __future__ import annotations

from edgerestore.bench.results import Result, Results


def per_pixel(session: Results) -> bool:
    """Whether one run of some bundles gives more pixels than one of others."""
    return any(ratio.per_pixel for ratio in session.ratios)


def time_unit(session: Results) -> tuple[str, str]:
    """The unit of times that compare, and what they are of."""
    return ("ms/MP", "one megapixel of output") if per_pixel(session) else ("ms", "one run")


def work_of(session: Results, result: Result) -> float:
    """What a time of one run is divided by for that unit: megapixels of output, or 1."""
    latency, rate = result.latency_ms, result.megapixels_per_s
    return rate * latency.p50 / 1e3 if latency and rate and per_pixel(session) else 1.0
