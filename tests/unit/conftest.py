from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgerestore as package

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def edgerestore() -> Command:
    """Runs the command line in a process of its own, on one thread."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgerestore", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment(),
            **options,
        )

    return run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets and authors' checkpoints, which is not part of the repository."""
    folder = os.environ.get("EDGERESTORE_SHARED")
    if not folder:
        pytest.skip("EDGERESTORE_SHARED names no folder with data sets and checkpoints")
    return Path(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder ``data/pictures`` of five small generated pictures with structure and noise."""
    folder = tmp_path / "data" / "pictures"
    folder.mkdir(parents=True)
    for number in range(5):
        Image.fromarray(picture(64 + 4 * number, 72, seed=number)).save(folder / f"{number}.png")
    return folder


def environment() -> dict[str, str]:
    """One thread, and the package that these tests import, wherever a process starts."""
    root = str(Path(package.__file__).parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": root}


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Waves, an edge and noise: H x W x 3 uint8, the same on every machine."""
    y, x = np.mgrid[:height, :width]
    waves = (x * (3 + seed) + y * 5) % 64 * 2
    edge = np.where(x * 2 > y + 20, 90, 0)
    noise = np.random.default_rng(seed).integers(0, 32, (height, width, 3))
    return (waves[..., None] + edge[..., None] + noise).astype(np.uint8)
