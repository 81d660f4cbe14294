from __future__ import annotations

import subprocess
from pathlib import Path

import torch

import edgerestore
from edgerestore.train import provenance
from edgerestore.train.provenance import code_version, hardware


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_checkout_gives_its_commit_and_says_if_it_was_changed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    version = f"edgerestore {edgerestore.__version__}"
    assert code_version() == version
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "-m", "a tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_version() == f"{version}, commit {commit}"
    (tmp_path / "file").write_text("2")
    assert code_version() == f"{version}, commit {commit}-dirty"


def test_package_inside_another_projects_checkout_gives_its_version_alone(
    tmp_path: Path, monkeypatch
) -> None:
    git(tmp_path, "init")
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "venv")
    (tmp_path / "venv").mkdir()
    assert code_version() == f"edgerestore {edgerestore.__version__}"


def test_hardware_names_the_processor() -> None:
    threads = torch.get_num_threads()
    text = hardware(torch.device("cpu"), 2)
    assert text.endswith(f", 2 processes of {threads} thread" + "s" * (threads > 1))
