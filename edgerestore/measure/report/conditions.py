"""The section that says under which conditions the numbers hold, and what was never run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.results import Result, Results
from edgerestore.measure.report.markup import Content, Markup, definitions, joined, tag
from edgerestore.measure.report.verdicts import GOOD, Verdicts, readable_time


def conditions(verdicts: Verdicts, notes: Sequence[str]) -> Markup | None:
    """Machine, versions and protocol of every session, then limits and notes."""
    parts: list[Content] = []
    for session in verdicts.sessions:
        parts += [
            tag("h3", "Machine"),
            definitions(_machine(session.environment), "facts"),
            tag("h3", "Versions"),
            definitions(session.environment.versions.items(), "facts short"),
            tag("h3", "Protocol"),
            definitions(((k.capitalize(), str(v)) for k, v in _words(session)), "facts"),
        ]
    never = [line for session in verdicts.sessions for line in _never_run(verdicts, session)]
    if verdicts.sessions:
        listed = tag("ul", *(tag("li", line) for line in never)) if never else tag(
            "p", "Every bundle in this report has run on this machine."
        )  # fmt: skip
        parts += [tag("h3", "What has not run on hardware"), listed]
    if notes:
        parts += [tag("h3", "Notes"), *(tag("p", note) for note in notes)]
    return joined(parts) if parts else None


def _machine(seen: Environment) -> Iterable[tuple[str, Content]]:
    quota, limit = seen.container_cores, seen.container_memory_mib
    yield "Processor", seen.cpu
    yield "CPU units", _listed(seen.cpu_units)
    yield "Architecture", seen.machine
    yield "Cores", str(seen.cores)
    yield "Memory", None if seen.memory_mib is None else f"{seen.memory_mib / 1024:.1f} GiB"
    yield "Container", _limits(quota, limit)
    yield "Graphics", _listed(seen.gpus) or "none"
    yield "NPUs", _listed(seen.npus)
    yield "Drivers", _listed(f"{name} {version}" for name, version in seen.drivers.items())
    yield "Governor", seen.governor or "not readable"
    yield "Power mode", seen.power_mode
    yield "Boost", {True: "on", False: "off", None: None}[seen.boost]
    yield "CPU clock limits", _megahertz(seen.clock_limits_mhz or (), " to ")
    yield "CPU clock, last run done", _megahertz(filter(None, [seen.clock_mhz]))
    yield "GPU clocks, last run done", _megahertz(seen.gpu_clocks_mhz)
    yield "System", seen.os
    yield "Python", seen.python
    yield "Taken at", readable_time(seen.taken_at)
    begin, end = seen.load_average_begin, seen.load_average_end
    if begin is not None and end is not None:
        yield "Load average", f"{begin:.2f} before, {end:.2f} after"
    if seen.other_cores is not None:
        yield "Other work", f"{seen.other_cores:.2f} cores while measuring"


def _listed(words: Iterable[str]) -> str | None:
    return ", ".join(words) or None


def _megahertz(clocks: Iterable[float], between: str = ", ") -> str | None:
    said = between.join(f"{clock:.0f}" for clock in clocks)
    return f"{said} MHz" if said else None


def _limits(cores: float | None, memory_mib: float | None) -> str:
    found = [
        f"{cores:g} cores" if cores is not None else "",
        f"{memory_mib / 1024:.1f} GiB" if memory_mib is not None else "",
    ]
    return ", ".join(filter(None, found)) or "no limit found"


def _words(session: Results) -> Iterable[tuple[str, str]]:
    for key, value in session.protocol.items():
        yield key.replace("_", " "), str(value)


def _never_run(verdicts: Verdicts, session: Results) -> Iterable[str]:
    for result in session.bundles:
        if result.status == "measured":
            continue
        name, standing = verdicts.label(result.name), verdicts.standing(result)
        if standing.kind != GOOD:
            yield f"{name}: {standing.word}{_built(result)}. {standing.reason or ''}".strip()


def _built(result: Result) -> str:
    built = result.built
    if built is None or not built.runtime:
        return ""
    return f" (where it was built: {built.status}, {built.runtime})"
