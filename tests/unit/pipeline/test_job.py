"""One real build for every shipped target, and what the command line does with its bundles."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from edgerestore.backends import find_backend
from edgerestore.backends.base import open_session
from edgerestore.bundle import Bundle, probe_psnr_db, read_bundle
from edgerestore.cli.build import fp16_notes, int8_notes
from edgerestore.compress.fp16.analysis import READS_IMAGE, WRITES_IMAGE
from edgerestore.errors import AccuracyError, InputError, RecipeError
from edgerestore.files import sha256_of
from edgerestore.pipeline import Job, build_bundles
from edgerestore.pipeline import job as job_module
from edgerestore.pipeline.request import find_target, job_from
from edgerestore.shipped import toml_folder

MODEL = "esrt_s_x2"
TILE, OVERLAP, SIDE = 24, 4, 40
"""As of the weights and pictures in tests/conftest.py."""
PICTURES = ("friends-dog", "rocket-night")
NPU = "intel-npu"
FLOAT = ("head", "reduce", "body_conv", "tail", "skip")
"""What the network keeps in float of its own."""
KEEP = ("mix",)
"""What made-up weights cannot bear in INT8; trained ones can."""

pytestmark = [
    pytest.mark.needs_backend("onnxruntime"),
    pytest.mark.needs_backend("openvino"),
]


@pytest.fixture(scope="session")
def asked(weights: Path, pairs: Path, photographs: Path) -> Callable[..., Job]:
    def ask(out: Path, targets: list[str], precisions: list[str], **changes) -> Job:
        options = {
            "weights": weights,
            "tile": TILE,
            "overlap": OVERLAP,
            "calibration": str(photographs),
            "data": pairs,
            "keep_float": KEEP,
        }
        return job_from(
            MODEL, targets=targets, precisions=precisions, out=out, **(options | changes)
        )

    return ask


@pytest.fixture(scope="session")
def build(asked: Callable[..., Job]) -> Callable[..., list[Bundle]]:
    return lambda *given, **changes: build_bundles([asked(*given, **changes)])


@pytest.fixture(scope="session")
def built(tmp_path_factory, asked) -> dict[str, Bundle]:
    """All shipped targets in FP32, FP16 and INT8, as far as they have them."""
    out = tmp_path_factory.mktemp("built")
    targets = sorted(path.stem for path in toml_folder("targets").glob("*.toml"))
    if find_backend("tensorrt-rtx").version() is None:
        targets.remove("rtx-tensorrt")
    targets.remove(NPU)
    job = asked(out, targets, ["fp32", "fp16", "int8"])
    npu = find_target(NPU)
    cases = (*job.cases, *((npu, precision) for precision in npu.precisions))
    made = build_bundles([dataclasses.replace(job, cases=cases)])
    assert len(made) == 3 * len(targets) + 2
    return {bundle.path.name.removeprefix(f"{MODEL}-"): bundle for bundle in made}


def case(built: dict[str, Bundle], name: str) -> Bundle:
    if name not in built:
        pytest.skip("tensorrt-rtx, which builds this, is not installed")
    return built[name]


def test_only_what_was_executed_is_called_verified(built: dict[str, Bundle]) -> None:
    for name, bundle in built.items():
        target = bundle.manifest.target
        parity = bundle.manifest.parity
        if find_backend(target.backend).why_not(target.device) is None:
            assert parity.status == "verified", name
            assert parity.runtime.startswith(target.backend)
            assert 30 < parity.floor_db < parity.psnr_db
        else:
            assert "not executed" in parity.status, name
            assert parity.psnr_db is None
            assert 20 < parity.floor_db < 75
            assert "emulated in ONNX Runtime" in bundle.manifest.accuracy.protocol


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_rtx_ships_an_engine_that_its_own_compiler_built(
    built: dict[str, Bundle], precision: str
) -> None:
    bundle = case(built, f"{precision}-rtx-tensorrt")
    ranges = ["ranges.json"] if precision == "int8" else []
    assert list(bundle.manifest.files) == ["model.onnx", "engine.plan", *ranges]
    assert bundle.manifest.files["engine.plan"] > 100_000
    if find_backend("tensorrt-rtx").why_not() is not None:
        assert bundle.manifest.parity.status == "compiled, not executed"
        assert bundle.manifest.parity.runtime.startswith("built by tensorrt-rtx 1.")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_jetson_ships_a_graph_and_claims_nothing(built: dict[str, Bundle], precision: str) -> None:
    bundle = built[f"{precision}-jetson-tensorrt"]
    ranges = ["ranges.json"] if precision == "int8" else []
    assert list(bundle.manifest.files) == ["model.onnx", *ranges]
    if find_backend("tensorrt").why_not() is not None:
        assert bundle.manifest.parity.status == "not compiled, not executed"
        assert bundle.manifest.parity.runtime == "none"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_npu_ships_an_ir_and_claims_nothing(built: dict[str, Bundle], precision: str) -> None:
    manifest = built[f"{precision}-{NPU}"].manifest
    ranges = ["ranges.json"] if precision == "int8" else []
    assert list(manifest.files) == ["model.xml", "model.bin", *ranges]
    assert manifest.target.device == "NPU"
    if find_backend("openvino").why_not("NPU") is not None:
        assert manifest.parity.status == "not compiled, not executed"


def test_every_bundle_holds_its_gate_and_says_where_it_came_from(
    built: dict[str, Bundle], weights: Path
) -> None:
    for name, bundle in built.items():
        read = read_bundle(bundle.path)
        assert read == bundle
        manifest = read.manifest
        assert name == f"{manifest.precision}-{manifest.target.name}"
        assert manifest.model.weights_sha256 == sha256_of(weights)
        assert manifest.passes[0].name == "rewrite"
        accuracy = manifest.accuracy
        assert accuracy.mean_drop_db <= accuracy.allowed_mean_drop_db
        assert accuracy.worst_drop_db <= accuracy.allowed_worst_drop_db
        assert [image.name for image in accuracy.images] == list(PICTURES)
        assert (manifest.calibration is not None) == (manifest.precision == "int8")
        assert set(manifest.tools) >= {"edgerestore", "torch", "onnx", "nncf"}


def test_probe_holds_the_reference_networks_own_output(
    built: dict[str, Bundle], filled_network: Callable[[str], nn.Module]
) -> None:
    network = filled_network(MODEL)
    for bundle in built.values():
        given, expected = bundle.probe()
        assert given.shape == (1, 3, TILE, TILE)
        with torch.inference_mode():
            own = network(torch.from_numpy(given)).numpy()
        np.testing.assert_allclose(own, expected, atol=1e-4 * expected.std())


def test_lower_precision_takes_less_room(built: dict[str, Bundle]) -> None:
    """The weights do; OpenVINO's model.xml grows with each quantizer that it describes."""
    sizes = {
        name: sum(n for file, n in bundle.manifest.files.items() if file != "model.xml")
        for name, bundle in built.items()
    }
    # ONNX Runtime's convolutions stay in float: their weights are most of this network's.
    for target, int8 in (("x86-onnxruntime", 0.9), ("x86-openvino", 0.7), ("jetson-tensorrt", 0.7)):
        assert sizes[f"fp16-{target}"] < 0.7 * sizes[f"fp32-{target}"]
        assert sizes[f"int8-{target}"] < int8 * sizes[f"fp32-{target}"]


@pytest.mark.parametrize("name", ["int8-jetson-tensorrt", "int8-rtx-tensorrt"])
def test_tensorrt_int8_is_symmetric_and_its_rest_is_fp16(
    built: dict[str, Bundle], name: str
) -> None:
    model = onnx.load(case(built, name).path / "model.onnx")
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 50
    for node in pairs:
        assert weights[node.input[1]].dtype == np.float16
        if len(node.input) > 2:
            assert not weights[node.input[2]].any(), node.name


def test_fp16_says_which_operators_stay_in_fp32_and_why(built: dict[str, Bundle]) -> None:
    manifest = built["fp16-jetson-tensorrt"].manifest
    settings = next(p.settings for p in manifest.passes if p.name == "fp16")
    means = {name: why for name, why in settings["kept"].items() if name.startswith("reducemean")}
    others = {name: why for name, why in settings["kept"].items() if name not in means}
    assert {why.partition(" (behind ")[0] for why in others.values()} == {READS_IMAGE, WRITES_IMAGE}
    assert "head#1" in others
    assert means
    assert all(why.startswith("a sum of 576 terms (behind ") for why in means.values())
    notes = fp16_notes(list(built.values()))
    assert [note.partition(": ")[0].split()[:3] for note in notes] == [
        [MODEL, "in", precision] for precision in ("fp16", "int8")
    ]
    first = f"{len(means)} ReduceMean: reducemean#1, a sum of 576 terms (behind "
    assert first in notes[0]


def test_build_says_how_much_of_each_target_s_int8_is_int8(built: dict[str, Bundle]) -> None:
    bundles = [bundle for name, bundle in built.items() if name.startswith("int8-")]
    (note,) = int8_notes(bundles)
    for bundle in bundles:
        (settings,) = (p.settings for p in bundle.manifest.passes if p.name == "int8")
        assert 0 < settings["products"] < settings["products_in_all"]
        assert f"{settings['products']} in INT8 on {bundle.manifest.target.name}" in note


def test_int8_that_multiplies_nothing_in_int8_is_called_so(built: dict[str, Bundle]) -> None:
    bundle = built["int8-x86-onnxruntime"]
    (done,) = (p for p in bundle.manifest.passes if p.name == "int8")
    none = msgspec.structs.replace(done, settings=done.settings | {"products": 0})
    manifest = msgspec.structs.replace(bundle.manifest, passes=(none,))
    (note,) = int8_notes([dataclasses.replace(bundle, manifest=manifest)])
    assert note.endswith("none in INT8 on x86-onnxruntime, whose bundle is FP32 in all but name")


def test_recipe_keeps_modules_in_float_on_one_target_alone(
    tmp_path: Path, weights: Path, pairs: Path, photographs: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f"""
        model = "{MODEL}"
        weights = "{weights}"
        [build]
        targets = ["jetson-tensorrt", "x86-onnxruntime"]
        precisions = ["int8"]
        tile = {TILE}
        keep_float = {list(KEEP)}
        keep_float_on = {{ "jetson-*" = ["transformer.q"] }}
        """
    )
    given = {"targets": None, "precisions": None, "weights": None, "tile": None}
    job = job_from(
        str(recipe), **given, overlap=OVERLAP, calibration=str(photographs), data=pairs,
        keep_float=(), out=tmp_path / "out",
    )  # fmt: skip
    kept = {}
    for bundle in build_bundles([job]):
        settings = next(p.settings for p in bundle.manifest.passes if p.name == "int8")
        kept[bundle.manifest.target.name] = settings["keep_float"]
    assert kept["x86-onnxruntime"] == [*FLOAT, *KEEP]
    assert kept["jetson-tensorrt"] == [*kept["x86-onnxruntime"], "transformer.q"]
    wrong = recipe.read_text().replace('["transformer.q"]', '["transfomer.q"]')
    recipe.write_text(wrong)
    job = job_from(
        str(recipe), **given, overlap=OVERLAP, calibration=str(photographs), data=pairs,
        keep_float=(), out=tmp_path / "other",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"'transfomer\.q' matches no module"):
        build_bundles([job])
    recipe.write_text(wrong.replace('"jetson-*"', '"jetson-tensorrr"'))
    with pytest.raises(RecipeError, match=r"'jetson-tensorrr' matches no target; did you mean 'je"):
        job_from(str(recipe), **given, out=tmp_path / "third")


def test_int8_bundles_hold_the_ranges_that_they_were_made_from(built: dict[str, Bundle]) -> None:
    found = {}
    for name in ("int8-x86-onnxruntime", "int8-x86-openvino", "int8-jetson-tensorrt"):
        bundle = built[name]
        table = json.loads((bundle.path / "ranges.json").read_bytes())
        assert table["calibration_sha256"] == bundle.manifest.calibration.sha256
        settings = next(p.settings for p in bundle.manifest.passes if p.name == "int8")
        assert table["range_estimator"] == settings["range_estimator"]
        assert table["schemes_tried"][0]["range_estimator"] == settings["range_estimator"]
        # ONNX Runtime's convolutions stay in float.
        assert (len(table["tensors"]) > 100) == (name != "int8-x86-onnxruntime")
        found[name] = {tensor: entry["seen"] for tensor, entry in table["tensors"].items()}
        for entry in table["tensors"].values():
            low, high = entry["held"]
            assert low <= 0 <= high
            assert entry["read_by"]
            if name == "int8-jetson-tensorrt":
                assert (entry["zero_point"], entry["integers"]) == (0, "int8")
    # One calibration, several dialects, one of which takes fewer tensors.
    fewer = found.pop("int8-x86-onnxruntime")
    assert fewer
    for seen in found.values():
        assert seen == next(iter(found.values()))
        assert fewer.items() <= seen.items()


def test_keep_float_reaches_every_runtime(built: dict[str, Bundle]) -> None:
    for target in ("x86-onnxruntime", "x86-openvino"):
        manifest = built[f"int8-{target}"].manifest
        settings = next(p.settings for p in manifest.passes if p.name == "int8")
        assert settings["keep_float"] == [*FLOAT, *KEEP]


def test_output_folder_holds_bundles_and_nothing_else(built: dict[str, Bundle]) -> None:
    out = next(iter(built.values())).path.parent
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{MODEL}-{name}" for name in built)


def test_missed_gate_writes_nothing_of_that_bundle_and_keeps_the_others(
    tmp_path: Path, build
) -> None:
    # The shipped weights: made-up ones restore so badly that nothing can make them worse.
    black = tmp_path / "black"
    black.mkdir()
    Image.new("RGB", (TILE, TILE)).save(black / "black.png")
    out = tmp_path / "out"
    with pytest.raises(AccuracyError) as caught:
        build(
            out,
            ["x86-openvino"],
            ["int8", "fp32"],
            weights=None,
            calibration=str(black),
            keep_float=(),
        )
    assert [path.name for path in out.iterdir()] == [f"{MODEL}-fp32-x86-openvino"]
    assert read_bundle(out / f"{MODEL}-fp32-x86-openvino")
    message = str(caught.value)
    assert message.startswith(f"{MODEL}-int8-x86-openvino misses its accuracy gate")
    assert any(f"on '{name}'" in message for name in PICTURES)
    table, modules = caught.value.details.split("modules that hurt most")
    assert all(name in table for name in PICTURES)
    assert "blocks." in modules
    assert " dB" in modules


LACKING = "this CPU has no BF16: OpenVINO runs FP32 in its place"


@pytest.mark.parametrize("has_bf16", [False, True])
def test_bf16_that_the_cpu_lacks_is_not_called_verified(
    has_bf16: bool, tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(device: str, options: Mapping[str, object]) -> str | None:
        asked = options["INFERENCE_PRECISION_HINT"] == "bf16"
        return LACKING if asked and not has_bf16 else None

    backend = dataclasses.replace(find_backend("openvino"), lacks=lacks)
    monkeypatch.setattr(job_module, "find_backend", lambda name: backend)
    bf16, int8 = build(tmp_path / "out", ["x86-openvino"], ["bf16", "int8"])
    rest = {"INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32"}
    assert int8.manifest.target.options == rest
    assert int8.manifest.parity.status == "verified"
    assert LACKING not in int8.manifest.accuracy.protocol
    status = "verified" if has_bf16 else "not compiled, not executed"
    assert bf16.manifest.parity.status == status
    assert (LACKING in bf16.manifest.accuracy.protocol) is not has_bf16


def test_without_pairs_a_wrong_output_is_refused_all_the_same(
    tmp_path: Path, asked: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = asked(tmp_path / "out", ["x86-onnxruntime"], ["fp32"])
    job = dataclasses.replace(job, evaluation=[], evaluation_name="")
    monkeypatch.setattr(job_module.bundles, "probe_psnr_db", lambda *given: 14.2)
    with pytest.raises(AccuracyError, match=r"14\.2 dB from the FP32 network's, and without pairs"):
        build_bundles([job])
    assert list((tmp_path / "out").iterdir()) == []
    (kept,) = build_bundles([dataclasses.replace(job, refuses=False)])
    assert kept.manifest.accuracy is None


def test_pattern_that_keeps_nothing_is_refused(tmp_path: Path, build) -> None:
    with pytest.raises(InputError, match=r"'blcoks\.\*' matches no module; modules are .*mix"):
        build(tmp_path / "out", ["x86-onnxruntime"], ["fp32"], keep_float=["blcoks.*"])
    assert not (tmp_path / "out").exists()


BATCH = 3


@pytest.fixture(scope="session")
def batched(tmp_path_factory, build) -> dict[str, Bundle]:
    """Bundles that take several tiles at once, one for each way to write a file."""
    out = tmp_path_factory.mktemp("batched")
    targets = ["x86-onnxruntime", "x86-openvino", "jetson-tensorrt"]
    made = build(out, targets, ["fp32", "int8"], batch=BATCH)
    names = [bundle.path.name for bundle in made]
    assert names == [bundle.name for bundle in made]
    return {
        name.removeprefix(f"{MODEL}-").removesuffix(f"-b{BATCH}"): bundle
        for name, bundle in zip(names, made, strict=True)
    }


def test_tiles_at_once_lose_what_they_lose_one_by_one(
    built: dict[str, Bundle], batched: dict[str, Bundle]
) -> None:
    assert len(batched) == 6
    for name, bundle in batched.items():
        assert bundle.manifest.contract.batch == BATCH, name
        given, expected = bundle.probe()
        assert (len(given), len(expected)) == (BATCH, BATCH)
        assert len(np.unique(given, axis=0)) == BATCH
        manifest, one = bundle.manifest, built[name].manifest
        # But for what depends on no picture: the mask of the border.
        assert manifest.costs.macs == pytest.approx(BATCH * one.costs.macs, rel=1e-3)
        assert manifest.parity.status == one.parity.status
        for image, alone in zip(manifest.accuracy.images, one.accuracy.images, strict=True):
            assert image.psnr_y_db == pytest.approx(alone.psnr_y_db, abs=0.002), name


def test_pictures_are_restored_tiles_at_once(
    built: dict[str, Bundle], batched: dict[str, Bundle], pairs: Path, tmp_path: Path, edgerestore
) -> None:
    picture = pairs / "LR_bicubic" / "X2" / f"{PICTURES[0]}x2.png"
    restored = []
    for bundle in (built["int8-x86-openvino"], batched["int8-x86-openvino"]):
        out = tmp_path / f"{len(restored)}.png"
        done = edgerestore("restore", bundle.path, picture, out)
        assert done.returncode == 0, done.stderr
        restored.append(np.asarray(Image.open(out), int))
    assert np.abs(restored[0] - restored[1]).max() <= 1


@pytest.mark.parametrize("batch", [-1, 65])
def test_batch_out_of_bounds_is_refused(tmp_path: Path, asked: Callable[..., Job], batch) -> None:
    with pytest.raises(InputError, match=rf"--batch {batch}: must be from 1 to 64"):
        asked(tmp_path / "out", ["x86-openvino"], ["fp32"], batch=batch)


EXECUTED = [f"{p}-{t}" for t in ("x86-onnxruntime", "x86-openvino") for p in ("fp32", "int8")]


def test_check_holds_for_what_was_verified(built: dict[str, Bundle], edgerestore) -> None:
    done = edgerestore("check", *(built[name].path for name in EXECUTED), "--json")
    assert done.returncode == 0, done.stderr
    found = {
        entry["name"].removeprefix(f"{MODEL}-"): entry
        for entry in json.loads(done.stdout)["bundles"]
    }
    assert list(found) == EXECUTED
    for entry in found.values():
        assert entry["psnr_db"] >= entry["floor_db"]


@pytest.mark.parametrize("name", ["fp16-jetson-tensorrt", "fp16-rtx-tensorrt", "int8-intel-npu"])
def test_check_of_what_cannot_execute_here_says_why(
    built: dict[str, Bundle], name: str, edgerestore
) -> None:
    bundle = case(built, name)
    target = bundle.manifest.target
    if find_backend(target.backend).why_not(target.device) is None:
        pytest.skip("it executes here")
    done = edgerestore("check", bundle.path)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{target.backend} cannot run here: " in done.stderr
    assert done.stderr.count("\n") == 1


RESTORE_WITHOUT_HOST = """
import sys
from edgerestore.cli import main
code = main(sys.argv[1:])
loaded = {"torch", "onnx", "nncf", "safetensors"} & set(sys.modules)
sys.exit(f"imported {loaded}" if loaded else code)
"""


@pytest.mark.parametrize("name", EXECUTED)
def test_restore_needs_no_framework(
    built: dict[str, Bundle], name: str, pairs: Path, tmp_path: Path
) -> None:
    source = pairs / "LR_bicubic" / "X2" / f"{PICTURES[0]}x2.png"
    out = tmp_path / "out.png"
    done = subprocess.run(
        [sys.executable, "-c", RESTORE_WITHOUT_HOST, "restore", built[name].path, source, out],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(out) as image:
        assert image.size == (2 * SIDE, 2 * SIDE)


def test_evaluate_finds_what_the_build_found(
    built: dict[str, Bundle], pairs: Path, edgerestore
) -> None:
    bundles = [built[name] for name in EXECUTED]
    done = edgerestore("evaluate", *(b.path for b in bundles), "--data", pairs, "--json")
    assert done.returncode == 0, done.stderr
    for bundle, entry in zip(bundles, json.loads(done.stdout)["bundles"], strict=True):
        known = {image.name: image.psnr_y_db for image in bundle.manifest.accuracy.images}
        for image in entry["images"]:
            assert image["psnr_y_db"] == pytest.approx(known[image["name"]], abs=0.02)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_two_runtimes_agree_on_one_precision(built: dict[str, Bundle], precision: str) -> None:
    """The trap of FINDINGS 12: one INT8 graph, 13.6 dB in one runtime and 46.4 in the other."""
    results = []
    for target in ("x86-onnxruntime", "x86-openvino"):
        bundle = built[f"{precision}-{target}"]
        session = open_session(bundle, 1)
        results.append(session.run(bundle.probe()[0]))
        session.close()
    assert probe_psnr_db(*results) > 35
