"""What results allow to be said of each bundle; pure logic, no markup."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgerestore.bundle import Accuracy
from edgerestore.errors import InputError
from edgerestore.measure.bench.results import (
    LatencyMs,
    Ratio,
    Result,
    Results,
    gate_missed,
    short_names,
)

UNSEEN_DB = 0.005
"""A difference that two decimals do not show."""

GOOD, UNPROVEN, BAD = "good", "unproven", "bad"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class BundleAccuracy:
    """Accuracy of one bundle, as measured against ground truth."""

    bundle: str
    """Its name, as in the results."""
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a bundle may be trusted."""

    kind: str
    """GOOD, UNPROVEN or BAD."""
    word: str
    reason: str | None


class Verdicts:
    """Accuracy and results brought together; refuses to tell what was not earned."""

    def __init__(self, sessions: Sequence[Results], accuracy: Sequence[BundleAccuracy]) -> None:
        """``accuracy`` was measured for this report, and precedes what the results carry."""
        self.sessions = sessions
        self._given = accuracy
        self._by_name = {item.bundle: item.accuracy for item in accuracy}
        self._labels = short_names([r for session in sessions for r in session.bundles])

    def label(self, name: str) -> str:
        """A short name where one model's bundles differ in precision and target only."""
        return self._labels.get(name, name)

    def heading(self, session: Results) -> str:
        """Which session it is: its models, and when it was taken where others have the same."""
        said = _models(session)
        if [_models(other) for other in self.sessions].count(said) > 1:
            said += f", {readable_time(session.environment.taken_at)}"
        return said

    def accuracy_of(self, result: Result) -> Accuracy | None:
        """What was measured for this report, else what the bundle carried in its session."""
        return self._by_name.get(result.name, result.accuracy)

    def accuracies(self, session: Results) -> list[BundleAccuracy]:
        """Of those bundles of a session whose accuracy is known."""
        known = ((result.name, self.accuracy_of(result)) for result in session.bundles)
        return [BundleAccuracy(name, accuracy) for name, accuracy in known if accuracy]

    def untimed(self) -> list[BundleAccuracy]:
        """What was measured for this report of bundles that no session has."""
        known = {result.name for session in self.sessions for result in session.bundles}
        return [item for item in self._given if item.bundle not in known]

    def standing(self, result: Result) -> Standing:
        """Whether a bundle is verified, unproven or refused, and why."""
        missed = gate_missed(self.accuracy_of(result))
        if missed:
            return Standing(BAD, "below accuracy gate", missed)
        if result.status == "measured":
            return Standing(GOOD, "verified", None)
        if result.status != "not executable here":
            return Standing(BAD, result.status, result.reason)
        built = result.built.status if result.built else "not executed"
        if built == "verified":
            return Standing(UNPROVEN, "verified where built, not here", result.reason)
        return Standing(UNPROVEN, built, result.reason)

    def emulated(self, result: Result) -> bool:
        """Whether the accuracy is not of the runtime that the bundle is for."""
        ran = result.status == "measured"
        return not ran and result.built is not None and result.built.status != "verified"

    def latency(self, result: Result) -> LatencyMs | None:
        """Steady latency, for bundles in good standing only."""
        return result.latency_ms if self.standing(result).kind == GOOD else None

    def timed(self, session: Results) -> list[Result]:
        """The bundles whose times may be shown."""
        return [result for result in session.bundles if self.latency(result)]

    def ratios(self, session: Results) -> list[Ratio]:
        """Ratios between bundles whose times may be shown."""
        shown = {result.name for result in self.timed(session)}
        return [r for r in session.ratios if {r.name, r.against} <= shown]

    def findings_of(self, session: Results) -> list[str]:
        """One sentence or two per bundle of a session, the unwelcome ones included."""
        ratios = {ratio.name: ratio for ratio in self.ratios(session)}
        return [self._told(result, ratios) for result in session.bundles]

    def further_findings(self) -> list[str]:
        """One sentence per bundle whose accuracy was measured and whose time was not."""
        return [f"{self.label(i.bundle)} {_loss(i.accuracy)}." for i in self.untimed()]

    def _told(self, result: Result, ratios: dict[str, Ratio]) -> str:
        standing, accuracy = self.standing(result), self.accuracy_of(result)
        name = self.label(result.name)
        if standing.kind != GOOD:
            reason = f" ({standing.reason})" if standing.reason else ""
            return f"{name} has no latency here: {standing.word}{reason}."
        parts = []
        if result.name in ratios:
            parts.append(_speed(ratios[result.name], self.label(ratios[result.name].against)))
        if accuracy and accuracy.images:
            parts.append(_loss(accuracy))
        return f"{name} {'; it '.join(parts) or 'ran and passed parity'}."


def by_data(accuracy: Iterable[BundleAccuracy]) -> list[list[BundleAccuracy]]:
    """Accuracies of the same images, which may stand in one table."""
    groups: dict[str, list[BundleAccuracy]] = {}
    for item in accuracy:
        groups.setdefault(item.accuracy.data, []).append(item)
    return list(groups.values())


def shared_protocol(group: Sequence[BundleAccuracy]) -> tuple[str, list[str]]:
    """What all protocols of a group say, and what each says besides."""
    clauses = [item.accuracy.protocol.split("; ") for item in group]
    common = [c for c in clauses[0] if all(c in others for others in clauses)]
    return "; ".join(common), ["; ".join(c for c in own if c not in common) for own in clauses]


def sessions_of(bench: Results | Sequence[Results] | None) -> list[Results]:
    """One, several or no sessions as a list."""
    if bench is None:
        return []
    sessions = [bench] if isinstance(bench, Results) else list(bench)
    if not all(isinstance(session, Results) for session in sessions):
        raise InputError("bench: not results of edgerestore.bench")
    return sessions


def readable_time(taken_at: str) -> str:
    """An ISO time to the minute; as it stands where it is none."""
    try:
        when = dt.datetime.fromisoformat(taken_at)
    except ValueError:
        return taken_at
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip()


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, and never a minus before zero."""
    text = f"{value:.{digits}f}"
    return text.strip("-") if float(text) == 0 else text.replace("-", MINUS)


def _models(session: Results) -> str:
    """What a session is of, as far as it tells."""
    stated = session.protocol.get("model")
    known = [str(stated)] if stated else sorted({r.model for r in session.bundles if r.model})
    return ", ".join(known) or "Another session"


def _speed(ratio: Ratio, against: str) -> str:
    if ratio.per_pixel:
        against += " per pixel"
    if ratio.low is None or ratio.high is None:
        return f"ran too few rounds to say whether it is faster than {against}"
    bounds = f"{ratio.low:.2f} to {ratio.high:.2f}"
    if ratio.high < 1:
        return (
            f"is {1 / ratio.median:.2f} times as fast as {against}, in "
            f"{ratio.median:.2f} of its time ({bounds})"
        )
    if ratio.low > 1:
        return f"is slower than {against}, in {ratio.median:.2f} times its time ({bounds})"
    return f"is not faster than {against}: no difference can be seen ({bounds})"


def _loss(accuracy: Accuracy) -> str:
    worst = max(accuracy.images, key=lambda i: i.drop_db)
    if max(abs(accuracy.mean_drop_db), accuracy.worst_drop_db) < UNSEEN_DB:
        return "keeps the FP32 network's accuracy on every image"
    return (
        f"loses {signed(accuracy.mean_drop_db)} dB on average and "
        f"{signed(accuracy.worst_drop_db)} dB on its worst image, {worst.name}"
    )
