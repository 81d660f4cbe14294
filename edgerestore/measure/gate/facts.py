"""What needs no clock: counts, bytes, precisions and decibels of candidate and baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from edgerestore.bundle import Accuracy, Bundle
from edgerestore.graphs.facts import GraphFacts, graph_facts
from edgerestore.measure.bench.results import gate_missed
from edgerestore.measure.gate.accepted import NOT_COMPARED, Accept, CheckName

TOLERANCE: dict[CheckName, float] = {
    "macs": 0.0,
    "weight bytes": 0.0,
    "accuracy mean": 0.01,
    "accuracy worst": 0.02,
}
"""What counts as the same: counted figures exactly, decibels within what another version of a
runtime moves by rounding at the edge of grey levels."""
NARROW = ("int8",)
HALF = ("fp16", "bf16", "fp8")

NOT_TOLD = "a compiled engine does not tell"

Graphs = tuple[GraphFacts | None, GraphFacts | None]
"""Of candidate and baseline."""
FactAnswer = Literal["same", "accepted", "regressed", "improved", "not compared"]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One deterministic check."""

    check: str
    answer: FactAnswer
    """``improved`` beyond what is expected stays so until it is accepted."""
    said: str
    """One line: what was found and what was expected."""
    change: float | dict[str, int] | None = None
    """In the unit of :class:`edgerestore.measure.gate.accepted.Accept`."""
    reason: str | None = None
    """Of the acceptance, or why nothing was compared."""


def compare_facts(
    candidate: Bundle, baseline: Bundle, accepted: Mapping[str, Accept]
) -> list[Fact]:
    """All checks in fixed order. Raises BundleError for a model file that cannot be read."""
    graphs = (graph_facts(candidate), graph_facts(baseline))
    macs = (candidate.manifest.costs.macs, baseline.manifest.costs.macs)
    return [
        _relative("macs", *macs, accepted),
        _operators(candidate, baseline, graphs, accepted),
        _placement(graphs, accepted),
        _weight_bytes(candidate, baseline, graphs, accepted),
        *_accuracy(candidate.manifest.accuracy, baseline.manifest.accuracy, accepted),
        _own_gate(candidate.manifest.accuracy),
    ]


def failed(said: str, *, wrong_output: bool) -> Fact:
    """What a candidate has regressed in that does not give its own probe's output, or none."""
    return Fact(check="parity" if wrong_output else "execution", answer="regressed", said=said)


def _relative(
    check: CheckName, candidate: int, baseline: int, accepted: Mapping[str, Accept]
) -> Fact:
    said = f"{candidate:,} against {baseline:,}"
    if baseline == 0:
        if candidate == 0:
            return Fact(check=check, answer="same", said=said, change=0.0)
        return _none(check, f"{said}: the baseline counts none")
    return _number(check, candidate / baseline - 1, said, accepted, unit="")


def _number(
    check: CheckName, change: float, said: str, accepted: Mapping[str, Accept], unit: str
) -> Fact:
    """Judges a number of which more is worse."""
    entry = accepted.get(check)
    expected, tolerance = 0.0, TOLERANCE[check]
    if entry is not None and isinstance(entry.change, (int, float)):
        expected = entry.change
        tolerance = tolerance if entry.tolerance is None else entry.tolerance
    # Written tolerances are decimal, changes are not.
    excess = change - expected
    slack = tolerance + 1e-12
    outdated = entry is not None and entry.change == NOT_COMPARED
    answer: FactAnswer = "improved" if outdated else "accepted" if entry else "same"
    if not abs(excess) <= slack:
        answer = "improved" if excess < 0 else "regressed"
    text = f"{said}: {_signed(change, unit)}"
    if outdated:
        text += ", accepted not compared"
    elif entry:
        text += f", accepted {_signed(expected, unit)} within {_size(tolerance, unit)}"
    elif tolerance:
        text += f", {_size(tolerance, unit)} allowed"
    return Fact(
        check=check, answer=answer, said=text, change=change, reason=entry.reason if entry else None
    )


def _operators(
    candidate: Bundle, baseline: Bundle, graphs: Graphs, accepted: Mapping[str, Accept]
) -> Fact:
    """More of any operator is worse, as each is work that a backend may lack or do slowly."""
    check: CheckName = "operators"
    if graphs[0] is None or graphs[1] is None:
        return _none(check, NOT_TOLD)
    if candidate.model_file.suffix != baseline.model_file.suffix:
        return _none(check, "ONNX and OpenVINO's IR have different operators")
    change = _difference(graphs[0].operators, graphs[1].operators)
    entry = accepted.get(check)
    excess = _difference(change, _table(entry))
    answer: FactAnswer = "accepted" if entry else "same"
    if excess:
        answer = "regressed" if any(n > 0 for n in excess.values()) else "improved"
    return _table_fact(check, answer, change, entry)


def _placement(graphs: Graphs, accepted: Mapping[str, Accept]) -> Fact:
    """A product that moves into a wider type is worse, one that moves into a narrower, better."""
    check: CheckName = "precision placement"
    if graphs[0] is None or graphs[1] is None:
        return _none(check, NOT_TOLD)
    change = _difference(graphs[0].products, graphs[1].products)
    entry = accepted.get(check)
    excess = _difference(change, _table(entry))
    answer: FactAnswer = "accepted" if entry else "same"
    if excess:
        wide = sum(n for name, n in excess.items() if _width(name) == 2)
        half = sum(n for name, n in excess.items() if _width(name) >= 1)
        narrower = wide <= 0 and half <= 0 and (wide < 0 or half < 0)
        answer = "improved" if narrower else "regressed"
    return _table_fact(check, answer, change, entry)


def _width(product: str) -> int:
    kind = product.rpartition(" ")[2]
    return 0 if kind in NARROW else 1 if kind in HALF else 2


def _weight_bytes(
    candidate: Bundle, baseline: Bundle, graphs: Graphs, accepted: Mapping[str, Accept]
) -> Fact:
    if graphs[0] is None or graphs[1] is None:
        return _relative("weight bytes", candidate.file_bytes, baseline.file_bytes, accepted)
    return _relative("weight bytes", graphs[0].weight_bytes, graphs[1].weight_bytes, accepted)


def _accuracy(
    candidate: Accuracy | None, baseline: Accuracy | None, accepted: Mapping[str, Accept]
) -> list[Fact]:
    """Paired by image, so that hard and easy images do not hide what was lost."""
    checks: tuple[CheckName, ...] = ("accuracy mean", "accuracy worst")
    if baseline is None or not baseline.images:
        why = "neither was" if candidate is None else "the baseline was not"
        return [_none(check, f"{why} evaluated") for check in checks]
    if candidate is None:
        why = f"the candidate was not evaluated, the baseline on {baseline.data}"
        return [_unpaired(check, why, accepted) for check in checks]
    own = {image.name: image.psnr_y_db for image in candidate.images}
    theirs = {image.name: image.psnr_y_db for image in baseline.images}
    if candidate.data != baseline.data or own.keys() != theirs.keys():
        why = f"evaluated on {candidate.data}, the baseline on {baseline.data}"
        return [_unpaired(check, why, accepted) for check in checks]
    drops = {name: theirs[name] - own[name] for name in own}
    image = max(drops, key=lambda name: drops[name])
    average = sum(drops.values()) / len(drops)
    return [
        _number("accuracy mean", average, f"drop over {len(drops)} images", accepted, unit=" dB"),
        _number("accuracy worst", drops[image], f"drop of '{image}'", accepted, unit=" dB"),
    ]


def _unpaired(check: CheckName, why: str, accepted: Mapping[str, Accept]) -> Fact:
    """Nobody knows what was lost, and not evaluating must not be the way past this check."""
    entry = accepted.get(check)
    if entry is not None and entry.change == NOT_COMPARED:
        return Fact(check=check, answer="accepted", said=why, reason=entry.reason)
    return Fact(check=check, answer="regressed", said=f"{why}: build it with the same --data")


def _own_gate(accuracy: Accuracy | None) -> Fact:
    missed = gate_missed(accuracy)
    if accuracy is None:
        return _none("accuracy gate", "the candidate was not evaluated")
    return Fact(
        check="accuracy gate",
        answer="regressed" if missed else "same",
        said=missed or "the candidate keeps what it was built to keep",
    )


def _table(entry: Accept | None) -> dict[str, int]:
    return entry.change if entry is not None and isinstance(entry.change, dict) else {}


def _difference(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    names = sorted({*a, *b})
    return {name: n for name in names if (n := a.get(name, 0) - b.get(name, 0))}


def _table_fact(
    check: CheckName, answer: FactAnswer, change: dict[str, int], entry: Accept | None
) -> Fact:
    said = _words(change) or "no difference"
    if entry is not None:
        said += f", accepted {_words(_table(entry)) or 'no difference'}"
    return Fact(
        check=check, answer=answer, said=said, change=change, reason=entry.reason if entry else None
    )


def _words(change: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:+d}" for name, number in change.items())


def _signed(change: float, unit: str) -> str:
    return f"{round(change, 3) + 0.0:+.3f}{unit}" if unit else f"{change:+.2%}"


def _size(value: float, unit: str) -> str:
    return f"{value:g} dB" if unit else f"{value:.2%}"


def _none(check: str, why: str) -> Fact:
    return Fact(check=check, answer="not compared", said=why, reason=why)
