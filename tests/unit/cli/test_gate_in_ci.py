"""The example workflows: valid YAML, and command lines that this edgerestore takes."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from edgerestore.cli import app
from edgerestore.measure.gate.accepted import read_accepted

FOLDER = Path(__file__).parents[3] / "benchmarks" / "ci"


def command_in(text: str) -> str:
    """The folded block that calls gate, as YAML joins its lines."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.lstrip().startswith("edgerestore gate"))
    indent = lines[first][: -len(lines[first].lstrip())]
    block = itertools.takewhile(lambda line: line.startswith(indent), lines[first:])
    return " ".join(line.strip() for line in block)


def parsed(line: str) -> dict[str, Any]:
    """The values that the verb would get."""
    command, _, _ = line.partition(" || ")
    program, verb, *arguments = shlex.split(re.sub(r"\$\w+", "main", command))
    assert (program, verb) == ("edgerestore", "gate")
    known = typer.main.get_command(app).commands[verb]
    return dict(known.make_context(verb, arguments).params)


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_an_example_workflow_calls_gate_as_it_is(name: str) -> None:
    values = parsed(command_in((FOLDER / name).read_text()))
    assert values["candidate"] == "bundles/esrt_s_x2-int8-x86-openvino"
    revision, path = values["baseline"].split(":")
    assert revision in ("origin/main", "FETCH_HEAD")
    assert path == values["candidate"]
    assert values["junit"] == Path("gate.xml")
    assert values["accepted"] == Path("bundles/accepted.toml")
    assert (values["history"], values["threads"]) == (Path("gate.jsonl"), 1)


@pytest.mark.parametrize(("code", "step"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_inconclusive_is_not_red_on_github(code: int, step: int) -> None:
    script = (
        f"edgerestore() {{ return {code}; }}\n{command_in((FOLDER / 'github.yml').read_text())}"
    )
    assert subprocess.run(["bash", "-e", "-c", script], check=False).returncode == step


def test_the_example_workflows_are_yaml_that_holds_these_commands() -> None:
    yaml = pytest.importorskip("yaml")
    github, gitlab = (FOLDER / name for name in ("github.yml", "gitlab.yml"))
    steps = yaml.safe_load(github.read_text())["jobs"]["gate"]["steps"]
    runs = [step.get("run") for step in steps]
    cached = {step["uses"]: n for n, step in enumerate(steps) if "cache" in step.get("uses", "")}
    here = runs.index(command_in(github.read_text()))
    assert cached["actions/cache/restore@v4"] < here < cached["actions/cache/save@v4"]
    assert steps[cached["actions/cache/save@v4"]]["if"] == "always()"
    job = yaml.safe_load(gitlab.read_text())["gate"]
    assert job["script"] == [command_in(gitlab.read_text())]
    assert job["allow_failure"] == {"exit_codes": 2}
    assert (job["cache"]["paths"], job["cache"]["when"]) == (["gate.jsonl"], "always")


def test_the_example_of_accepted_differences_is_read() -> None:
    entries = read_accepted(FOLDER / "accepted.toml", "esrt_s_x2-int8-x86-openvino")
    assert set(entries) == {"macs", "operators", "precision placement", "latency"}
    assert read_accepted(FOLDER / "accepted.toml", "another") == {}
