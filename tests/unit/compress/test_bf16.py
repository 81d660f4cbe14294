"""Which operators really run in FP32 where the rest runs in BF16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgerestore.bundle import probe_psnr_db
from edgerestore.compress.bf16 import keep_in_fp32
from edgerestore.compress.quantization.products import matches
from edgerestore.export.openvino import openvino_from_onnx
from edgerestore.networks import MODELS
from edgerestore.pipeline.source import onnx_run

pytestmark = pytest.mark.needs_backend("openvino")

KEPT = MODELS["esrt_s_x2"].keep_float


@pytest.fixture(scope="module")
def compiled(graph16: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory):
    """Compiled for BF16: as saved, and with the first and last convolutions marked."""
    import openvino

    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    folder = tmp_path_factory.mktemp("bf16")
    made = {}
    for name, patterns in (("all", ()), ("kept", KEPT)):
        file = folder / f"{name}.xml"
        openvino.save_model(openvino_from_onnx(graph16, folder), file)
        found = keep_in_fp32(file, patterns)
        assert bool(found) == bool(patterns)
        made[name] = core.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    return made


def convolutions(model: object) -> dict[str, str]:
    """What each convolution runs in, by its name."""
    found = {}
    for operator in model.get_runtime_model().get_ordered_ops():
        notes = {key: str(value.astype(str)) for key, value in operator.get_rt_info().items()}
        if notes["layerType"] == "Convolution":
            found[operator.get_friendly_name().partition("/")[0]] = notes["runtimePrecision"]
    return found


def test_marked_convolutions_run_in_fp32_and_no_others(compiled) -> None:
    before, after = convolutions(compiled["all"]), convolutions(compiled["kept"])
    assert set(before.values()) == {"bf16"}
    in_fp32 = {name.partition("#")[0] for name, kind in after.items() if kind != "bf16"}
    assert in_fp32 == {name.partition("#")[0] for name in after if matches(name, KEPT)}
    assert "head" in in_fp32


def test_output_comes_nearer_to_fp32(compiled, graph16: onnx.ModelProto, crops16) -> None:
    exact = onnx_run(graph16)
    gain = [
        probe_psnr_db(np.array(compiled["kept"]([crop[None]])[0]), exact(crop[None]))
        - probe_psnr_db(np.array(compiled["all"]([crop[None]])[0]), exact(crop[None]))
        for crop in crops16
    ]
    assert np.mean(gain) > 0.5


def test_every_module_that_was_found_is_named(graph16: onnx.ModelProto, tmp_path: Path) -> None:
    import openvino

    openvino.save_model(openvino_from_onnx(graph16, tmp_path), tmp_path / "m.xml")
    assert keep_in_fp32(tmp_path / "m.xml", ["blocks.0.low.*"])[:2] == [
        "blocks.0.low.attention.excite",
        "blocks.0.low.attention.squeeze",
    ]
    openvino.Core().read_model(tmp_path / "m.xml")
