"""What a profile means, in sentences: why lower precision does not pay, where it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from edgerestore.measure.bench.profile.groups import share_of
from edgerestore.measure.bench.profile.operators import FLOATS, PRODUCTS, Kind, Operator, count_held

SMALLEST_SHARE = 0.005
"""Of the time; what takes less is not worth a sentence."""


def summary(operators: Sequence[Operator]) -> list[str]:
    """A few sentences: products by precision, what stays in float, and what is moved about."""
    found = [
        _products(operators),
        _attention(operators),
        _in_float(operators),
        _element_wise(operators),
        _moved(operators),
    ]
    return [sentence for sentence in found if sentence]


def counted(number: int, one: str) -> str:
    """A number with its noun: 1 softmax, 36 LayerNorms."""
    ending = "es" if one.endswith(("x", "s")) else "s"
    return f"{number} {one}{'' if number == 1 else ending}"


def float_parts(operators: Iterable[Operator]) -> list[str]:
    """Such as 36 LayerNorms, 108 softmaxes; empty where there are neither."""
    operators = list(operators)
    return [
        counted(number, name)
        for number, name in (
            (count_held(operators, "normalisation"), "LayerNorm"),
            (count_held(operators, "softmax"), "softmax"),
        )
        if number
    ]


def listed(parts: Sequence[str]) -> str:
    """With commas and a last "and"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def percent(share: float) -> str:
    """A share of the time, in whole per cent from 1 on."""
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _products(operators: Sequence[Operator]) -> str:
    total = sum(o.products for o in operators)
    if not total:
        return ""
    ran = Counter({"in INT8": sum(o.products_int8 for o in operators)})
    for operator in operators:
        where = f"in {operator.precision.upper()}"
        if operator.precision == "int8":
            where = "in float inside fused attention"
        ran[where] += operator.products - operator.products_int8
    parts = [f"{number} {where}" for where, number in ran.most_common() if number]
    parts[0] = parts[0].replace(" ", " run ", 1)
    return (
        f"Of {total} matrix products and convolutions {listed(parts)}; their kernels take "
        f"{percent(share_of(operators, PRODUCTS))} of the time."
    )


def _attention(operators: Sequence[Operator]) -> str:
    fused = [o for o in operators if o.kind == "attention"]
    if not fused:
        return ""
    kernels, softmaxes = sum(o.calls for o in fused), count_held(fused, "softmax")
    return (
        f"{counted(kernels, 'kernel')} of fused attention "
        f"{'takes' if kernels == 1 else 'take'} {percent(share_of(operators, ['attention']))}; "
        f"{counted(softmaxes, 'softmax')} inside in float."
    )


def _in_float(operators: Sequence[Operator]) -> str:
    kinds: tuple[Kind, ...] = ("normalisation", "softmax")
    alone = [o for o in operators if o.kind in kinds and o.precision in FLOATS]
    parts = float_parts(alone)
    if not parts:
        return ""
    share = percent(share_of(operators, kinds))
    verb = "stays" if sum(o.calls for o in alone) == 1 else "stay"
    return f"{listed(parts)} {verb} in float: {share} of the time."


def _element_wise(operators: Sequence[Operator]) -> str:
    kinds: tuple[Kind, ...] = ("element-wise", "reduction", "other")
    share = share_of(operators, kinds)
    if share < SMALLEST_SHARE:
        return ""
    return f"Element-wise operators, pooling and resizing take {percent(share)}."


def _moved(operators: Sequence[Operator]) -> str:
    copies, conversions = (share_of(operators, [kind]) for kind in ("layout copy", "conversion"))
    if copies + conversions < SMALLEST_SHARE:
        return ""
    parts = [
        f"{percent(share)} {what}"
        for share, what in ((copies, "layout copies"), (conversions, "conversions of type"))
        if share
    ]
    return f"{percent(copies + conversions)} moves values without computing: {listed(parts)}."
