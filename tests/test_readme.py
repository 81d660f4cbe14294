"""Runs the README's console examples, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgerestore.networks.user import call_factory

ROOT = Path(__file__).parent.parent
NOT_HERE = {"demo": "takes minutes; 'make demo' runs it"}


def console_commands() -> list[str]:
    """Commands of ```console blocks; those of ```text blocks need files that are not shipped."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    joined = [block.replace("\\\n", " ") for block in blocks]
    return [line[2:] for block in joined for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("readme")
    for name in ("calibration", "benchmarks"):
        (place / name).symlink_to(ROOT / name)
    torch.save({"params": made_up_weights()}, place / "RFDN_x4.pth")
    return place


def made_up_weights():
    """Of the example network, whose real ones are not ours to ship."""
    network = call_factory(ROOT / "benchmarks" / "examples" / "rfdn.py", "rfdn_x4")
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.5 / value[0].numel() ** 0.5
        for name, value in network.state_dict().items()
    }


def test_the_readme_shows_every_verb():
    text = (ROOT / "README.md").read_text()
    help_text = subprocess.run(
        [sys.executable, "-m", "edgerestore", "--help"], capture_output=True, text=True, check=True
    ).stdout
    rows = re.findall(r"^│ ([a-z-]+) ", help_text[help_text.index("Commands") :], re.MULTILINE)
    assert len(rows) >= 12
    assert [verb for verb in rows if f"edgerestore {verb}" not in text] == []


@pytest.mark.parametrize("command", console_commands())
def test_a_readme_example_runs(command, folder):
    program, *arguments = shlex.split(command)
    assert program == "edgerestore", "examples call edgerestore alone"
    if arguments[0] in NOT_HERE:
        pytest.skip(NOT_HERE[arguments[0]])
    done = subprocess.run(
        [sys.executable, "-m", "edgerestore", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
