"""Why a candidate is recommended, and why lower precision pays or does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from edgerestore.decision.choice import LATENCY_MARGIN, Choice, Option, keeps, ratio
from edgerestore.decision.result import Limits
from edgerestore.measure.bench.machine.cpu import WITHOUT_VNNI, lacks_vnni
from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.profile.groups import share_of
from edgerestore.measure.bench.profile.operators import FLOATS, PRODUCTS, Kind, Operator
from edgerestore.measure.bench.profile.words import float_parts, listed, percent
from edgerestore.measure.bench.statistics import Interval
from edgerestore.metrics import decibels

FLOAT_LABELS = ("FP32", "FP16", "BF16")
INT8 = "INT8"
MODULES_SHOWN = 3

SHARES: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("fused attention", ("attention",)),
    ("other products", ("convolution", "matrix product")),
    ("LayerNorm and softmax", ("normalisation", "softmax")),
    ("element-wise operators", ("element-wise", "reduction", "other")),
    ("layout copies", ("layout copy",)),
    ("conversions of type", ("conversion",)),
)
"""How the time is split in sentences."""
SMALLEST_SHARE = 0.01
"""That is named."""


def reasons(
    choice: Choice,
    options: Sequence[Option],
    limits: Limits,
    profiles: Mapping[str, Profile],
    float_modules: Mapping[str, Sequence[str]],
    units: Sequence[str] = (),
) -> list[str]:
    """Sentences: the choice, each limit that is missed, whether INT8 pays and why, the rivals.

    ``profiles`` and ``float_modules`` are by label; there are no profiles of runtimes whose
    profiler is not read. ``units`` are those of the CPU that multiplies, where one does.
    """
    known = {option.label: option for option in options}
    found = [_choice(choice, known)]
    found += [_missed(option, limits) for option in options if keeps(option, limits) != "yes"]
    floats = [known[label] for label in FLOAT_LABELS if label in known]
    if floats and INT8 in known:
        found += int8_pays(known[INT8], floats, profiles, units)
        found += [
            _mixed(option, known[INT8], float_modules[option.label])
            for option in options
            if float_modules[option.label]
        ]
    found += [_rival(known[label], choice, known) for label in choice.rivals]
    return found


def against(seen: Interval) -> str:
    """A ratio with its interval."""
    if seen.low is None or seen.high is None:
        return f"{seen.median:.2f} times, of too few rounds for an interval,"
    return f"{seen.median:.2f} times ({seen.low:.2f} to {seen.high:.2f})"


def _choice(choice: Choice, known: Mapping[str, Option]) -> str:
    if choice.label is None:
        return "No candidate keeps the limits" + (" for sure." if choice.rivals else ".")
    option = known[choice.label]
    drop = option.drop
    lost = f"{decibels(drop.mean_db)} dB" if drop.mean_db > 0 else "nothing"
    worst = f"{decibels(drop.worst_db)} dB on '{drop.worst_image}'"
    said = f"it loses {lost} in the mean and {worst if drop.worst_db > 0 else 'on no image'}"
    reference = known.get(FLOAT_LABELS[0])
    if reference is None or reference is option:
        return f"{option.label} is recommended: {said}."
    faster = against(ratio(option, reference))
    return f"{option.label} is recommended: {faster} the latency of FP32, and {said}."


def _missed(option: Option, limits: Limits) -> str:
    drop, said = option.drop, []
    if drop.worst_db > limits.worst_drop_db:
        lost = f"loses {decibels(drop.worst_db)} dB on '{drop.worst_image}'"
        said.append(f"{lost} (limit {limits.worst_drop_db:g})")
    if drop.mean_db > limits.mean_drop_db:
        lost = f"loses {decibels(drop.mean_db)} dB in the mean"
        said.append(f"{lost} (limit {limits.mean_drop_db:g})")
    elif drop.high_db is not None and drop.high_db > limits.mean_drop_db:
        high = decibels(drop.high_db)
        said.append(
            f"may lose up to {high} dB in the mean (limit {limits.mean_drop_db:g}), as far as "
            f"{drop.images} images tell"
        )
    if not said and limits.latency_ms is not None:
        said.append(f"does not surely keep {limits.latency_ms:g} ms")
    return f"{option.label} {' and '.join(said)}."


def int8_pays(
    int8: Option,
    floats: Sequence[Option],
    profiles: Mapping[str, Profile],
    units: Sequence[str] = (),
) -> list[str]:
    """Whether INT8 pays against the fastest in float, and what it leaves there.

    ``units`` are those of the CPU that multiplies, where one does.
    """
    fastest = min(floats, key=lambda option: ratio(option, floats[0]).median)
    seen = ratio(int8, fastest)
    compared = f"{against(seen)} the latency of {fastest.label}, the fastest in float"
    because = _because(profiles[int8.label].operators) if int8.label in profiles else ""
    bounds = [f"What bounds it: {because}."] if because else []
    margin = 1 - LATENCY_MARGIN
    if seen.high is not None and seen.high < 1 and seen.median < margin:
        return [f"INT8 pays: {compared}.", *bounds]
    most = _most(profiles.get(fastest.label))
    why = f", because {because}" if because else ""
    if lacks_vnni(units):
        most = [f"{WITHOUT_VNNI[0].upper()}{WITHOUT_VNNI[1:]}.", *most]
    if seen.high is not None and seen.high < 1:
        return [f"INT8 hardly pays here: {compared}{why}.", *most]
    if seen.low is None or seen.low < margin:
        return [f"Whether INT8 pays cannot be told: {compared}.", *bounds, *most]
    return [f"INT8 does not pay here: {compared}{why}.", *most]


def _most(fastest: Profile | None) -> list[str]:
    """What any lower precision could win at most, from a float candidate's profile."""
    if fastest is None:
        return []
    share = share_of(fastest.operators, PRODUCTS)
    return [
        f"Kernels with products are {percent(share)} of the time of {fastest.precision.upper()}: "
        f"were they free, {percent(1 - share)} of it would remain."
    ]


def _because(operators: Sequence[Operator]) -> str:
    products = sum(o.products for o in operators)
    in_float = products - sum(o.products_int8 for o in operators)
    float_kinds = [
        o
        for o in operators
        if o.kind == "attention"
        or (o.kind in ("normalisation", "softmax") and o.precision != "int8")
    ]
    kept = float_parts(float_kinds)
    if in_float:
        kept.append(f"{in_float} of {products} matrix products and convolutions")
    found = [f"{listed(kept)} stay in float, mostly {_rest(operators)}"] if kept else []
    shares = [(what, share_of(operators, kinds)) for what, kinds in SHARES]
    taken = [f"{percent(share)} {what}" for what, share in shares if share >= SMALLEST_SHARE]
    if taken:
        found.append(f"of its time {', '.join(taken)}")
    return "; ".join(found)


def _rest(operators: Sequence[Operator]) -> str:
    """The precision that most of the time outside INT8 goes by, such as FP32."""
    took: dict[str, float] = defaultdict(float)
    for operator in operators:
        if operator.precision in FLOATS:
            took[operator.precision] += operator.us
    return max(took, key=lambda name: took[name]).upper() if took else "FP32"


def _mixed(option: Option, int8: Option, modules: Sequence[str]) -> str:
    won = int8.drop.mean_db - option.drop.mean_db
    gain = f"wins {decibels(won)} dB" if won > 0 else f"wins nothing ({decibels(-won)} dB less)"
    named = ", ".join(modules[:MODULES_SHOWN])
    more = f" and {len(modules) - MODULES_SHOWN} more" if len(modules) > MODULES_SHOWN else ""
    return (
        f"Leaving {named}{more} in float {gain} in the mean and takes "
        f"{against(ratio(option, int8))} the latency of INT8."
    )


def _rival(option: Option, choice: Choice, known: Mapping[str, Option]) -> str:
    if choice.label is None:
        return f"{option.label} may keep them: more images, or a longer run, would tell."
    return (
        f"{option.label} may be better: {against(ratio(option, known[choice.label]))} the latency "
        f"of {choice.label}, and {decibels(option.drop.mean_db)} dB lost; a longer run "
        "(--seconds) or more images (--data) would tell."
    )
