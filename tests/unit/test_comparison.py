from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Accuracy, ImageScore, ModelFacts, read_bundle
from edgerestore.comparison import evaluate_bundles
from edgerestore.errors import InputError, UnknownNameError
from edgerestore.evaluation import data_label, read_pairs

pytest.importorskip("onnxruntime")


def accuracy(data: str) -> Accuracy:
    return Accuracy(
        data=data,
        protocol="",
        images=tuple(
            ImageScore(name=name, fp32_psnr_y_db=50.0, psnr_y_db=49.0) for name in ("a", "b", "c")
        ),
        mean_drop_db=1,
        worst_drop_db=1,
        allowed_mean_drop_db=1,
        allowed_worst_drop_db=1,
    )


def test_fp32_bundle_of_the_same_weights_is_the_reference(doubling_bundle, pairs_folder) -> None:
    bundles = [
        read_bundle(doubling_bundle("int8", error=4 / 255)),
        read_bundle(doubling_bundle("fp32", error=2 / 255)),
    ]
    told = []
    int8, fp32 = evaluate_bundles(bundles, pairs_folder, report=lambda *args: told.append(args))
    assert told[0] == ("double-int8-cpu", "a")
    assert len(told) == 6
    assert int8.drop.reference == "double-fp32-cpu"
    # Twice the error, unless clipped at white, costs six decibels.
    assert int8.drop.mean_db == pytest.approx(6.02, abs=0.05)
    assert int8.drop.worst_db >= int8.drop.mean_db - 1e-9
    assert int8.drop.worst_image in {"a", "b", "c"}
    assert int8.images[0].drop_db == pytest.approx(6.02, abs=0.1)
    assert int8.psnr_y_db.worst <= int8.psnr_y_db.mean + 1e-9
    assert fp32.drop.mean_db == fp32.drop.worst_db == 0
    assert fp32.ssim_y.worst <= fp32.ssim_y.mean + 1e-9


def test_manifest_figures_serve_only_for_the_very_same_data(doubling_bundle, pairs_folder) -> None:
    label = data_label(pairs_folder, read_pairs(pairs_folder, 2))
    same = read_bundle(doubling_bundle("int8", error=4 / 255, accuracy=accuracy(label)))
    other = read_bundle(
        doubling_bundle("fp16", error=4 / 255, accuracy=accuracy("pairs: 3 images"))
    )
    first, second = evaluate_bundles([same, other], pairs_folder)
    assert "manifest" in first.drop.reference
    assert first.drop.mean_db == pytest.approx(50 - first.psnr_y_db.mean)
    assert second.drop is None
    assert {image.drop_db for image in second.images} == {None}


def test_fp32_bundle_of_other_weights_is_no_reference(doubling_bundle, pairs_folder) -> None:
    other = ModelFacts(
        name="double",
        task="super-resolution",
        scale=2,
        border=2,
        config={},
        params=0,
        weights_sha256="1" * 64,
    )
    bundles = [read_bundle(doubling_bundle("int8")), read_bundle(doubling_bundle(model=other))]
    assert evaluate_bundles(bundles, pairs_folder)[0].drop is None


def test_two_perfect_results_lose_nothing(doubling_bundle, pairs_folder: Path) -> None:
    bundles = [read_bundle(doubling_bundle("int8")), read_bundle(doubling_bundle("fp32"))]
    int8, _ = evaluate_bundles(bundles, pairs_folder)
    assert int8.drop.mean_db == 0


def test_absent_pairs_are_our_error(doubling_bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pairs"):
        evaluate_bundles([read_bundle(doubling_bundle())], tmp_path)


def test_runtime_that_is_absent_is_told_before_anything_runs(
    doubling_bundle, pairs_folder: Path
) -> None:
    first = read_bundle(doubling_bundle("fp32"))
    target = msgspec.structs.replace(first.manifest.target, backend="elsewhere")
    second = read_bundle(doubling_bundle("int8", target=target))
    told = []
    with pytest.raises(UnknownNameError, match="unknown backend 'elsewhere'"):
        evaluate_bundles([first, second], pairs_folder, report=lambda *args: told.append(args))
    assert told == []
