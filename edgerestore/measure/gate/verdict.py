"""The gate itself: both bundles read, compared, timed, and one answer."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgerestore.bundle import SUMS, Bundle, read_bundle
from edgerestore.errors import InputError
from edgerestore.files import sha256_of
from edgerestore.measure.bench.bundles import worker_command
from edgerestore.measure.bench.environment import Environment, Watch, warnings
from edgerestore.measure.bench.harness import Candidate
from edgerestore.measure.bench.results import gate_missed
from edgerestore.measure.gate.accepted import Accept, read_accepted
from edgerestore.measure.gate.facts import Fact, compare_facts, failed
from edgerestore.measure.gate.latency import (
    DEFAULT_SECONDS,
    DEFAULT_THRESHOLD,
    Latency,
    Report,
    compare_latency,
)
from edgerestore.measure.gate.pairs import CandidateError, Processes, compiled_by_side
from edgerestore.measure.gate.revision import revision_of
from edgerestore.measure.gate.sequential import Answer

SCHEMA = 1
EXIT_CODES: dict[Answer, int] = {"pass": 0, "improved": 0, "regressed": 1, "inconclusive": 2}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two bundles."""

    given: str
    """As on the command line: a folder or a revision's."""
    name: str
    sha256: str
    """Of its ``SHA256SUMS``, which stands for every file."""
    revision: str | None = None
    """Commit that it is of, as :func:`edgerestore.measure.gate.revision.revision_of` finds it."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gate has to say."""

    schema: int = SCHEMA
    answer: Answer
    """``regressed`` where anything is; else the answer of latency."""
    candidate: Side
    baseline: Side
    latency: Latency | None
    latency_reason: str | None = None
    """Why no latency was measured."""
    facts: list[Fact]
    environment: Environment
    warnings: list[str]

    @property
    def exit_code(self) -> int:
        """0 for pass and improved, 1 for regressed, 2 for inconclusive."""
        return EXIT_CODES[self.answer]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How latency is compared."""

    seconds: float = DEFAULT_SECONDS
    """For the whole comparison, opening of processes included."""
    threshold: float = DEFAULT_THRESHOLD
    """The smallest relative difference that matters."""
    threads: int = 0
    """Of the runtime; 0 is its own choice."""


def gate(
    candidate: Path,
    baseline: Path,
    limits: Limits | None,
    *,
    given: tuple[str, str] | None = None,
    accepted: Path | None = None,
    report: Report = lambda fraction, pairs, seen: None,
) -> Verdict:
    """Compares two bundles; with None for ``limits``, by their facts alone.

    ``given`` is what the user called them. A candidate below its own accuracy gate is not
    timed; one whose output is wrong has regressed in its parity, and one that its runtime refuses
    or that ends has regressed in its execution. Raises BundleError for a damaged bundle,
    InputError for bundles that do not do the same work in one run and for a baseline whose output
    is wrong, RecipeError for an unusable file of accepted differences, MissingPartError where
    either cannot execute here, and BackendError where the baseline fails.
    """
    ours, theirs = read_bundle(candidate), read_bundle(baseline)
    _require_same_work(ours, theirs)
    names = given or (str(candidate), str(baseline))
    # Before the clock runs: a branch may move meanwhile.
    sides = _side(names[0], ours), _side(names[1], theirs)
    entries = read_accepted(accepted, ours.name) if accepted else {}
    facts = compare_facts(ours, theirs, entries)
    watch, latency, cpu_seconds = Watch(), None, 0.0
    reason = "not asked for" if limits is None else None
    if limits is not None:
        missed = gate_missed(ours.manifest.accuracy)
        if missed:
            reason = f"the candidate is below its accuracy gate: {missed}"
        else:
            with compiled_by_side() as (first, second):
                source = Processes(
                    _worker("candidate", ours, limits.threads, first),
                    _worker("baseline", theirs, limits.threads, second),
                )
                try:
                    latency = _latency(source, limits, entries.get("latency"), report)
                except CandidateError as error:
                    facts.insert(0, failed(str(error), wrong_output=error.wrong_output))
                    wrong = "the candidate's output is wrong"
                    reason = wrong if error.wrong_output else "the candidate fails"
            cpu_seconds = source.cpu_seconds
    environment = watch.finish(cpu_seconds)
    return Verdict(
        answer=overall(facts, latency),
        candidate=sides[0],
        baseline=sides[1],
        latency=latency,
        latency_reason=reason,
        facts=facts,
        environment=environment,
        warnings=warnings(environment) if latency else [],
    )


def overall(facts: list[Fact], latency: Latency | None) -> Answer:
    """One answer: whatever regressed decides, then what latency says."""
    if any(fact.answer == "regressed" for fact in facts):
        return "regressed"
    return latency.answer if latency else "pass"


def _require_same_work(ours: Bundle, theirs: Bundle) -> None:
    for what, own, other in (
        ("scale", ours.manifest.model.scale, theirs.manifest.model.scale),
        ("tile", ours.manifest.contract.tile, theirs.manifest.contract.tile),
        ("batch", ours.manifest.contract.batch, theirs.manifest.contract.batch),
    ):
        if own != other:
            raise InputError(
                f"{ours.name} has {what} {own}, the baseline {other}: one run is not the same "
                "work; build both alike, or compare them with 'edgerestore bench'"
            )


def _latency(source: Processes, limits: Limits, entry: Accept | None, report: Report) -> Latency:
    expected, threshold = 1.0, limits.threshold
    if entry is not None and isinstance(entry.change, (int, float)):
        expected = 1 + entry.change
        threshold = threshold if entry.tolerance is None else entry.tolerance
    found = compare_latency(
        source, seconds=limits.seconds, threshold=threshold, expected=expected, report=report
    )
    return msgspec.structs.replace(found, reason=entry.reason if entry else None)


def _worker(name: str, bundle: Bundle, threads: int, compiled: Path) -> Candidate:
    return Candidate(f"{name} {bundle.name}", worker_command(bundle.path, threads, compiled))


def _side(given: str, bundle: Bundle) -> Side:
    sums = sha256_of(bundle.path / SUMS)
    return Side(given=given, name=bundle.name, sha256=sums, revision=revision_of(given))
