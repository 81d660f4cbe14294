"""The fewest modules in float that keep a network within what it may lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Found(Generic[Outcome]):
    """Where a search ended."""

    modules: tuple[str, ...] | None
    """Modules to leave in float; None where not even all of them are enough."""
    tried: tuple[tuple[int, Outcome], ...]
    """Numbers of modules in float and what came of them, in the order of trying."""


def fewest_in_float(
    ranked: Sequence[str],
    measure: Callable[[tuple[str, ...]], Outcome],
    holds: Callable[[Outcome], bool],
) -> Found[Outcome]:
    """Leaves the first 0, 1, 2, 4, ... of ``ranked`` in float until that holds, then halves.

    ``ranked`` names the modules that hurt most first. What is measured must not be assumed to
    improve with every module, so the set that is returned was itself seen to hold.
    """
    tried: dict[int, Outcome] = {}

    def enough(count: int) -> bool:
        tried[count] = measure(tuple(ranked[:count]))
        return holds(tried[count])

    count, failed = 0, -1
    while not enough(count):
        if count == len(ranked):
            return Found(None, tuple(tried.items()))
        failed, count = count, min(max(1, 2 * count), len(ranked))
    while count - failed > 1:
        middle = (count + failed) // 2
        if enough(middle):
            count = middle
        else:
            failed = middle
    return Found(tuple(ranked[:count]), tuple(tried.items()))
