"""Results that look like those of a real session, made without running anything."""

from __future__ import annotations

import io
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgerestore.bundle import Accuracy, ImageScore, Parity
from edgerestore.comparison import BundleResult, Drop, ImageResult, Range
from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.harness import Candidate, Measurement, Plan
from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.profile.groups import grouped
from edgerestore.measure.bench.profile.operators import Operator
from edgerestore.measure.bench.protocol import Closed, Opened
from edgerestore.measure.bench.results import Costs, Result, Results, ratios_of, result_of
from edgerestore.measure.bench.roofline import Achieved, Fraction, Peak, Roof, Roofline
from edgerestore.measure.gate.facts import Fact
from edgerestore.measure.gate.latency import Latency
from edgerestore.measure.gate.sequential import Answer
from edgerestore.measure.gate.verdict import Side, Verdict
from edgerestore.measure.report.differences import difference
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.pictures import Picture

IMAGES = {"baby": 37.12, "bird": 38.47, "butterfly": 31.95, "head": 34.61, "woman": 35.28}
FLOAT32 = ("fp32", "openvino-cpu", 0.0, 50.2)
SPECS = (
    FLOAT32,
    ("bf16", "openvino-cpu", 0.012, 31.2),
    ("int8", "openvino-cpu", 0.038, 21.4),
    ("int8", "ort-cpu", 0.051, 74.9),
)

MakeResults = Callable[..., Results]


def environment() -> Environment:
    return Environment(
        taken_at="2026-03-14T15:09:26+00:00", machine="x86_64", cpu="AMD EPYC 9654", cores=2,
        governor=None, memory_mib=15872.0, container_cores=None, container_memory_mib=8192.0,
        gpus=[], os="Debian GNU/Linux 12, Linux 6.1", python="CPython 3.11.2",
        versions={"edgerestore": "0.1.0", "openvino": "2026.4.1", "onnxruntime": "1.31.1"},
        load_average_begin=0.31, load_average_end=1.7, other_cores=0.4,
    )  # fmt: skip


def accuracy(loss: float, allowed: float = 0.1, images: dict[str, float] = IMAGES) -> Accuracy:
    rng = np.random.default_rng(round(1000 * loss))
    drops = loss * rng.uniform(0.2, 1.9, len(images))
    scores = tuple(
        ImageScore(name=name, fp32_psnr_y_db=psnr, psnr_y_db=psnr - drop)
        for (name, psnr), drop in zip(images.items(), map(float, drops), strict=True)
    )
    return Accuracy(
        data="Set5 x2", protocol="Tiles of 48, border 2.", images=scores,
        mean_drop_db=float(drops.mean()), worst_drop_db=float(drops.max()),
        allowed_mean_drop_db=allowed, allowed_worst_drop_db=3 * allowed,
    )  # fmt: skip


def costs(precision: str, target: str, loss: float, allowed: float = 0.1) -> Costs:
    return Costs(
        params=676_432, macs=1_890_000_000, macs_not_counted={"Softmax": 4, "Erf": 8},
        activations=62_300_000, attention_score_bytes=21_233_664, model="esrt_s_x2",
        file_bytes={"fp32": 2_811_004, "bf16": 1_402_112, "int8": 803_412}[precision],
        precision=precision, target=target, accuracy=accuracy(loss, allowed),
        built=Parity(status="verified", runtime=f"{target} on CPU", floor_db=40.0),
    )  # fmt: skip


def measured(name: str, ms: float, rounds: int = 24) -> Measurement:
    rng = np.random.default_rng(round(ms * 10))
    slowed = 1 + 0.25 * np.abs(np.random.default_rng(0).normal(size=rounds))
    turns = [(ms * s * (1 + 0.03 * rng.exponential(size=6)) * 1e6).astype(int) for s in slowed]
    turns[3][2] *= 6
    return Measurement(
        Candidate(name, ()),
        opened=Opened(
            prepare_ms=210.0, load_ms=8 * ms, first_ms=1.4 * ms, output_pixels=96 * 96,
            runtime="openvino 2026.4.1 on CPU", host_mib_before_load=92.0, parity_psnr_db=55.0,
            parity_floor_db=40.0,
        ),
        closed=Closed(peak_host_mib=140.0 + ms, peak_device_mib=None, cpu_seconds=10.0),
        turns_ns=[turn.tolist() for turn in turns],
    )  # fmt: skip


def unexecuted(name: str = "esrt_s_x2-int8-jetson-orin") -> Result:
    built = Parity(status="compiled, not executed", runtime="TensorRT-RTX 1.7.1 compiler, SM 8.7")
    return Result(
        bundle=name, name=name, status="not executable here", precision="int8",
        reason="tensorrt cannot run here: no NVIDIA GPU", model="esrt_s_x2", built=built,
        target="jetson-orin", params=676_432, macs=1_890_000_000, file_bytes=1_204_000,
    )  # fmt: skip


@pytest.fixture
def make_results() -> MakeResults:
    return results


def results(specs: tuple[tuple[str, str, float, float], ...] = SPECS, *extra: Result) -> Results:
    seen = [measured(f"esrt_s_x2-{p}-{target}", ms) for p, target, _, ms in specs]
    rows = [
        result_of(m, f"bundles/{m.candidate.name}", costs(p, target, loss))
        for m, (p, target, loss, _) in zip(seen, specs, strict=True)
    ]
    return Results(
        bundles=[*rows, *extra],
        environment=environment(),
        ratios=ratios_of(seen, Plan(samples=64)),
        protocol={
            "clock": "perf_counter_ns around one inference, host array to host array",
            "warm_up": "3 runs and 0.5 s after loading, 1 run before each turn, discarded",
        },
        warnings=["other processes used 0.4 cores while measuring: trust the ratios"],
    )


@pytest.fixture
def some_pictures() -> list[Picture]:
    return pictures()


def pictures(side: int = 96) -> list[Picture]:
    y, x = np.mgrid[:side, :side] / side
    waves = 0.5 + 0.5 * np.sin(40 * x * (1 + y) + 12 * np.cos(6 * y))
    sharp = np.stack([waves, 0.6 * waves + 0.4 * y, 0.3 + 0.5 * x], axis=-1)
    image = Image.fromarray((sharp * 255).astype(np.uint8))
    small = image.resize((side // 4, side // 4)).resize((side, side), Image.Resampling.BICUBIC)
    return [
        Picture("bicubic", encoded(small, "PNG")),
        Picture("INT8 openvino-cpu", encoded(image, "JPEG")),
        Picture("ground truth", encoded(image, "PNG")),
    ]


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def some_further() -> Further:
    return further()


def further() -> Further:
    """Of every kind something."""
    dark, light = np.zeros((32, 48, 3), np.uint8), np.full((32, 48, 3), 3, np.uint8)
    return Further(
        evaluations=[evaluation("esrt_s_x2-fp32-cpu", 0.0), evaluation("esrt_s_x2-int8-cpu", 0.04)],
        profiles=[profile("esrt_s_x2-fp32-cpu", "fp32"), profile("esrt_s_x2-int8-cpu", "int8")],
        rooflines=[roofline()],
        verdicts=[verdict("pass", 1.002, 1), verdict("regressed", 1.08, 2)],
        differences=[difference("INT8", light, "FP32", dark, "waves")],
    )


def evaluation(bundle: str, loss: float) -> BundleResult:
    scores = accuracy(loss).images
    drops = {score.name: score.fp32_psnr_y_db - score.psnr_y_db for score in scores}
    worst = max(drops, key=lambda name: drops[name])
    images = tuple(
        ImageResult(name=s.name, psnr_y_db=s.psnr_y_db, ssim_y=0.94, drop_db=drops[s.name])
        for s in scores
    )
    values = [score.psnr_y_db for score in scores]
    return BundleResult(
        bundle=bundle, path=bundle, model="esrt_s_x2", precision="int8", target="cpu",
        protocol="Tiles of 48", data="Set5: 5 images, sha256 0123", images=images,
        psnr_y_db=Range(mean=float(np.mean(values)), worst=min(values)), ssim_y=None,
        drop=Drop(reference="esrt_s_x2-fp32-cpu", mean_db=float(np.mean(list(drops.values()))),
                  worst_db=drops[worst], worst_image=worst),
    )  # fmt: skip


def profile(name: str, precision: str) -> Profile:
    kinds = (("Attention", "attention"), ("Convolution", "convolution"), ("Reorder", "layout copy"))
    operators = [
        Operator(
            name=f"{type_}{i}", type=type_, kind=kind, precision=precision if i % 2 else "fp32",
            kernel="jit_avx512", calls=3, us=float(900 - 60 * i), holds={type_: 3},
        )
        for i, (type_, kind) in enumerate(4 * kinds)
    ]  # fmt: skip
    return Profile(
        bundle=name, name=name, precision=precision, runtime="openvino 2026.4.1 on CPU", threads=1,
        runs=25, total_us=sum(o.us for o in operators), summary=["All of it is made up."],
        groups=grouped(operators), operators=operators,
    )  # fmt: skip


def roofline() -> Roofline:
    peaks = [Peak(precision="fp32", gmacs_per_s=60.0), Peak(precision="int8", gmacs_per_s=230.0)]
    bundles = [
        Achieved(
            bundle=name, name=name, macs=10**9, gmacs_per_s=rate,
            of_peak=[
                Fraction(precision=p.precision, median=rate / p.gmacs_per_s, low=None, high=None)
                for p in peaks
            ],
            roof=Roof(precision=name[10:14], bytes_moved=10**8, macs_per_byte=10.0,
                      bound="multiplications", gmacs_per_s=60.0, median=rate / 60, low=None,
                      high=None),
        )
        for name, rate in (("esrt_s_x2-fp32-cpu", 31.0), ("esrt_s_x2-int8-cpu", 44.0))
    ]  # fmt: skip
    return Roofline(
        peaks=peaks, gb_per_s=20.0, bundles=bundles, protocol={}, environment=environment(),
        warnings=[],
    )  # fmt: skip


def verdict(answer: Answer, ratio: float, day: int) -> Verdict:
    side = Side(given=f"v{day}:bundles/new", name="esrt_s_x2-int8-cpu", sha256="0" * 64)
    latency = Latency(
        answer=answer, ratio=ratio, low=ratio - 0.01, high=ratio + 0.01, confidence=0.98,
        threshold=0.03, expected=1.0, pairs=7, samples=1400, seconds=31.0, candidate_ms=8.0,
        baseline_ms=8.0, estimates=[],
    )  # fmt: skip
    when = f"2026-03-{day:02}T15:09:26+00:00"
    return Verdict(
        answer=answer, candidate=side, baseline=side, latency=latency,
        facts=[Fact(check="macs", answer="same", said="equal", change=0.0)], warnings=[],
        environment=msgspec.structs.replace(environment(), taken_at=when),
    )  # fmt: skip
