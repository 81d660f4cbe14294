"""One whole decision about a small network, through the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx
import pytest
import torch

from edgerestore.backends import find_backend
from edgerestore.bundle import Bundle, DropLimits, read_bundle
from edgerestore.cli import main
from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.products import Product
from edgerestore.decision import Decision
from edgerestore.decision.candidates import PARTLY, build_candidates
from edgerestore.decision.mixed import attention_modules
from edgerestore.decision.result import Candidate, Limits
from edgerestore.networks.user import call_factory
from edgerestore.pipeline import gate
from edgerestore.pipeline.job import Job
from edgerestore.pipeline.request import find_target, job_from

pytestmark = pytest.mark.needs_backend("openvino")

NETWORK = """
import torch.nn.functional as F
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.tail = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x):
        print("a network may print")
        y = self.head(x)
        for layer in self.body:
            y = layer(y).relu()
        y = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return F.pixel_shuffle(self.tail(y), 2) + x.repeat_interleave(2, 2).repeat_interleave(2, 3)

def tiny():
    return Tiny()
"""

RECIPE = """
model = "tiny"
weights = "tiny.pth"
[network]
factory = "tiny.py:tiny"
scale = 2
minimum = 16
multiple_of = 1
value_range = [0.0, 1.0]
tile = 24
"""


LACKS_BF16 = find_backend("openvino").lacks("CPU", {"INFERENCE_PRECISION_HINT": "bf16"})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.py").write_text(NETWORK)
    (folder / "tiny.toml").write_text(RECIPE)
    torch.manual_seed(0)
    state = call_factory(folder / "tiny.py", "tiny").state_dict()
    for name in ("tail.weight", "tail.bias"):
        state[name] *= 0.1
    torch.save(state, folder / "tiny.pth")
    return folder / "tiny.toml"


@pytest.fixture(scope="module")
def made(recipe: Path, pairs: Path, photographs: Path, tmp_path_factory) -> tuple[int, str, Path]:
    """Exit code, what was printed and the folder, of a run in which INT8's gate lets nothing by."""
    out: Path = tmp_path_factory.mktemp("decided") / "out"
    arguments = [
        str(recipe), "--target=x86-openvino", f"--data={pairs}", f"--calibration={photographs}",
        f"--out={out}", "--seconds=0.3", "--threads=1", "--max-drop-db=3", "--max-worst-db=3",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(gate.ALLOWED, "int8", DropLimits(mean_drop_db=-1, worst_drop_db=-1))
        patch.setenv("COLUMNS", "80")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = main(["decide", *arguments])
    return code, printed.getvalue(), out


@pytest.fixture
def decision(made: tuple[int, str, Path]) -> Decision:
    return msgspec.json.decode((made[2] / "decision.json").read_bytes(), type=Decision)


def test_every_precision_of_the_target_is_measured(decision: Decision) -> None:
    labels = [candidate.label for candidate in decision.candidates]
    assert labels[:4] == ["FP32", "FP16", "BF16", "INT8"]
    assert len(labels) > 4
    for candidate in decision.candidates:
        if candidate.label == "BF16" and LACKS_BF16:
            assert (candidate.status, candidate.reason) == ("not built", LACKS_BF16)
            continue
        assert candidate.status == "measured", candidate.reason
        assert candidate.latency_ms is not None
        assert candidate.drop is not None
        assert candidate.drop.images == len(candidate.psnr_y_db) == 2
        assert candidate.peak_host_mib
        assert candidate.profile
        assert candidate.file_bytes
    fp32, *others = decision.candidates
    assert fp32.against_fp32 is None
    others = [other for other in others if other.status == "measured"]
    assert all(other.against_fp32.against == "FP32" for other in others)
    assert abs(fp32.drop.mean_db) < 0.001
    assert any(candidate.on_front for candidate in decision.candidates)


def test_what_misses_its_gate_is_measured_and_says_so(decision: Decision) -> None:
    missed = [c.label for c in decision.candidates if c.gate_missed]
    assert missed == [c.label for c in decision.candidates if c.precision == "int8"]
    assert all(c.keeps == "yes" for c in decision.candidates if c.status == "measured")


def test_a_mixed_candidate_leaves_products_in_float(decision: Decision) -> None:
    mixed, int8 = decision.candidates[-1], decision.candidates[3]
    assert mixed.label == "INT8, 2 in float"
    assert len(set(mixed.float_modules) & {"body.0", "body.1", "body.2"}) == 2
    assert integer_convolutions(int8) == 3
    assert integer_convolutions(mixed) == 1
    assert integer_convolutions(decision.candidates[0]) == 0


def integer_convolutions(candidate: Candidate) -> int:
    return sum(
        group.calls
        for group in candidate.profile
        if group.kind == "convolution" and group.precision == "int8"
    )


def test_data_and_protocol_are_named(decision: Decision) -> None:
    assert decision.data.startswith("pairs: 2 images, sha256 ")
    assert "2 pixels cut on each side; input tiles of 24 x 24 with 8" in decision.accuracy_protocol
    assert decision.latency_protocol["threads"] == "1"


def test_the_answer_stands_in_words_and_in_the_exit_code(
    made: tuple[int, str, Path], decision: Decision
) -> None:
    code, printed, out = made
    assert code == {"decided": 0, "undecided": 2}[decision.answer]
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    words = " ".join(printed.split())
    for reason in decision.reasons:
        assert " ".join(reason.split()) in words
    assert any("1 LayerNorm" in r and "stay in float" in r for r in decision.reasons)
    assert "a network may print" not in printed
    page = (out / "decision.html").read_text()
    assert decision.reasons[0].split(":")[0] in page
    # What misses its own gate but keeps the decision's limits has a place in the plane.
    plane = page[page.index("Accuracy lost against latency: ") :]
    measured = [candidate for candidate in decision.candidates if candidate.status == "measured"]
    assert all(f"{candidate.label} " in plane for candidate in measured)
    for candidate in measured:
        assert read_bundle(Path(candidate.bundle)).manifest.precision == candidate.precision


@pytest.fixture
def job(recipe: Path, pairs: Path, photographs: Path, tmp_path: Path) -> Job:
    return job_from(
        str(recipe), targets=["x86-openvino"], precisions=["int8"], weights=None, tile=None,
        overlap=None, calibration=str(photographs), data=pairs, keep_float=[], out=tmp_path,
    )  # fmt: skip


def test_with_a_latency_as_much_stays_in_float_as_it_allows(job: Job) -> None:
    speeds = itertools.cycle([1.0, 3.0])

    def taken_ms(bundles: Sequence[Bundle]) -> list[float]:
        # INT8 alone takes 1 ms at first, and each module in float as much again; then the
        # machine's speed changes with every run.
        folders = [bundle.path.parent.name.removesuffix("-in-float") for bundle in bundles]
        speed = 1.0 if len(bundles) == 1 else next(speeds)
        return [speed * (1.0 + (int(name) if name.isdigit() else 0)) for name in folders]

    def labels(limit_ms: float) -> list[str]:
        limits = Limits(mean_drop_db=0, worst_drop_db=0, latency_ms=limit_ms)
        return [item.label for item in build_candidates(job, limits, taken_ms, lambda stage: None)]

    assert labels(2.5) == ["INT8", "INT8, 1 in float"]
    assert labels(0.5) == ["INT8"]
    assert labels(9.9) == ["INT8", "INT8, 1 in float", "INT8, 2 in float"]


@pytest.mark.needs_backend("onnxruntime")
def test_int8_that_multiplies_nothing_in_int8_is_no_candidate(job: Job) -> None:
    job = dataclasses.replace(job, cases=((find_target("x86-onnxruntime"), "int8"),))
    limits = Limits(mean_drop_db=0, worst_drop_db=0)
    (int8,) = build_candidates(job, limits, lambda bundles: [], lambda stage: None)
    assert (int8.label, int8.bundle) == ("INT8", None)
    assert int8.reason == "x86-onnxruntime runs nothing of it in INT8"


def test_limits_that_no_mixture_keeps_are_said_to_be_so(job: Job) -> None:
    def never(bundles: Sequence[Bundle]) -> list[float]:
        raise AssertionError(bundles)

    stages: list[str] = []
    limits = Limits(mean_drop_db=-1, worst_drop_db=-1)
    whole, partly = build_candidates(job, limits, never, stages.append)
    assert whole.bundle is not None
    assert (partly.label, partly.bundle) == (PARTLY, None)
    assert "whichever of its 3 modules stay in float" in partly.reason
    assert "INT8 with 3 of 3 modules in float" in stages


def test_attention_is_what_multiplies_two_activations() -> None:
    products = (
        Product("matmul#1", "MatMul", ("q", "k"), None, 1),
        Product("qkv#1", "MatMul", ("x",), "w", 1),
        Product("matmul#2", "MatMul", ("p", "v"), None, 1),
    )
    plan = Plan(graph=onnx.ModelProto(), products=products, pairs={}, steps={})
    assert attention_modules(plan) == ("matmul",)
    assert attention_modules(dataclasses.replace(plan, products=products[1:2])) == ()
