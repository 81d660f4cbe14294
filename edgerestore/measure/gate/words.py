"""What a verdict says, in plain words; the terminal, Markdown, JUnit and annotations share them."""

from __future__ import annotations

from edgerestore.measure.gate.facts import Fact
from edgerestore.measure.gate.latency import Latency
from edgerestore.measure.gate.sequential import LAST_PAIRS
from edgerestore.measure.gate.verdict import Verdict


def headline(verdict: Verdict) -> str:
    """The answer and which bundles it is about, in one line."""
    names = f"{verdict.candidate.given} against {verdict.baseline.given}"
    return f"{verdict.answer}: {names}"


def latency_words(latency: Latency) -> str:
    """The answer on latency with its interval, and what it rests on."""
    seen = f"{latency.ratio:.3f} times the baseline's"
    if latency.low is not None and latency.high is not None:
        seen += (
            f", {latency.low:.3f} to {latency.high:.3f} with {latency.confidence:.0%} confidence"
        )
    rests = f"{latency.pairs} pairs of processes, {latency.samples} runs, {latency.seconds:.0f} s"
    text = f"{latency.answer}: {seen}; {_meaning(latency)} ({rests})"
    return _explained(text, latency.answer, latency.reason)


def more_words(latency: Latency) -> str | None:
    """What it would take to decide; None where it was decided."""
    if latency.answer != "inconclusive":
        return None
    if latency.more_pairs is None or latency.more_seconds is None:
        if latency.pairs < LAST_PAIRS:
            few = f"{latency.pairs} pairs of processes fitted into the time"
            return f"{few}, and {LAST_PAIRS} are needed at least: measure longer"
        return "the ratio is so near the threshold that no reasonable time would decide"
    return (
        f"about {latency.more_pairs} more pairs would decide if the machine stays as it is: "
        f"--seconds {latency.seconds + 1.25 * latency.more_seconds:.0f}"
    )


def fact_words(fact: Fact) -> str:
    """One line on a deterministic check, with its reason."""
    reason = None if fact.answer == "not compared" else fact.reason
    return _explained(f"{fact.answer}: {fact.said}", fact.answer, reason)


def _explained(text: str, answer: str, reason: str | None) -> str:
    """With the reason of an acceptance, and with a call for one where it is better than that."""
    if answer == "improved":
        text += "; unexplained until it is accepted"
    return f"{text} ({reason})" if reason else text


def _meaning(latency: Latency) -> str:
    matters = f"the {100 * latency.threshold:.3g} % that matter"
    against = "" if latency.expected == 1 else f" than the accepted {latency.expected:.3f}"
    if latency.answer == "regressed":
        return f"surely slower{against}, and likely by more than {matters}"
    if latency.answer == "improved":
        return f"surely faster{against}, and likely by more than {matters}"
    if latency.answer == "pass":
        return f"not slower{against} by {matters}"
    return f"not sure whether slower{against} by {matters}"
