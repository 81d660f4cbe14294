"""Which modules a mixed candidate leaves in float."""

from __future__ import annotations

from collections.abc import Callable

from edgerestore.bundle import Accuracy
from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.search import fewest_in_float
from edgerestore.decision.result import Limits
from edgerestore.errors import AccuracyError
from edgerestore.pipeline import mixed
from edgerestore.pipeline.job import Builder
from edgerestore.recipe import Target

SIZES = (2, 6)
"""How many of the most sensitive modules candidates leave in float where INT8 needs none."""


def attention_modules(plan: Plan) -> tuple[str, ...]:
    """Modules that multiply two activations in INT8."""
    return tuple(sorted({p.module for p in plan.products if p.weight is None}))


def float_sets(
    builder: Builder,
    target: Target,
    accuracy: Accuracy | None,
    limits: Limits,
    report: Callable[[str], None],
) -> list[tuple[str, ...]]:
    """Sets of modules to leave in float, fewest first; ``accuracy`` is that of INT8 alone.

    Where that keeps the limits, the modules that alone hurt most; else the fewest with which
    INT8 keeps them, found by building and measuring. Raises AccuracyError where not even all
    of them are enough.
    """
    report("looking for the modules that INT8 hurts")
    ranked = mixed.ranked_modules(builder, target)
    modules = [item.module for item in ranked]
    if limits.hold(accuracy):
        # All of them in float would be no mixture.
        return [tuple(modules[:size]) for size in SIZES if size < len(modules)]
    found = mixed.fewest_modules(builder, target, ranked, limits, report).modules
    if not found:
        raise AccuracyError(
            f"INT8 misses the limits whichever of its {len(modules)} modules stay in float"
        )
    return [found]


def sets_in_time(
    builder: Builder,
    target: Target,
    latency_ms: Callable[[tuple[str, ...]], float],
    limit_ms: float,
    report: Callable[[str], None],
) -> list[tuple[str, ...]]:
    """Sets of the most sensitive modules, up to the largest whose latency keeps the limit.

    ``latency_ms`` builds INT8 with such a set in float and measures it. Numbers double until one
    is too slow, then the gap is halved; all sets that were fast enough are returned, fewest first,
    as accuracy need not improve with every module.
    """
    report("looking for the modules that INT8 hurts")
    ranked = [item.module for item in mixed.ranked_modules(builder, target)]
    found = fewest_in_float(ranked[:-1], latency_ms, lambda taken: taken > limit_ms)
    fast = sorted(count for count, taken in found.tried if count and taken <= limit_ms)
    return [tuple(ranked[:count]) for count in fast]
