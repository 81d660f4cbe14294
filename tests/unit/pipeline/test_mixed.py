"""The verb ``sensitivity`` on a real build, and what is behind it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from edgerestore.bundle import Accuracy, DropLimits
from edgerestore.networks import find_model

pytestmark = [
    pytest.mark.needs_backend("onnxruntime"),
    pytest.mark.needs_backend("openvino"),
]

GIVEN = ("esrt_s_x2", "--target", "x86-onnxruntime", "--tile", "24")


def accuracy(mean: float, worst: float) -> Accuracy:
    return Accuracy(
        data="d",
        protocol="p",
        images=(),
        mean_drop_db=mean,
        worst_drop_db=worst,
        allowed_mean_drop_db=1,
        allowed_worst_drop_db=1,
    )


def test_limits_are_both_kept_or_not_at_all() -> None:
    limits = DropLimits(mean_drop_db=0.03, worst_drop_db=0.06)
    assert limits.hold(accuracy(0.03, 0.06))
    assert not limits.hold(accuracy(0.031, 0.01))
    assert not limits.hold(accuracy(-0.1, 0.07))
    assert not limits.hold(None)


def test_modules_are_ranked_and_the_search_says_what_it_tried(
    edgerestore, weights: Path, pairs: Path, photographs: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "bars.svg"
    done = edgerestore(
        "sensitivity", *GIVEN, "--weights", weights, "--data", pairs, "--calibration", photographs,
        "--keep-float", "blocks.*", "--search", "--max-drop-db", "50", "--max-worst-db", "50",
        "--out", picture, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    modules = [entry["module"] for entry in found["modules"]]
    assert "transformer.proj" in modules
    # A convolution, which ONNX Runtime's dialect leaves in float.
    assert "mix" not in modules
    assert not set(find_model("esrt_s_x2").keep_float) & set(modules)
    assert not any(module.startswith("blocks.") for module in modules)
    decibels = [entry["psnr_db"] for entry in found["modules"]]
    assert decibels == sorted(decibels)
    assert all(entry["drop_db"] is not None for entry in found["modules"])
    assert found["search"]["keep_float"] == []
    assert [entry["in_float"] for entry in found["search"]["tried"]] == [0]
    drawn = ET.fromstring(picture.read_text())
    texts = [node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert all(module in texts for module in modules)


def test_unknown_model_is_refused_in_one_line(edgerestore) -> None:
    done = edgerestore("sensitivity", "nothing", "--search")
    assert done.returncode == 3
    assert "unknown model 'nothing'" in done.stderr
    assert done.stderr.count("\n") == 1
