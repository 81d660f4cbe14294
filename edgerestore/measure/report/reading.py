"""Result files of any verb, read and checked: they may come from anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgerestore.comparison import BundleResult
from edgerestore.errors import InputError
from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.results import SCHEMA as RESULTS_SCHEMA
from edgerestore.measure.bench.results import Results
from edgerestore.measure.bench.roofline import Roofline
from edgerestore.measure.gate.verdict import SCHEMA as VERDICT_SCHEMA
from edgerestore.measure.gate.verdict import Verdict
from edgerestore.measure.report.differences import Difference
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.work import with_work_divided

MAX_BYTES = 256 << 20
LARGEST = 1e18
"""No number of a result is larger, in whatever unit."""
DEEPEST = 32
SLOWEST, FASTEST = 1e-6, 1e9
"""Of multiplications and bytes in a second, in units of a roofline."""
EXPECTED = "results of bench, evaluate, profile, gate or decide, or a gate's history"


@dataclass(slots=True)
class Read:
    """All that was found in the files, in their order."""

    sessions: list[Results] = field(default_factory=list)
    evaluations: list[BundleResult] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    rooflines: list[Roofline] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    places: list[tuple[str, Environment]] = field(default_factory=list)
    """Of all times: their file, and where they were taken."""
    facts: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def further(self, differences: Sequence[Difference] = ()) -> Further:
        """What stands beside the bench results; ``differences`` are of pictures."""
        verdicts = sorted(self.verdicts, key=lambda verdict: verdict.environment.taken_at)
        return Further(self.evaluations, self.profiles, self.rooflines, verdicts, differences)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document."""

    name: str
    matches: Callable[[dict[str, Any]], bool]
    take: Callable[[dict[str, Any], Read], list[Environment]]
    """Checks a document and adds it; returns where its times were taken, if they may stand
    beside others only where those were taken alike. Raises ValueError or msgspec's errors with
    the field."""


def read_files(paths: Sequence[Path], kinds: Sequence[Kind]) -> Read:
    """Reads files of the given kinds in any mixture.

    Raises InputError naming the file, and the field that is wrong.
    """
    read = Read()
    for path in paths:
        for document in _documents(path):
            kind = next((kind for kind in kinds if kind.matches(document)), None)
            if kind is None:
                raise InputError(f"{path}: not {EXPECTED}")
            try:
                taken = kind.take(document, read)
            except (msgspec.MsgspecError, ValueError) as error:
                raise InputError(f"{path}: not {kind.name}: {error}") from error
            read.places += [(str(path), environment) for environment in taken]
    return read


def require_schema(document: dict[str, Any], known: int) -> None:
    """Raises ValueError for a document that another edgerestore wrote."""
    if document.get("schema") != known:
        raise ValueError(f"schema {document.get('schema')}, but this edgerestore reads {known}")


def take_session(results: Results, read: Read) -> list[Environment]:
    """Adds a session. Raises ValueError for times that no clock gives."""
    for row in results.bundles:
        if row.latency_ms is not None and not row.latency_ms.p50 > 0:
            raise ValueError(f"{row.name}: a latency must be more than 0")
        if any(ns <= 0 for turn in row.turns_ns for ns in turn):
            raise ValueError(f"{row.name}: a sample must be more than 0 ns")
    if any(not ratio.median > 0 for ratio in results.ratios):
        raise ValueError("a ratio of latencies must be more than 0")
    read.sessions.append(with_work_divided(results))
    return [results.environment]


def _documents(path: Path) -> list[dict[str, Any]]:
    """The one document of a file, or one for each line."""
    data = _bytes(path)
    try:
        try:
            found = [_parsed(data)]
        except json.JSONDecodeError:
            lines = [line for line in data.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            found = [_parsed(line) for line in lines]
        for document in found:
            _require_sane(document, DEEPEST)
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply, not {EXPECTED}") from error
    except ValueError as error:
        raise InputError(f"{path}: not {EXPECTED}: {error}") from error
    if not all(isinstance(document, dict) for document in found):
        raise InputError(f"{path}: not {EXPECTED}")
    return found


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, not {EXPECTED}")
    return data


def _parsed(data: bytes) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not a number of JSON")

    return json.loads(data, parse_constant=refuse)


def _require_sane(value: Any, depth: int) -> None:
    """Numbers that can be drawn, and no nesting that no result has."""
    if isinstance(value, (int, float)):
        if not abs(value) <= LARGEST:
            raise ValueError(f"the number {value:.3g} is out of range")
    elif isinstance(value, (list, dict)):
        if depth == 0:
            raise ValueError("nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _require_sane(item, depth - 1)


def _first(document: dict[str, Any]) -> dict[str, Any]:
    bundles = document.get("bundles")
    first = bundles[0] if isinstance(bundles, list) and bundles else None
    return first if isinstance(first, dict) else {}


def _take_results(document: dict[str, Any], read: Read) -> list[Environment]:
    require_schema(document, RESULTS_SCHEMA)
    return take_session(msgspec.convert(document, Results), read)


def _take_sessions(document: dict[str, Any], read: Read) -> list[Environment]:
    return [place for session in document.values() for place in _take_results(session, read)]


def _take_evaluations(document: dict[str, Any], read: Read) -> list[Environment]:
    found = msgspec.convert(_with_exact(document["bundles"]), list[BundleResult])
    if not all(result.images for result in found):
        raise ValueError("a bundle without images")
    read.evaluations += found
    return []


def _with_exact(value: Any) -> Any:
    """JSON has no infinity: PSNR of a result that equals its truth is null there."""
    if isinstance(value, list):
        return [_with_exact(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_exact(item) for key, item in value.items()}
    if "psnr_y_db" in changed and changed["psnr_y_db"] is None:
        changed["psnr_y_db"] = math.inf
    for key in ("mean", "worst"):
        if key in changed and changed[key] is None:
            changed[key] = math.inf
    return changed


def _take_profiles(document: dict[str, Any], read: Read) -> list[Environment]:
    found = msgspec.convert(document["bundles"], list[Profile])
    for profile in found:
        if not profile.total_us > 0 or any(group.us < 0 for group in profile.groups):
            raise ValueError(f"{profile.name}: times must be more than 0")
    read.profiles += found
    if "roofline" in document:
        read.rooflines.append(_roofline(document["roofline"]))
    if "environment" not in document:
        return []
    return [msgspec.convert(document["environment"], Environment)]


def _roofline(document: Any) -> Roofline:
    found = msgspec.convert(document, Roofline)
    rates = [found.gb_per_s, *(peak.gmacs_per_s for peak in found.peaks)]
    reached = [x for b in found.bundles for x in (b.gmacs_per_s, b.roof.macs_per_byte)]
    if not all(SLOWEST <= rate <= FASTEST for rate in (*rates, *filter(None, reached))):
        raise ValueError(f"roofline: rates must be from {SLOWEST:g} to {FASTEST:g}")
    return found


def _take_verdict(document: dict[str, Any], read: Read) -> list[Environment]:
    verdict = msgspec.convert(document, Verdict)
    require_schema(document, VERDICT_SCHEMA)
    latency = verdict.latency
    if latency is not None and not (latency.ratio > 0 and 0 < latency.threshold < 1):
        raise ValueError("latency: a ratio must be more than 0, a threshold between 0 and 1")
    read.verdicts.append(verdict)
    # A history's machines differ, and each of its ratios is of one machine.
    return []


KINDS = (
    Kind("a result of 'edgerestore gate'", lambda d: "facts" in d and "answer" in d, _take_verdict),
    Kind("results of 'edgerestore bench'", lambda d: "ratios" in d, _take_results),
    Kind("results of 'edgerestore profile'", lambda d: "operators" in _first(d), _take_profiles),
    Kind("results of 'edgerestore evaluate'", lambda d: "images" in _first(d), _take_evaluations),
    Kind(
        "several results of 'edgerestore bench'",
        lambda d: bool(d) and all(isinstance(v, dict) and "ratios" in v for v in d.values()),
        _take_sessions,
    ),
)
"""What the device ring writes; 'decide' adds its own."""
