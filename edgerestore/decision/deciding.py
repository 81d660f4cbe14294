"""Deciding on a precision from Python: the public function."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgerestore.decision.decision import decide as measured
from edgerestore.decision.result import Decision, Limits
from edgerestore.measure.bench.harness import Plan
from edgerestore.pipeline.gate import ALLOWED
from edgerestore.pipeline.request import find_target, job_from


def decide(
    model: str,
    *,
    target: str,
    max_drop_db: float | None = None,
    max_worst_db: float | None = None,
    latency_ms: float | None = None,
    weights: str | os.PathLike[str] | None = None,
    tile: int | None = None,
    calibration: str | None = None,
    data: str | os.PathLike[str] | None = None,
    seconds: float = 10.0,
    threads: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Decision:
    """Builds every precision of a target, measures accuracy and latency, and chooses one.

    Args:
        model: A model's name, or a recipe file.
        target: A target's name or file; this machine must be able to execute it.
        max_drop_db: Mean PSNR drop allowed, in dB; INT8's limit where left out.
        max_worst_db: PSNR drop allowed on the worst picture, in dB; likewise.
        latency_ms: Milliseconds that one tile may take; no limit where left out.
        weights: safetensors; the shipped ones where left out.
        tile: Input side in pixels; the model's where left out.
        calibration: A shipped set's name, or a folder of degraded pictures.
        data: Folder of pairs; the shipped ones where left out.
        seconds: Seconds of measurement for each candidate.
        threads: Threads of the runtime; 0 lets it choose.
        out: Folder that keeps the bundles; they are removed where left out.
        progress: Called with each stage.

    Returns:
        The decision with every candidate's figures; its ``answer`` may be undecided.
    """
    allowed = ALLOWED["int8"]
    limits = Limits(
        mean_drop_db=allowed.mean_drop_db if max_drop_db is None else max_drop_db,
        worst_drop_db=allowed.worst_drop_db if max_worst_db is None else max_worst_db,
        latency_ms=latency_ms,
    )
    with tempfile.TemporaryDirectory(prefix="edgerestore-decide-") as scratch:
        job = job_from(
            model,
            targets=[target],
            precisions=find_target(target).precisions,
            weights=None if weights is None else Path(weights),
            tile=tile,
            calibration=calibration,
            data=None if data is None else Path(data),
            out=Path(scratch if out is None else out),
        )
        return measured(job, limits, Plan(seconds=seconds), threads, progress).decision
