"""Which modules a mixed candidate leaves in float."""

from __future__ import annotations

from collections.abc import Callable

from edgerestore.build import mixed
from edgerestore.build.job import Builder
from edgerestore.bundle import Accuracy
from edgerestore.decide.result import Limits
from edgerestore.errors import AccuracyError
from edgerestore.recipe import Target

SIZES = (2, 6)
"""How many of the most sensitive modules candidates leave in float where INT8 needs none."""


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
    allowed = mixed.Limits(limits.mean_drop_db, limits.worst_drop_db)
    if allowed.hold(accuracy):
        # All of them in float would be no mixture.
        return [tuple(modules[:size]) for size in SIZES if size < len(modules)]
    found = mixed.fewest_modules(builder, target, ranked, allowed, report).modules
    if not found:
        raise AccuracyError(
            f"INT8 misses the limits whichever of its {len(modules)} modules stay in float"
        )
    return [found]
