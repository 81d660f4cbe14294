"""Where trained weights come from: code and hardware, in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

import edgerestore
from edgerestore.measure.bench.machine import cpu

ROOT = Path(edgerestore.__file__).parents[1]


def code_version() -> str:
    """The package's version and, in a git checkout of it, the commit; "-dirty" where changed."""
    version = f"edgerestore {edgerestore.__version__}"
    # An installed package may lie in a checkout too: that of a project with a venv in it.
    if _git("rev-parse", "--show-toplevel") != str(ROOT.resolve()):
        return version
    commit = _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return f"{version}, commit {commit}" if commit else version


def hardware(device: torch.device, processes: int) -> str:
    """What trained: GPU or CPU, and how many of them or of its threads."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"{cpu.name()}, {processes} process{'es' * (processes > 1)} of {threads} thread" + (
        "s" * (threads > 1)
    )


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
