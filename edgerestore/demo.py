"""The whole job on the shipped model and a shipped photograph, ending in one HTML report."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgerestore import metrics
from edgerestore.backends import find_backend
from edgerestore.backends.base import session_on
from edgerestore.bundle import Bundle, read_bundle
from edgerestore.checking import check_bundle
from edgerestore.decision.accuracy import drop_of
from edgerestore.decision.choice import Option
from edgerestore.decision.words import FLOAT_LABELS, INT8, int8_pays
from edgerestore.errors import MissingPartError
from edgerestore.evaluation import ImagePair, read_pairs
from edgerestore.files import replacing, write_beside
from edgerestore.measure.bench.bundles import bench_bundles
from edgerestore.measure.bench.harness import Plan
from edgerestore.measure.bench.profile import Profile, profile_bundle
from edgerestore.measure.bench.results import Results, write_results
from edgerestore.measure.report.differences import Difference, difference
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.html import report_html
from edgerestore.measure.report.pictures import Picture
from edgerestore.measure.report.verdicts import BundleAccuracy
from edgerestore.networks import find_model
from edgerestore.pipeline import build_bundles
from edgerestore.pipeline.request import find_target, job_from
from edgerestore.recipe import Target
from edgerestore.recipe.scalars import PrecisionName
from edgerestore.shipped import shipped_folder
from edgerestore.tiling import restore_array

MODEL = "esrt_s_x2"
CASES: tuple[tuple[str, tuple[PrecisionName, ...]], ...] = (
    ("x86-openvino", ("fp32", "fp16", "int8")),
    ("x86-onnxruntime", ("fp32",)),
    ("rtx-tensorrt", ("fp16", "int8")),
)
BENCH_SECONDS = 6.0
PROFILED = ("fp32", "int8")
JPEG_QUALITY = 92

Report = Callable[[str], None]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made and found."""

    report: Path
    bundles: list[Bundle]
    restored: Path
    """The photograph, restored in INT8."""
    bicubic_psnr_y_db: float
    psnr_y_db: dict[str, float]
    """Of the photograph, for each bundle that executes here."""
    bench: Results
    int8_pays: list[str]
    """Sentences: whether INT8 pays on this machine, and why; none where it was not measured."""


def run_demo(out: Path, report: Report = lambda stage: None) -> DemoResult:
    """Builds, checks, restores, measures and writes ``out/report.html``.

    Targets whose packages are absent are left out. Raises MissingPartError where no runtime
    is there to execute anything.
    """
    spec = find_model(MODEL)
    made = _build(out, report)
    executable = [b for b in made if b.manifest.parity.status == "verified"]
    if not executable:
        raise MissingPartError(
            "no runtime can execute here: pip install 'edgerestore[openvino,ort]'"
        )
    report("checking hashes and parity")
    for bundle in executable:
        check_bundle(bundle.path)
    report("restoring the photograph")
    (pair,) = read_pairs(shipped_folder("calibration") / "demo", spec.scale)
    restored = {bundle.path.name: _restore(bundle, pair) for bundle in executable}
    bicubic = _bicubic(pair)
    bicubic_psnr_y_db = _psnr(bicubic, pair, spec.border)
    scores = {name: _psnr(image, pair, spec.border) for name, image in restored.items()}
    shown = _most_compressed(executable)
    picture = out / f"{pair.name}-x{spec.scale}.png"
    with replacing(picture) as beside:
        Image.fromarray(restored[shown]).save(beside, format="PNG")
    report("measuring latency and memory")
    bench = bench_bundles([b.path for b in made], Plan(seconds=BENCH_SECONDS))
    write_results(out / "results.json", bench)
    report("profiling")
    profiles = [profile_bundle(b.path) for b in executable if b.manifest.precision in PROFILED]
    pays = _int8_pays(executable, bench, profiles)
    report("writing the report")
    page = report_html(
        title=f"{MODEL}: from PyTorch to the device",
        model=_facts(made),
        bench=bench,
        accuracy=[BundleAccuracy(b.name, b.manifest.accuracy) for b in made if b.manifest.accuracy],
        pictures=[
            Picture("bicubic", _jpeg(bicubic), pair.name),
            Picture(shown, _jpeg(restored[shown]), pair.name),
            Picture("ground truth", _jpeg(pair.high), pair.name),
        ],
        further=Further(
            profiles=profiles,
            differences=_differences(executable, shown, restored, pair),
        ),
        notes=[*_notes(made, pair, bicubic_psnr_y_db, scores), *pays],
    )
    write_beside(out / "report.html", page.encode())
    return DemoResult(out / "report.html", made, picture, bicubic_psnr_y_db, scores, bench, pays)


def _build(out: Path, report: Report) -> list[Bundle]:
    """Builds all cases whose packages are installed; a GPU is not needed to build for one."""
    possible: list[tuple[Target, PrecisionName]] = []
    for name, precisions in CASES:
        target = find_target(name)
        if find_backend(target.backend).version() is not None:
            possible += [(target, precision) for precision in precisions]
    job = job_from(MODEL, out=out / "bundles")
    return build_bundles([dataclasses.replace(job, cases=tuple(possible))], report)


def _restore(bundle: Bundle, pair: ImagePair) -> Pixels:
    contract = bundle.manifest.contract
    with session_on(read_bundle(bundle.path)) as session:
        return metrics.to_uint8(
            restore_array(
                pair.low,
                session.run,
                tile=contract.tile,
                overlap=contract.overlap,
                scale=bundle.manifest.model.scale,
                batch=contract.batch,
            )
        )


def _most_compressed(bundles: Sequence[Bundle]) -> str:
    order = ("int8", "bf16", "fp16", "fp32")
    best = min(bundles, key=lambda b: order.index(b.manifest.precision))
    return best.path.name


def _int8_pays(bundles: Sequence[Bundle], bench: Results, profiles: Sequence[Profile]) -> list[str]:
    """Of the target that executes INT8 here, against what runs in float on it."""
    rows = {row.name: row for row in bench.bundles if row.status == "measured"}
    targets = {b.manifest.target.name for b in bundles if b.manifest.precision == "int8"}
    profiled = {profile.name: profile for profile in profiles}
    options: dict[str, Option] = {}
    told: dict[str, Profile] = {}
    for bundle in bundles:
        accuracy, row = bundle.manifest.accuracy, rows.get(bundle.name)
        if bundle.manifest.target.name not in targets or accuracy is None or row is None:
            continue
        label = bundle.manifest.precision.upper()
        options[label] = Option(label, drop_of(accuracy), row.turns_ns, bundle.file_bytes)
        if bundle.name in profiled:
            told[label] = profiled[bundle.name]
    floats = [options[label] for label in FLOAT_LABELS if label in options]
    if not floats or INT8 not in options:
        return []
    return int8_pays(options[INT8], floats, told, bench.environment.cpu_units)


def _differences(
    bundles: Sequence[Bundle], shown: str, restored: Mapping[str, Pixels], pair: ImagePair
) -> list[Difference]:
    """Of the picture shown: from the same in FP32, and from the truth."""
    picture = restored[shown]
    plain = [b.path.name for b in bundles if b.manifest.precision == "fp32"]
    others = [(name, restored[name]) for name in plain[:1] if name != shown]
    return [
        difference(shown, picture, name, pixels, pair.name)
        for name, pixels in [*others, ("ground truth", pair.high)]
    ]


def _bicubic(pair: ImagePair) -> Pixels:
    height, width = pair.high.shape[:2]
    image = Image.fromarray(pair.low).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _psnr(image: Pixels, pair: ImagePair, border: int) -> float:
    return metrics.psnr_y_db(image, pair.high, border=border)


def _jpeg(image: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _facts(bundles: Sequence[Bundle]) -> dict[str, object]:
    manifest = bundles[0].manifest
    return {
        "network": manifest.model.name,
        "task": f"{manifest.model.task} x{manifest.model.scale}",
        "parameters": f"{manifest.model.params:,}",
        "GMACs per tile": f"{manifest.costs.macs / 1e9:.3f}",
        "tile": f"{manifest.contract.tile} x {manifest.contract.tile}, "
        f"{manifest.contract.overlap} shared",
    }


def _notes(
    bundles: Sequence[Bundle], pair: ImagePair, bicubic: float, scores: dict[str, float]
) -> list[str]:
    listed = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
    notes = [
        f"The photograph '{pair.name}': PSNR-Y bicubic {bicubic:.2f} dB; {listed}.",
        "Ground truth of the photograph is a camera JPEG reduced twofold; the input is that "
        "again reduced twofold by MATLAB-equivalent bicubic.",
    ]
    unproven = [b.path.name for b in bundles if b.manifest.parity.status != "verified"]
    if unproven:
        notes.append(
            f"Never executed: {', '.join(unproven)}. Their accuracy is emulated in ONNX Runtime."
        )
    return notes
