"""Operators added up by what they are and what they ran in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from edgerestore.measure.bench.profile.operators import Kind, Operator


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Operators of one type in one precision."""

    type: str
    kind: Kind
    precision: str
    calls: int
    us: float
    share: float
    """Of the time of all operators, 0 to 1."""
    kernels: list[str]
    """Those that take most time first."""


def grouped(operators: Sequence[Operator]) -> list[Group]:
    """Groups by type and precision, those that take most time first."""
    total = sum(o.us for o in operators) or 1.0
    found: dict[tuple[str, Kind, str], list[Operator]] = defaultdict(list)
    for operator in operators:
        found[operator.type, operator.kind, operator.precision].append(operator)
    groups = [
        Group(
            type=type_,
            kind=kind,
            precision=precision,
            calls=sum(o.calls for o in members),
            us=sum(o.us for o in members),
            share=sum(o.us for o in members) / total,
            kernels=_kernels(members),
        )
        for (type_, kind, precision), members in found.items()
    ]
    return sorted(groups, key=lambda group: -group.us)


def share_of(operators: Iterable[Operator], kinds: Iterable[Kind]) -> float:
    """The part of the time, 0 to 1, that operators of some kinds take."""
    operators = list(operators)
    wanted = set(kinds)
    return sum(o.us for o in operators if o.kind in wanted) / (sum(o.us for o in operators) or 1.0)


def _kernels(members: Sequence[Operator]) -> list[str]:
    took: dict[str, float] = defaultdict(float)
    for operator in members:
        took[operator.kernel] += operator.us
    return sorted(took, key=lambda kernel: -took[kernel])
