"""The example workflows: valid YAML, and command lines that this edgerestore takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from edgerestore.cli import app
from edgerestore.gate.accepted import read_accepted

yaml = pytest.importorskip("yaml")

FOLDER = Path(__file__).parents[3] / "benchmarks" / "ci"


def scripts(name: str) -> list[str]:
    document = yaml.safe_load((FOLDER / name).read_text())
    if name == "github.yml":
        # YAML 1.1 reads GitHub's key "on" as the truth.
        assert document[True] == "pull_request"
        return [step["run"] for step in document["jobs"]["gate"]["steps"] if "run" in step]
    job = document["gate"]
    assert job["allow_failure"] == {"exit_codes": 2}
    return [*job["before_script"], *job["script"]]


def parsed(line: str) -> dict[str, Any]:
    """The values that the verb would get."""
    program, verb, *arguments = shlex.split(re.sub(r"\$\w+", "main", line))
    assert (program, verb) == ("edgerestore", "gate")
    command = typer.main.get_command(app).commands[verb]
    return dict(command.make_context(verb, arguments).params)


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_an_example_workflow_calls_gate_as_it_is(name: str) -> None:
    (line,) = [script for script in scripts(name) if script.startswith("edgerestore")]
    assert "\n" not in line
    values = parsed(line)
    assert values["candidate"] == "bundles/esrt_s_x2-int8-x86-openvino"
    revision, path = values["baseline"].split(":")
    assert revision in ("origin/main", "FETCH_HEAD")
    assert path == values["candidate"]
    assert values["junit"] == Path("gate.xml")
    assert values["accepted"] == Path("bundles/accepted.toml")


def test_the_example_of_accepted_differences_is_read() -> None:
    entries = read_accepted(FOLDER / "accepted.toml", "esrt_s_x2-int8-x86-openvino")
    assert set(entries) == {"macs", "operators", "latency"}
    assert read_accepted(FOLDER / "accepted.toml", "another") == {}
