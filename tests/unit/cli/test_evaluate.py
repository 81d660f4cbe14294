from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")


def test_json_holds_every_bundle_and_image(
    doubling_bundle, pairs_folder: Path, tmp_path: Path, edgerestore
) -> None:
    bundles = [doubling_bundle("fp32", error=2 / 255), doubling_bundle("int8", error=4 / 255)]
    out = tmp_path / "new" / "scores.json"
    done = edgerestore("evaluate", *bundles, "--data", pairs_folder, "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert json.loads(out.read_text()) == document
    fp32, int8 = document["bundles"]
    assert fp32["bundle"] == "double-fp32-cpu"
    assert [image["name"] for image in fp32["images"]] == ["a", "b", "c"]
    assert set(fp32["images"][0]) >= {"name", "psnr_y_db", "ssim_y"}
    assert fp32["psnr_y_db"]["worst"] <= fp32["psnr_y_db"]["mean"] + 1e-9
    assert int8["drop"]["reference"] == "double-fp32-cpu"
    assert int8["drop"]["mean_db"] > 5


def test_people_see_bundles_side_by_side_and_the_protocol(
    doubling_bundle, pairs_folder: Path, edgerestore
) -> None:
    bundles = [doubling_bundle("fp32", error=2 / 255), doubling_bundle("int8", error=4 / 255)]
    done = edgerestore("evaluate", *bundles, "--data", pairs_folder, "--scale-dir", "X2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in ("double-fp32-cpu", "double-int8-cpu", "#1", "peak 255", "3 images, sha256"):
        assert text in done.stdout


@pytest.mark.parametrize("case", ["no bundle", "damaged bundle", "no data", "damaged picture"])
def test_bad_input_is_one_line_and_exit_code_3(
    case: str, doubling_bundle, pairs_folder: Path, tmp_path: Path, edgerestore
) -> None:
    bundle, data = doubling_bundle(), pairs_folder
    if case == "no bundle":
        bundle = tmp_path / "absent"
    elif case == "damaged bundle":
        (bundle / "model.onnx").write_bytes(b"rubbish")
    elif case == "no data":
        data = tmp_path / "absent"
    else:
        (data / "HR" / "b.png").write_bytes(b"rubbish")
    done = edgerestore("evaluate", bundle, "--data", data, "--out", tmp_path / "scores.json")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("edgerestore: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "scores.json").exists()
