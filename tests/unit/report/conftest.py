"""Results that look like those of a real session, made without running anything."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from edgerestore.bench.environment import Environment
from edgerestore.bench.harness import Candidate, Measurement, Plan
from edgerestore.bench.protocol import Closed, Opened
from edgerestore.bench.results import Costs, Result, Results, ratios_of, result_of
from edgerestore.bundle import Accuracy, ImageScore, Parity
from edgerestore.report.pictures import Picture

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
