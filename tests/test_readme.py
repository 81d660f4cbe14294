"""The documents: their examples run, in order, in an empty folder; their links lead to files."""

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


MOST_LINES, MOST_WORDS = 200, 1500


def pages() -> list[Path]:
    """The README, then the pages of docs/ in the order of their index."""
    index = ROOT / "docs" / "README.md"
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", index.read_text())
    return [ROOT / "README.md", index, *(index.parent / name for name in listed)]


def documents() -> str:
    return "\n".join(page.read_text() for page in pages())


def console_commands() -> list[str]:
    """Commands of ```console blocks; those of ```text blocks need files that are not shipped."""
    blocks = re.findall(r"```console\n(.*?)```", documents(), re.DOTALL)
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


def test_the_documents_show_every_verb():
    text = documents()
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


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert len(text.split()) <= MOST_WORDS


def test_every_page_is_in_the_index():
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == {p.name for p in pages()[1:]}


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_every_link_leads_to_a_file(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in link]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


def python_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", documents(), re.DOTALL)


@pytest.mark.parametrize("code", python_examples())
def test_a_python_example_runs(code, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_builds_a_module_and_restores_an_array():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "edgerestore.build(" in code
    assert "restorer.restore(" in code
