from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgerestore.bundle import (
    Manifest,
    TargetFacts,
    write_manifest,
    write_probe,
    writing_bundle,
)
from edgerestore.cli import main
from edgerestore.errors import BundleError, InputError
from edgerestore.measure.bench.bundles import bench_bundles, unique
from edgerestore.measure.bench.harness import Plan
from edgerestore.measure.bench.sensors.finding import find_sensors
from edgerestore.measure.report.reading import KINDS, read_files

Make = Callable[..., Path]

QUICK = Plan(seconds=None, samples=16, warm_up_seconds=0.0, warm_up_runs=1)

pytest.importorskip("onnxruntime")


def test_two_bundles_are_measured_beside_each_other(make_bundle: Make) -> None:
    results = bench_bundles([make_bundle("a"), make_bundle("b")], QUICK, threads=1)
    first, second = results.bundles
    assert (first.name, second.name) == ("a-fp32-ort-cpu", "b-fp32-ort-cpu")
    assert first.latency_ms
    assert first.latency_ms.samples == 16
    assert first.latency_ms.p90 is None
    assert first.params == 36
    assert first.macs_not_counted == {"DepthToSpace": 1}
    assert first.parity_psnr_db is not None
    assert first.parity_psnr_db > 100
    assert (first.runtime or "").startswith("onnxruntime ")
    assert (first.peak_host_mib or 0) > (first.host_mib_before_load or 0) > 5
    assert [(r.name, r.against) for r in results.ratios] == [(second.name, first.name)]
    assert results.environment.cores >= 1


def test_a_wrong_output_has_no_latency(make_bundle: Make) -> None:
    (row,) = bench_bundles([make_bundle("bad", wrong=True)], QUICK).bundles
    assert row.status == "failed parity"
    assert row.latency_ms is row.first_ms is row.load_ms is row.megapixels_per_s is None
    assert "demands 40.00 dB" in (row.reason or "")


def test_a_bundle_without_a_floor_must_still_give_the_picture(make_bundle: Make) -> None:
    paths = [make_bundle("new", floor_db=None), make_bundle("bad", wrong=True, floor_db=None)]
    right, wrong = bench_bundles(paths, QUICK).bundles
    assert (right.status, right.parity_floor_db) == ("measured", 30.0)
    assert (wrong.status, wrong.latency_ms) == ("failed parity", None)
    assert "any bundle must reach 30.00 dB" in (wrong.reason or "")


def test_below_its_accuracy_gate_it_is_not_even_run(make_bundle: Make) -> None:
    low, good = bench_bundles([make_bundle("low", drop_db=0.5), make_bundle("ok")], QUICK).bundles
    assert (low.status, low.latency_ms) == ("below accuracy gate", None)
    assert "loses 0.50 dB, allowed 0.10 dB" in (low.reason or "")
    assert good.status == "measured"


def test_an_absent_runtime_is_named(make_bundle: Make) -> None:
    pytest.importorskip("edgerestore.backends.tensorrt")
    if __import__("importlib.util").util.find_spec("tensorrt"):
        pytest.skip("tensorrt is installed here")
    (row,) = bench_bundles([make_bundle("engine", backend="tensorrt")], QUICK).bundles
    assert (row.status, row.latency_ms) == ("not executable here", None)
    assert "tensorrt" in (row.reason or "")


def test_a_damaged_bundle_is_refused_before_anything_runs(make_bundle: Make) -> None:
    bundle = make_bundle("a")
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="damaged"):
        bench_bundles([bundle], QUICK)


def test_a_graph_that_cannot_be_read_is_refused_before_anything_runs(
    make_bundle: Make, small_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    path = tmp_path / "entities"
    with writing_bundle(path) as folder:
        (folder / "model.xml").write_text("<!DOCTYPE net><net/>")
        write_probe(folder, *2 * [np.zeros((1, 3, 8, 8), np.float32)])
        target = TargetFacts(name="ov-cpu", backend="openvino", device="CPU", options={})
        manifest = small_manifest(folder / "model.xml", name="x", scale=1, tile=8, target=target)
        write_manifest(folder, manifest)
    heard: list[str] = []
    with pytest.raises(BundleError, match="declares entities"):
        bench_bundles([make_bundle("a"), path], QUICK, stage=heard.append)
    assert heard == []


def test_the_same_bundle_twice_keeps_two_names() -> None:
    assert unique(["a", "a", "a", "a (2)"]) == ["a", "a (2)", "a (3)", "a (2) (2)"]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        bench_bundles([], QUICK)


def test_the_verb_prints_the_contract(
    make_bundle: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    path = make_bundle("a")
    assert main(["bench", str(path), "--samples=64", "--quick", "--json", f"--out={out}"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) >= {"bundles", "environment", "ratios"}
    (bundle,) = printed["bundles"]
    assert bundle["bundle"] == str(path)
    assert set(bundle) >= {
        "params", "macs", "activations", "attention_score_bytes", "file_bytes", "load_ms",
        "first_ms", "latency_ms", "megapixels_per_s", "peak_host_mib", "peak_device_mib",
    }  # fmt: skip
    assert set(bundle["latency_ms"]) >= {"p50", "p90", "samples"}
    assert bundle["latency_ms"]["samples"] == 64
    # 3 x 12 values of float32; the shape of its run and its graph's operators.
    assert bundle["weight_bytes"] == 144
    assert bundle["input_shape"] == [1, 3, 8, 8]
    assert bundle["operators"] == {"Conv": 1, "DepthToSpace": 1}
    assert bundle["throughput"] == bundle["energy"] == []
    assert bundle["restored"] is bundle["opening"] is None
    (session,) = read_files([out], KINDS).sessions
    assert session.bundles[0].latency_ms is not None


def test_the_tables_fit_80_columns(
    make_bundle: Make,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = [str(make_bundle(name)) for name in ("a_long_model_name_x4", "b[bold]")]
    assert main(["bench", *paths, "--samples=64", "--streams=2", f"--picture={picture}"]) == 0
    captured = capsys.readouterr()
    assert max(map(len, captured.out.splitlines())) <= 80
    for title in (
        "Cost of one run on 1x3x8x8",
        "One at a time",
        "Opening, and memory at its peak",
        "Several under way",
        "A whole picture, from file to file: p.png, 20x10",
    ):
        assert title in captured.out
    assert "b[bold]" in captured.out
    assert "MACs do not count: DepthToSpace (1)" in captured.out
    assert "no p99 from fewer than 662 samples" in captured.out
    if not find_sensors():
        assert "energy was not measured: " in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--streams=0"], "--streams 0: must be from 1 to"),
        (["--batch=two"], "--batch 'two': give whole numbers"),
        (["--quick", "--streams=2"], "--quick measures no --streams"),
        (["--picture=none.png"], "none.png"),
    ],
)
def test_settings_out_of_range_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["bench", str(tmp_path), *options]) == 3
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_failed_bundle_makes_the_answer_no(
    make_bundle: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(make_bundle("bad", wrong=True)), "--samples=1", "--quick"]) == 1
    assert "failed parity" in capsys.readouterr().out


def test_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tmp_path)]) == 3
    assert "not a bundle" in capsys.readouterr().err
