"""First inferences of several callers at once, in processes that have run nothing before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bundle import TargetFacts

PROCESSES = 3
FIRST_RUNS = """
import sys, threading
from pathlib import Path
from edgerestore.backends.base import open_session
from edgerestore.bundle import read_bundle

bundle = read_bundle(Path(sys.argv[1]))
given, _ = bundle.probe()
session = open_session(bundle, streams=2)
barrier = threading.Barrier(2)

def run():
    barrier.wait()
    session.run(given)

callers = [threading.Thread(target=run) for _ in range(2)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
"""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=pytest.mark.needs_backend(name))
        for name in ("onnxruntime", "openvino")
    ],
)
def test_callers_whose_first_runs_meet_all_return(
    backend: str, doubling_bundle: Callable[..., Path]
) -> None:
    target = TargetFacts(name="cpu", backend=backend, device="CPU", options={})
    path = doubling_bundle(target=target)
    for _ in range(PROCESSES):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_RUNS, str(path)], timeout=120, check=False
        )
        assert done.returncode == 0
