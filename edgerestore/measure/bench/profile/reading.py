"""Profiles of bundles, whichever runtime executes them."""

from __future__ import annotations

import importlib
from pathlib import Path

import msgspec

from edgerestore.backends import find_backend
from edgerestore.bundle import read_bundle
from edgerestore.measure.bench.profile.groups import Group, grouped
from edgerestore.measure.bench.profile.operators import Operator
from edgerestore.measure.bench.profile.words import summary

READERS = {
    "onnxruntime": "edgerestore.measure.bench.profile.onnxruntime",
    "openvino": "edgerestore.measure.bench.profile.openvino",
    "tensorrt": "edgerestore.measure.bench.profile.tensorrt",
    "tensorrt-rtx": "edgerestore.measure.bench.profile.tensorrt",
}
"""Modules with a ``profile(bundle, threads, warm_up, runs)``, by backend."""

WARM_UP, RUNS = 3, 25


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Where one bundle's time goes on this machine."""

    bundle: str
    """Its folder."""
    name: str
    precision: str
    runtime: str
    threads: int
    """0: the runtime's choice."""
    runs: int
    total_us: float
    """Of all operators of one inference; what the runtime does between them is not in it."""
    summary: list[str]
    groups: list[Group]
    operators: list[Operator]


def profile_bundle(path: Path, threads: int = 0, runs: int = RUNS) -> Profile:
    """Verifies a bundle, then runs its probe ``runs`` times under its runtime's profiler.

    Raises BundleError for damage before the runtime sees a byte, MissingPartError where the
    runtime is absent, BackendError where it fails.
    """
    bundle = read_bundle(path)
    target = bundle.manifest.target
    backend = find_backend(target.backend)
    backend.require(target.device)
    reader = importlib.import_module(READERS[backend.name])
    operators: list[Operator] = reader.profile(bundle, threads, WARM_UP, runs)
    return Profile(
        bundle=str(path),
        name=bundle.name,
        precision=bundle.manifest.precision,
        runtime=f"{backend.name} {backend.version()} on {target.device}",
        threads=threads,
        runs=runs,
        total_us=sum(operator.us for operator in operators),
        summary=summary(operators),
        groups=grouped(operators),
        operators=operators,
    )
