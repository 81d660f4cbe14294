"""How long a pruned network takes on a target of this machine, as a share of the dense one."""

from __future__ import annotations

from pathlib import Path

from edgerestore.bundle import Bundle
from edgerestore.calibration import read_set
from edgerestore.errors import InputError
from edgerestore.measure.bench.bundles import worker_command
from edgerestore.measure.bench.harness import Candidate, Measurement, Plan, measure
from edgerestore.measure.bench.results import ratios_of
from edgerestore.networks import ModelSpec
from edgerestore.pipeline import Job, build_bundles
from edgerestore.pipeline.origin import origin_of_model
from edgerestore.pipeline.request import OF_ANY_TASK, find_target, shipped_settings
from edgerestore.recipe.scalars import PrecisionName
from edgerestore.tiling import DEFAULT_OVERLAP

SECONDS = 4.0
"""Spent on each of the two networks."""


class Stopwatch:
    """Times weights of one model against the dense ones, in turns of one run.

    ``folder`` takes the bundles. Raises InputError for a target that has no such precision.
    """

    def __init__(
        self, spec: ModelSpec, dense: Path, target: str, precision: PrecisionName, folder: Path
    ) -> None:
        self._spec, self._target, self._precision = spec, find_target(target), precision
        self._folder = folder
        self._dense = self._built(dense, "dense")

    def share(self, weights: Path) -> float:
        """Median latency over the dense network's. Raises InputError where one does not run."""
        bundles = {"dense": self._dense, "pruned": self._built(weights, "pruned")}
        plan = Plan(seconds=SECONDS)
        candidates = [Candidate(name, worker_command(b.path, 0)) for name, b in bundles.items()]
        seen = measure(candidates, plan)
        for one in seen:
            _require_measured(one, self._target.name)
        return ratios_of(seen, plan)[0].median

    def _built(self, weights: Path, name: str) -> Bundle:
        settings = shipped_settings(self._spec.name)
        job = Job(
            origin=origin_of_model(self._spec, weights),
            cases=((self._target, self._precision),),
            tile=self._spec.tile,
            overlap=DEFAULT_OVERLAP,
            calibration=read_set(self._spec.pictures or OF_ANY_TASK),
            evaluation=[],
            evaluation_name="",
            out=self._folder / name,
            keep_float=settings.keep_float,
            keep_float_on=settings.keep_float_on,
            # Weights on their way are timed, whatever they lose.
            refuses=False,
        )
        return build_bundles([job])[0]


def _require_measured(seen: Measurement, target: str) -> None:
    if seen.status != "measured":
        raise InputError(f"the {seen.candidate.name} network on '{target}': {seen.reason}")
