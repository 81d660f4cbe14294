"""The public functions that need no torch: measuring, checking and comparing bundles.

What they take for a bundle is its folder as ``str`` or ``Path``, or what :func:`edgerestore.build`
returned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from edgerestore.bundle import Bundle, read_bundle
from edgerestore.checking import Checked, check_bundle
from edgerestore.comparison import BundleResult, evaluate_bundles
from edgerestore.errors import InputError
from edgerestore.measure.bench.bundles import bench_bundles
from edgerestore.measure.bench.harness import DEFAULT_SECONDS, Plan
from edgerestore.measure.bench.profile import Profile, profile_bundle
from edgerestore.measure.bench.profile.reading import RUNS
from edgerestore.measure.bench.results import Results
from edgerestore.measure.gate.revision import bundle_folder
from edgerestore.measure.gate.verdict import Limits, Verdict
from edgerestore.measure.gate.verdict import gate as compare_sides
from edgerestore.networks import MODELS, ModelSpec
from edgerestore.recipe import Target, read_toml
from edgerestore.shipped import toml_folder

BundleLike = str | os.PathLike[str] | Bundle
"""A bundle's folder, or a bundle that was built or read in this process."""


def evaluate(
    bundles: BundleLike | Iterable[BundleLike],
    *,
    data: str | os.PathLike[str],
    scale_dir: str | None = None,
    progress: Callable[[str, str], None] = lambda bundle, image: None,
) -> list[BundleResult]:
    """Measures PSNR-Y and SSIM-Y of bundles on a folder of pairs, each in its own runtime.

    Args:
        bundles: One bundle or several; an FP32 one of the same weights among them is what the
            others' drop is measured against.
        data: Folder that holds ``HR/`` and ``LR_bicubic/X2/``, ``input/`` and ``target/``, or
            ``rainL/`` and ``norain/``.
        scale_dir: Folder below ``LR_bicubic/``; the network's scale says which where left out.
        progress: Called with bundle and image after each image.

    Raises:
        InputError: For another layout of pairs.
        BundleError: For a damaged bundle.
        MissingPartError: Where a runtime is absent, before anything runs.
    """
    opened = [read_bundle(path) for path in _paths(bundles)]
    return evaluate_bundles(opened, Path(data), scale_dir, progress)


def bench(
    bundles: BundleLike | Iterable[BundleLike],
    *,
    seconds: float | None = None,
    samples: int | None = None,
    threads: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> Results:
    """Measures load time, latency and memory of bundles in one interleaved run.

    Args:
        bundles: One bundle or several; ratios are against the first.
        seconds: Seconds for each bundle; 10 unless ``samples`` is given.
        samples: Inferences of each bundle; p90 needs 64, p99 662.
        threads: Threads of the runtime; 0 lets it choose.
        progress: Called with the fraction done.

    A bundle that misses its accuracy limits or fails parity has no timing and says why.
    """
    if seconds is None and samples is None:
        seconds = DEFAULT_SECONDS
    return bench_bundles(_paths(bundles), Plan(seconds=seconds, samples=samples), threads, progress)


def profile(bundle: BundleLike, *, threads: int = 0, runs: int = RUNS) -> Profile:
    """Says which operators one inference spends its time in, by the runtime's own profiler.

    ``threads`` are the runtime's, 0 lets it choose; ``runs`` inferences are averaged.
    Raises BundleError for damage, MissingPartError where the runtime is absent.
    """
    (path,) = _paths(bundle)
    return profile_bundle(path, threads, runs)


def check(bundle: BundleLike, *, threads: int = 0) -> Checked:
    """Verifies hashes and schema of a bundle and, in this machine's runtime, parity with FP32.

    Raises BundleError for damage, CheckFailedError where the output is not the network's.
    """
    (path,) = _paths(bundle)
    return check_bundle(path, threads)


def gate(
    candidate: BundleLike,
    baseline: BundleLike,
    *,
    seconds: float | None = None,
    threshold: float | None = None,
    threads: int | None = None,
    facts_only: bool = False,
    accepted: str | os.PathLike[str] | None = None,
) -> Verdict:
    """Says whether a candidate may replace a baseline, by facts and by interleaved latency.

    Args:
        candidate: The bundle that is to replace the other; a ``str`` may be
            ``REVISION:FOLDER`` of the git repository around.
        baseline: The bundle that is to be replaced, named likewise.
        seconds: Seconds after which latency is given up as inconclusive.
        threshold: Slowdown that counts as a regression, such as 0.03.
        threads: Threads of the runtime; 0 lets it choose.
        facts_only: Whether to leave latency out.
        accepted: TOML file of accepted differences.

    Returns:
        The verdict; its ``exit_code`` is 0 for pass and improved, 1 for regressed, 2 for
        inconclusive.
    """
    names = _given(candidate), _given(baseline)
    chosen = {"seconds": seconds, "threshold": threshold, "threads": threads}
    limits = Limits(**{key: value for key, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    with bundle_folder(names[0]) as ours, bundle_folder(names[1]) as theirs:
        return compare_sides(
            ours,
            theirs,
            None if facts_only else limits,
            given=names,
            accepted=None if accepted is None else Path(accepted),
        )


def models() -> list[ModelSpec]:
    """Lists the networks of the package with their task, scale, size and cost."""
    return list(MODELS.values())


def targets() -> list[Target]:
    """Lists the targets of the package: device, runtime, precisions and INT8 rules."""
    return [read_toml(path, Target) for path in sorted(toml_folder("targets").glob("*.toml"))]


def _given(bundle: BundleLike) -> str:
    return str(bundle.path) if isinstance(bundle, Bundle) else os.fspath(bundle)


def _paths(bundles: BundleLike | Iterable[BundleLike]) -> list[Path]:
    single = isinstance(bundles, (str, os.PathLike, Bundle))
    given: Iterable[BundleLike] = [bundles] if single else bundles  # type: ignore[list-item,assignment]
    paths = [Path(_given(bundle)) for bundle in given]
    if not paths:
        raise InputError("give at least one bundle")
    return paths
