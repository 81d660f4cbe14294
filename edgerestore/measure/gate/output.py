"""Verdicts as files: Markdown, JUnit, GitHub annotations and a history of JSON lines."""

from __future__ import annotations

import contextlib
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec

from edgerestore.errors import InputError
from edgerestore.files import write_beside
from edgerestore.measure.gate.verdict import Verdict
from edgerestore.measure.gate.words import fact_words, headline, latency_words, more_words

NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(verdict: Verdict) -> str:
    """A heading, the answer on latency and a table of the other checks."""
    lines = [f"### edgerestore gate: {_cell(verdict.answer)}", "", _cell(headline(verdict)), ""]
    lines += ["| check | answer |", "|---|---|", f"| latency | {_cell(_latency(verdict))} |"]
    lines += [f"| {_cell(fact.check)} | {_cell(fact_words(fact))} |" for fact in verdict.facts]
    lines += [f"\n> {_cell(warning)}" for warning in verdict.warnings]
    return "\n".join(lines) + "\n"


def write_markdown(path: Path, verdict: Verdict) -> None:
    """Writes the file whole or not at all."""
    write_beside(path, markdown(verdict).encode())


def junit(verdict: Verdict) -> bytes:
    """One test case for each check. Inconclusive is an error, improved a note, as in the words."""
    cases: list[ET.Element] = []
    for name, answer, text in _checks(verdict):
        case = ET.Element("testcase", classname=_xml(f"gate.{verdict.candidate.name}"), name=name)
        if answer == "regressed":
            ET.SubElement(case, "failure", message=_xml(text), type=answer)
        elif answer == "inconclusive":
            ET.SubElement(case, "error", message=_xml(text), type=answer)
        elif answer == "not compared":
            ET.SubElement(case, "skipped", message=_xml(text))
        else:
            ET.SubElement(case, "system-out").text = _xml(text)
        cases.append(case)
    seconds = f"{verdict.latency.seconds:.3f}" if verdict.latency else "0"
    suite = ET.Element(
        "testsuite",
        name="edgerestore gate",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=seconds,
        timestamp=verdict.environment.taken_at,
    )
    suite.extend(cases)
    ET.indent(suite)
    data: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def write_junit(path: Path, verdict: Verdict) -> None:
    """Writes the file whole or not at all."""
    write_beside(path, junit(verdict))


def github_annotations(verdict: Verdict) -> list[str]:
    """GitHub's workflow commands: errors for what regressed, warnings for what is open.

    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    levels = {"regressed": "error", "inconclusive": "warning", "improved": "warning"}
    found = []
    for name, answer, text in _checks(verdict):
        faster = name == "latency" and answer == "improved"
        if answer in levels and not faster:
            title = f"{verdict.candidate.name}: {name}"
            found.append(f"::{levels[answer]} title={_property(title)}::{_data(text)}")
    return found


def append_history(path: Path, verdict: Verdict) -> None:
    """Appends one line of JSON: whole, also where several runs append at once.

    Raises InputError where the file cannot be written; what is there stays as it was.
    """
    line = msgspec.json.encode(verdict) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write in append mode; readers and other writers never see half of it.
        with path.open("ab+", buffering=0) as file:
            _lock(file.fileno())
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            if file.write(line) != len(line):
                file.truncate(size)
                raise InputError(f"{path}: cannot be written: the disk is full")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def append_summary(path: Path, verdict: Verdict) -> None:
    """Adds the Markdown to the summary of a GitHub job. Raises InputError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(markdown(verdict))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _checks(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Name, answer and words of latency and of every fact."""
    answer = verdict.latency.answer if verdict.latency else "not compared"
    first = ("latency", answer, _latency(verdict))
    return [first, *((f.check, f.answer, fact_words(f)) for f in verdict.facts)]


def _latency(verdict: Verdict) -> str:
    if verdict.latency is None:
        return f"not compared: {verdict.latency_reason}"
    more = more_words(verdict.latency)
    return latency_words(verdict.latency) + (f"; {more}" if more else "")


def _lock(descriptor: int) -> None:
    """Against other writers, where the system has such locks; closing the file releases it."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _xml(text: str) -> str:
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
