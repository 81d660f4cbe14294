"""Several bundles on the same pairs, each against FP32 of its own model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from edgerestore.backends import find_backend
from edgerestore.backends.base import open_session
from edgerestore.bundle import Bundle
from edgerestore.evaluation import (
    ImagePair,
    Score,
    data_label,
    evaluate,
    is_same_data,
    protocol,
    read_pairs,
)
from edgerestore.metrics import counted_psnr_db, psnr_drop_db


class ImageResult(msgspec.Struct, frozen=True, kw_only=True):
    """One image's figures; ``ssim_y`` is null without scikit-image."""

    name: str
    psnr_y_db: float
    """Null in JSON where the result equals the truth."""
    ssim_y: float | None
    drop_db: float | None = None
    """PSNR-Y lost against FP32; null where no FP32 figure is known."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and worst figure over all images; PSNR counts up to 100 dB, so both are finite."""

    mean: float
    worst: float


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle loses against FP32 of the same weights."""

    reference: str
    """Name of the FP32 bundle, or where else the FP32 figures come from."""
    mean_db: float
    worst_db: float
    worst_image: str


class BundleResult(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle's figures."""

    bundle: str
    path: str
    model: str
    precision: str
    target: str
    protocol: str
    data: str
    images: tuple[ImageResult, ...]
    psnr_y_db: Range
    ssim_y: Range | None
    drop: Drop | None


Reference = tuple[str, Mapping[str, float]]
"""Where FP32 figures come from, and PSNR-Y by image name."""

Report = Callable[[str, str], None]


def evaluate_bundles(
    bundles: Sequence[Bundle],
    root: Path,
    scale_dir: str | None = None,
    report: Report = lambda bundle, image: None,
) -> list[BundleResult]:
    """Evaluates each bundle in its own runtime on the pairs below ``root``.

    FP32 is a bundle of that precision and the same weights among ``bundles``; else the
    figures that a bundle's manifest holds, if they are of these very pairs. ``report`` is
    told bundle and image after each image. Raises what reading and running raise.
    """
    for bundle in bundles:
        # Asked before minutes are spent on the others.
        find_backend(bundle.manifest.target.backend).require(bundle.manifest.target.device)
    pairs: dict[int, list[ImagePair]] = {}
    scores: list[list[Score]] = []
    for bundle in bundles:
        scale = bundle.manifest.model.scale
        if scale not in pairs:
            pairs[scale] = read_pairs(root, scale, scale_dir)
        scores.append(_run(bundle, pairs[scale], report))
    results = []
    for bundle, own in zip(bundles, scores, strict=True):
        mine = pairs[bundle.manifest.model.scale]
        reference = _reference(bundle, list(zip(bundles, scores, strict=True)), mine)
        results.append(_result(bundle, own, reference, data_label(root, mine)))
    return results


def _run(bundle: Bundle, pairs: Sequence[ImagePair], report: Report) -> list[Score]:
    contract, model = bundle.manifest.contract, bundle.manifest.model
    session = open_session(bundle)
    try:
        return evaluate(
            session.run,
            pairs,
            tile=contract.tile,
            overlap=contract.overlap,
            scale=model.scale,
            border=model.border,
            batch=contract.batch,
            report=lambda image: report(bundle.name, image),
        )
    finally:
        session.close()


def _reference(
    bundle: Bundle,
    evaluated: Sequence[tuple[Bundle, Sequence[Score]]],
    pairs: Sequence[ImagePair],
) -> Reference | None:
    """FP32 figures for a bundle's weights: of a sibling, preferably on the same target."""
    mine = bundle.manifest
    siblings = [
        (other, scores)
        for other, scores in evaluated
        if other.manifest.precision == "fp32"
        and other.manifest.model.weights_sha256 == mine.model.weights_sha256
    ]
    siblings.sort(key=lambda item: item[0].manifest.target.name != mine.target.name)
    if siblings:
        other, scores = siblings[0]
        return other.name, {score.name: score.psnr_y_db for score in scores}
    accuracy = mine.accuracy
    if accuracy is not None and is_same_data(accuracy.data, pairs):
        figures = {image.name: image.fp32_psnr_y_db for image in accuracy.images}
        return "FP32 network, as the bundle's manifest says", figures
    return None


def _result(
    bundle: Bundle, scores: Sequence[Score], reference: Reference | None, data: str
) -> BundleResult:
    manifest = bundle.manifest
    known = reference[1] if reference else {}
    images = tuple(
        ImageResult(
            name=score.name,
            psnr_y_db=score.psnr_y_db,
            ssim_y=score.ssim_y,
            drop_db=psnr_drop_db(known[score.name], score.psnr_y_db)
            if score.name in known
            else None,
        )
        for score in scores
    )
    return BundleResult(
        bundle=bundle.name,
        path=str(bundle.path),
        model=manifest.model.name,
        precision=manifest.precision,
        target=manifest.target.name,
        protocol=protocol(
            border=manifest.model.border,
            tile=manifest.contract.tile,
            overlap=manifest.contract.overlap,
        ),
        data=data,
        images=images,
        psnr_y_db=_range([image.psnr_y_db for image in images]),
        ssim_y=_range_if_known([image.ssim_y for image in images]),
        drop=_drop(reference[0], images) if reference else None,
    )


def _drop(reference: str, images: Sequence[ImageResult]) -> Drop | None:
    known = {image.name: image.drop_db for image in images if image.drop_db is not None}
    if len(known) < len(images):
        return None
    worst = max(known, key=lambda name: known[name])
    mean = statistics.fmean(known.values())
    return Drop(reference=reference, mean_db=mean, worst_db=known[worst], worst_image=worst)


def _range(values: Sequence[float]) -> Range:
    counted = [counted_psnr_db(value) for value in values]
    return Range(mean=statistics.fmean(counted), worst=min(counted))


def _range_if_known(values: Sequence[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    return _range(known) if len(known) == len(values) else None
