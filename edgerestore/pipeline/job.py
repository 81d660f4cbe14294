"""One build: a bundle for each target and precision, verified where it can be."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgerestore import bundle as bundles
from edgerestore.backends import find_backend
from edgerestore.backends.base import session_on
from edgerestore.bundle import Bundle, Manifest, Parity
from edgerestore.calibration import CalibrationImages, crops
from edgerestore.compress.quantization.products import KINDS, check_patterns, module_of
from edgerestore.compress.quantization.sensitivity import module_sensitivities
from edgerestore.errors import AccuracyError, InputError
from edgerestore.evaluation import ImagePair, Score, evaluate, protocol
from edgerestore.files import require_writable
from edgerestore.measure.bench.judging import UNPROVEN_FLOOR_DB
from edgerestore.networks import MODELS, ModelSpec
from edgerestore.pipeline import gate
from edgerestore.pipeline.draft import draft_manifest
from edgerestore.pipeline.emit import Emitter
from edgerestore.pipeline.finite import finite
from edgerestore.pipeline.origin import Origin
from edgerestore.pipeline.quantizing import Calibration, Quantizer
from edgerestore.pipeline.source import Source, Tiles, onnx_run, prepare
from edgerestore.pipeline.tiles import Case, Choice, check_tile
from edgerestore.recipe import Target
from edgerestore.recipe.scalars import PrecisionName
from edgerestore.tiling import check_overlap

PARITY_MARGIN_DB = 6.0
"""How much nearer to the FP32 output the build was than another machine must come."""
EMULATION_MARGIN_DB = 12.0
"""The same where the build was emulated, which is not the device's order of summation."""
HIGHEST_FLOOR_DB = 70.0
SENSITIVITY_CROPS = 2
MAX_BATCH = 64

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to build, from what, and what to hold it against."""

    origin: Origin
    cases: tuple[Case, ...]
    """One bundle each."""
    tile: int
    overlap: int
    calibration: CalibrationImages
    evaluation: list[ImagePair]
    """Empty where there are no pairs for the network's task: accuracy is then not gated."""
    evaluation_name: str
    out: Path
    batch: int = 1
    """Tiles that a bundle runs at once."""
    keep_float: tuple[str, ...] = ()
    keep_float_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further modules that stay in float, by target or a pattern of targets."""
    choice: Choice | None = None
    """How the tile was chosen, where nobody gave it."""
    notes: tuple[str, ...] = ()
    """What was found or assumed and nobody declared, for people."""
    refuses: bool = True
    """Whether a bundle that misses its accuracy gate is refused. A comparison keeps it: its
    manifest says what it lost, and no verb that times or gates bundles takes it."""

    @property
    def spec(self) -> ModelSpec:
        """What is known of the network."""
        return self.origin.spec

    @property
    def quantizes(self) -> bool:
        """Whether anything is built in INT8."""
        return any(precision == "int8" for _, precision in self.cases)

    @property
    def halves(self) -> bool:
        """Whether a graph is converted to FP16, for which its ranges are looked at."""
        return any(
            precision == "fp16" and target.backend != "openvino" for target, precision in self.cases
        )

    def __post_init__(self) -> None:
        check_cases(self.cases)
        check_tile(self.spec.name, self.spec.size_rule, self.tile)
        check_overlap(self.tile, self.overlap)
        if not 1 <= self.batch <= MAX_BATCH:
            raise InputError(f"--batch {self.batch}: must be from 1 to {MAX_BATCH}")
        require_writable(self.out)


def check_cases(cases: Iterable[Case]) -> None:
    """Raises InputError for a precision that its target does not have."""
    for target, precision in cases:
        if precision not in target.precisions:
            raise InputError(
                f"target '{target.name}' has no {precision}; it has {', '.join(target.precisions)}"
            )


def build_bundles(jobs: Iterable[Job], report: Report = lambda stage: None) -> list[Bundle]:
    """Builds, verifies and writes every bundle of some jobs; returns them in order.

    Bundles that hold are written although others fail. Raises AccuracyError, after all have
    been tried, for those that miss their gate: nothing of them is written.
    """
    made, missed = [], []
    for job in jobs:
        builder = builder_of(job, report)
        for target, precision in job.cases:
            try:
                made.append(builder.on(target).build(target, precision))
            except AccuracyError as error:
                missed.append(error)
    if missed:
        details = "\n\n".join(error.details for error in missed)
        raise AccuracyError("; ".join(str(error) for error in missed), details)
    return made


def builder_of(job: Job, report: Report = lambda stage: None) -> Builder:
    """Loads, rewrites, exports and scores the FP32 network, once for all bundles of a job."""
    network = job.origin.load()
    calibration = _crops(job)
    source = prepare(
        job.spec,
        network,
        _probe(calibration, job.batch),
        job.evaluation,
        tile=job.tile,
        overlap=job.overlap,
        report=report,
    )
    keep = (*job.spec.keep_float, *job.keep_float)
    products = [n for n in source.graph.graph.node if n.op_type in KINDS]
    kept = list(job.keep_float)
    if not _reshaped(job.spec):
        kept += itertools.chain.from_iterable(job.keep_float_on.values())
    check_patterns(kept, sorted({module_of(n.name) for n in products}))
    ranges = Calibration(source.graph, calibration, job.calibration.sha256, keep, report)
    emitter = Emitter(source.graph, Quantizer(ranges), source.batching)
    return Builder(job, source, emitter, report)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a draft was seen to do."""

    manifest: Manifest
    psnr_db: float
    """Of the probe's output, against the FP32 network's."""
    lacking: str | None
    """What the device did otherwise than the bundle's options say."""

    @property
    def holds(self) -> bool:
        """Whether no more is lost than is allowed; without pairs, whether it is the network."""
        accuracy = self.manifest.accuracy
        return self.psnr_db >= UNPROVEN_FLOOR_DB if accuracy is None else accuracy.passes


def _reshaped(spec: ModelSpec) -> bool:
    """Whether weights were pruned: modules that a recipe keeps in float may be gone with them."""
    known = MODELS.get(spec.pruned_from or spec.name)
    return known is not None and dict(known.config) != dict(spec.config)


def _crops(job: Job) -> Tiles:
    """What INT8 ranges are collected on, FP16's range is held against and, first, the probe.

    INT8 ranges need real pictures; for all else, small ones are continued.
    """
    images = job.calibration.images
    if not job.quantizes:
        images = [_continued(image, job.tile) for image in images[: None if job.halves else 1]]
    return crops(images, job.tile)


def _probe(crops: Tiles, batch: int) -> Tiles:
    """The first crops, from the beginning again where they are too few."""
    probe: Tiles = crops[np.arange(batch) % len(crops)]
    return probe


def _continued(image: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    missing = [(0, max(0, tile - side)) for side in image.shape[:2]]
    return np.pad(image, (*missing, (0, 0)), mode="reflect")


@dataclass(frozen=True, slots=True)
class Builder:
    """A network that is ready to be emitted for any target and precision."""

    job: Job
    source: Source
    emitter: Emitter
    report: Report

    def on(self, target: Target) -> Builder:
        """With what the job leaves in float on one target."""
        held = self.job.keep_float_on.items()
        modules = tuple(m for on, given in held if fnmatchcase(target.name, on) for m in given)
        return self.keeping(modules, self.job.out) if modules else self

    def keeping(self, modules: tuple[str, ...], out: Path) -> Builder:
        """The same network with further modules left in float, written to another folder."""
        job = replace(self.job, keep_float=(*self.job.keep_float, *modules), out=out)
        return replace(self, job=job, emitter=self.emitter.keeping(modules))

    def build(self, target: Target, precision: PrecisionName) -> Bundle:
        """Writes one bundle. Raises AccuracyError where the job refuses what it lost."""
        job = self.job
        name = bundles.bundle_name(job.spec.name, precision, target.name, job.batch)
        self.report(name)
        with bundles.writing_bundle(job.out / name) as folder:
            files, passes = self.emitter.emit(target, precision, folder)
            bundles.write_probe(folder, self.source.probe, self.source.expected)
            manifest = self._manifest(target, precision, folder, files, passes)
            manifest = self._verified(Bundle(folder, manifest), target)
            bundles.write_manifest(folder, manifest)
        return Bundle(job.out / name, manifest)

    def _verified(self, draft: Bundle, target: Target) -> Manifest:
        """With what it was seen to do, under the target's options or those it falls back to.

        Raises AccuracyError where the job refuses what was lost.
        """
        seen = self._executed(draft, target)
        careful = target.fallback.get(draft.manifest.precision)
        if careful and (seen.lacking or not seen.holds):
            facts = msgspec.structs.replace(draft.manifest.target, options=careful)
            other = msgspec.structs.replace(draft.manifest, target=facts)
            seen = self._executed(Bundle(draft.path, other), target)
        if self.job.refuses and not seen.holds:
            raise self._missed(draft, target, seen)
        return seen.manifest

    def _executed(self, draft: Bundle, target: Target) -> _Seen:
        """Executes the bundle where it can be, and sets its accuracy against FP32's."""
        backend = find_backend(target.backend)
        executes = backend.why_not(target.device) is None
        options = draft.manifest.target.options
        lacking = backend.lacks(target.device, options) if executes else None
        runtime = f"{backend.name} {backend.version()} on {target.device}"
        with contextlib.ExitStack() as opened:
            run: Callable[[Tiles], Tiles]
            if executes:
                run = opened.enter_context(session_on(draft)).run
                where = lacking or runtime
            else:
                model, _ = self.emitter.onnx_for(target, draft.manifest.precision)
                run = onnx_run(model)
                where = "emulated in ONNX Runtime, not the target's arithmetic"
            run = finite(run, draft.name)
            psnr = bundles.probe_psnr_db(run(self.source.probe), self.source.expected)
            accuracy = self._accuracy(draft.manifest.precision, run, where)
        margin = PARITY_MARGIN_DB if executes and not lacking else EMULATION_MARGIN_DB
        floor = min(psnr - margin, HIGHEST_FLOOR_DB)
        if executes and not lacking:
            parity = Parity(status="verified", runtime=runtime, psnr_db=psnr, floor_db=floor)
        elif target.compute_capabilities:
            runtime = f"built by {backend.name} {backend.version()}"
            parity = Parity(status="compiled, not executed", runtime=runtime, floor_db=floor)
        else:
            parity = Parity(status="not compiled, not executed", runtime="none", floor_db=floor)
        manifest = msgspec.structs.replace(draft.manifest, accuracy=accuracy, parity=parity)
        return _Seen(manifest, psnr, lacking)

    def _accuracy(
        self,
        precision: PrecisionName,
        run: Callable[[Tiles], Tiles],
        where: str,
    ) -> bundles.Accuracy | None:
        if not self.job.evaluation:
            return None
        job = self.job
        own: list[Score] = evaluate(
            run,
            job.evaluation,
            tile=job.tile,
            overlap=job.overlap,
            scale=job.spec.scale,
            border=job.spec.border,
            batch=job.batch,
        )
        how = protocol(border=job.spec.border, tile=job.tile, overlap=job.overlap)
        how = f"{how}; {where}"
        return gate.judge(precision, job.evaluation_name, how, self.source.scores, own)

    def _missed(self, draft: Bundle, target: Target, seen: _Seen) -> AccuracyError:
        accuracy = seen.manifest.accuracy
        if accuracy is None:
            return AccuracyError(
                f"{draft.name}: its output is {seen.psnr_db:.1f} dB from the FP32 network's, and "
                f"without pairs to tell what is lost (--data DIR) {UNPROVEN_FLOOR_DB:g} dB are "
                "demanded"
            )
        modules = []
        precision = draft.manifest.precision
        if precision == "int8":
            self.report(f"{draft.name}: looking for the layers that hurt most")
            quantizer = self.emitter.quantizer
            modules = module_sensitivities(
                quantizer.calibration.done,
                target.int8,
                quantizer.crops[:SENSITIVITY_CROPS],
                also_float=quantizer.also_float,
            )
        return AccuracyError(
            gate.verdict(draft.name, precision, accuracy),
            gate.explanation(draft.name, accuracy, modules),
        )

    def _manifest(
        self,
        target: Target,
        precision: PrecisionName,
        folder: Path,
        files: list[str],
        passes: list[bundles.PassFacts],
    ) -> Manifest:
        job = self.job
        manifest = draft_manifest(
            self.source, target, precision, folder, files, passes, job.origin.weights_sha256()
        )
        if all(p.name != "int8" for p in passes):
            return manifest
        calibration = bundles.CalibrationFacts(
            name=job.calibration.name,
            crops=self.emitter.quantizer.calibration.done.crops,
            sha256=job.calibration.sha256,
        )
        return msgspec.structs.replace(manifest, calibration=calibration)
