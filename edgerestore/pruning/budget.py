"""Which units go: the least important ones for what they cost, over the whole network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from edgerestore.errors import InputError
from edgerestore.networks.widths import select
from edgerestore.pruning.axes import Axis, selection_without
from edgerestore.pruning.importance import Contributions, importance
from edgerestore.recipe.pruning import Part

Cost = Callable[[nn.Module], float]
"""What a network costs, in any unit: multiply-accumulates, milliseconds."""

CHUNK = 0.04
"""Share of the cost after whose removal savings are measured anew: they depend on each other."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What pruning may touch, and how far."""

    parts: Collection[Part]
    least: float
    """Share of each axis that stays whatever it is worth."""
    step: int = 1
    """Units that go at once, so that widths stay multiples where they began as such."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Units of one axis that may go next, and what each of them is called."""

    axis: Axis
    part: Part
    units: tuple[int, ...]


def without(network: nn.Module, removed: dict[Axis, set[int]]) -> nn.Module:
    """A copy of ``network`` in which these units are gone."""
    pruned = copy.deepcopy(network)
    select(pruned, selection_without(network, removed))
    return pruned


def choose(
    network: nn.Module,
    contributions: Contributions,
    cost: Cost,
    budget: float,
    limits: Limits,
    report: Callable[[float], None] = lambda cost: None,
) -> nn.Module:
    """A copy of ``network`` that costs ``budget`` or less.

    Again and again what goes is the candidate of the least importance for what it saves.
    Raises InputError where the limits do not let the cost down so far.
    """
    chooser = _Chooser(network, contributions, limits)
    pruned, now = network, cost(network)
    chunk = CHUNK * now
    while now > budget:
        report(now)
        savings = {(c.axis, c.part): now - cost(chooser.trial(c)) for c in chooser.candidates()}
        chooser.remove(savings, chunk, now - budget)
        pruned = chooser.pruned()
        before, now = now, cost(pruned)
        if now >= before:
            raise InputError(
                f"the network cannot cost {budget:.4g}: at {now:.4g}, nothing more may go"
            )
    return pruned


@dataclass(slots=True)
class _Chooser:
    network: nn.Module
    contributions: Contributions
    limits: Limits
    removed: dict[Axis, set[int]] = field(default_factory=dict)

    def pruned(self) -> nn.Module:
        return without(self.network, self.removed)

    def trial(self, candidate: Candidate) -> nn.Module:
        gone = self.removed.get(candidate.axis, set()) | set(candidate.units)
        return without(self.network, {**self.removed, candidate.axis: gone})

    def remove(self, savings: dict[tuple[Axis, Part], float], enough: float, wanted: float) -> None:
        """Removes what matters least for what it saves, until enough is saved by estimate.

        What is saved beyond ``wanted`` is worth nothing.
        """
        saved = 0.0
        while saved < min(enough, wanted):
            worth = {
                candidate: self._importance(candidate) / min(saving, wanted - saved)
                for candidate in self.candidates()
                if (saving := savings.get((candidate.axis, candidate.part), 0.0)) > 0
            }
            if not worth:
                return
            least = min(worth, key=lambda candidate: worth[candidate])
            self.removed.setdefault(least.axis, set()).update(least.units)
            saved += savings[least.axis, least.part]

    def candidates(self) -> Iterator[Candidate]:
        """The next units of each axis, by each name that their removal has."""
        for axis in self.contributions:
            for part in sorted(axis.parts.intersection(self.limits.parts)):
                units = self._next(axis, part)
                if units and self._may_go(axis, units):
                    yield Candidate(axis, part, units)

    def _next(self, axis: Axis, part: Part) -> tuple[int, ...]:
        gone = self.removed.get(axis, set())
        left = [unit for unit in range(axis.units) if unit not in gone]
        ranked = sorted(left, key=lambda unit: self._alone(axis, unit))
        if axis.attention is None:
            return tuple(ranked[: self.limits.step])
        heads = {head: [u for u in ranked if axis.head_of(u) == head] for head in range(axis.heads)}
        heads = {head: units for head, units in heads.items() if units}
        if part == "head-widths":
            return tuple(u for units in heads.values() for u in units[: self.limits.step])
        rows = self.contributions[axis]
        return tuple(min(heads.values(), key=lambda units: importance(rows, units)))

    def _may_go(self, axis: Axis, units: Sequence[int]) -> bool:
        left = axis.units - len(self.removed.get(axis, ())) - len(units)
        return left >= max(1, math.ceil(self.limits.least * axis.units))

    def _alone(self, axis: Axis, unit: int) -> float:
        return importance(self.contributions[axis], [unit])

    def _importance(self, candidate: Candidate) -> float:
        return importance(self.contributions[candidate.axis], candidate.units)
