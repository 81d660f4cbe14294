"""In what times compare: of one run, or per pixel where runs do not give as many."""

from __future__ import annotations

import msgspec

from edgerestore.measure.bench.results import Ratio, Result, Results


def per_pixel(session: Results) -> bool:
    """Whether one run of some bundles gives more pixels than one of others."""
    return any(ratio.per_pixel for ratio in session.ratios)


def time_unit(session: Results) -> tuple[str, str]:
    """The unit of times that compare, and what they are of."""
    return ("ms/MP", "one megapixel of output") if per_pixel(session) else ("ms", "one run")


def work_of(session: Results, result: Result) -> float:
    """What a time of one run is divided by for that unit: megapixels of output, or 1."""
    return (_megapixels(result) or 1.0) if per_pixel(session) else 1.0


def with_work_divided(session: Results) -> Results:
    """The session with ratios per pixel where runs differ in their output.

    The first versions of 'edgerestore bench' compared such runs as they were.
    """
    megapixels = {result.name: _megapixels(result) for result in session.bundles}

    def divided(ratio: Ratio) -> Ratio:
        own, first = megapixels.get(ratio.name), megapixels.get(ratio.against)
        if ratio.per_pixel or not own or not first or own == first:
            return ratio
        low, high = (None if x is None else x * first / own for x in (ratio.low, ratio.high))
        return msgspec.structs.replace(
            ratio, median=ratio.median * first / own, low=low, high=high, per_pixel=True
        )

    return msgspec.structs.replace(session, ratios=[divided(ratio) for ratio in session.ratios])


def _megapixels(result: Result) -> float | None:
    """Output of one run, to the pixel; None where it is not known."""
    latency, rate = result.latency_ms, result.megapixels_per_s
    return round(rate * latency.p50 * 1e3) / 1e6 if latency and rate else None
