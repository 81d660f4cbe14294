from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import ImageScore
from edgerestore.cli import main
from edgerestore.decision.result import Candidate, Decision, Drop, Limits
from edgerestore.measure.bench.environment import Watch
from edgerestore.measure.bench.results import LatencyMs, Ratio

SCORES = (
    ImageScore(name="dog", fp32_psnr_y_db=39.6, psnr_y_db=39.57),
    ImageScore(name="stream", fp32_psnr_y_db=27.4, psnr_y_db=27.40),
)


def candidate(label: str, ms: float | None, drop: float, against: Ratio | None = None) -> Candidate:
    return Candidate(
        label=label, precision="int8", bundle=None if ms is None else f"bundles/{label}",
        status="measured" if ms else "not built", reason=None if ms else "NaN in its output",
        drop=Drop(mean_db=drop, low_db=None, high_db=None, worst_db=drop, worst_image="dog",
                  images=2) if ms else None,
        psnr_y_db=SCORES if ms else (), against_fp32=against,
        latency_ms=LatencyMs(p50=ms, p90=None, samples=20) if ms else None,
    )  # fmt: skip


@pytest.fixture
def decision() -> Decision:
    ratio = Ratio(name="INT8", against="FP32", median=0.57, low=0.55, high=0.6, rounds=20)
    return Decision(
        model="esrt_s_x2", target="x86-openvino", answer="decided", recommended="INT8", rivals=(),
        reasons=["INT8 is recommended."], limits=Limits(mean_drop_db=0.03, worst_drop_db=0.06),
        data="photos: 2 images", accuracy_protocol="Tiles of 48", latency_protocol={"clock": "x"},
        candidates=[candidate("FP32", 35.72, 0.0), candidate("INT8", 21.56, 0.015, ratio),
                    candidate("FP16", None, 0.0)],
        environment=Watch().finish(0.0), warnings=[],
    )  # fmt: skip


def test_a_decision_is_shown_with_its_plane_and_its_reasons(
    decision: Decision, tmp_path: Path
) -> None:
    (tmp_path / "decision.json").write_bytes(msgspec.json.encode(decision))
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "decision.json"), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "decided: INT8" in text
    assert "esrt_s_x2 on x86-openvino: INT8 is recommended." in text
    assert "Accuracy lost against latency: FP32 35.72 ms" in text
    assert "FP16 has no latency here: failed (NaN in its output)." in text


def test_a_decision_of_another_version_is_refused_in_one_line(
    decision: Decision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "decision.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(decision, schema=9)))
    assert main(["report", str(path), "--out", str(tmp_path / "r.html")]) == 3
    assert capsys.readouterr().err == (
        f"edgerestore: {path}: not a decision: schema 9, but this edgerestore reads 1\n"
    )
