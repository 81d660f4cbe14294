from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgerestore.networks import MODELS

COMMAND = Path(__file__).parents[3] / "benchmarks" / "support.py"
SMALL = "ipt_s_derain"


@pytest.fixture(scope="module")
def support() -> ModuleType:
    spec = importlib.util.spec_from_file_location("support", COMMAND)
    module = importlib.util.module_from_spec(spec)
    sys.modules["support"] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(COMMAND.parent)
        spec.loader.exec_module(module)
    return module


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("support") / "support.json"
    target = ("--targets", "x86-onnxruntime", "--precisions", "fp32,int8")
    done = run("--models", SMALL, *target, "--json", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.needs_backend("onnxruntime")
def test_one_network_is_executed_and_held_against_the_reference(measured: Path) -> None:
    (network,) = json.loads(measured.read_text())
    row, int8 = network["rows"]
    assert (network["name"], network["weights"]) == (SMALL, "shipped")
    assert (row["target"], row["precision"]) == ("x86-onnxruntime", "fp32")
    assert row["status"] == "executed and verified"
    assert row["relative_db"] > 100
    assert row["file_bytes"] > 4 * MODELS[SMALL].params
    assert 0.9 < row["weight_ratio"] < 1.6
    assert row["nodes"] == network["nodes"] > 100
    assert 0 < network["export_seconds"] < 30
    assert 0.1 < network["export_peak_gib"] <= row["peak_gib"] < 6
    # 29.8 dB with the embedding in INT8, whose weights are small beside an identity.
    assert int8["relative_db"] > 33
    assert int8["file_bytes"] < 0.6 * row["file_bytes"]


@pytest.mark.needs_backend("tensorrt-rtx", builds=True)
def test_network_with_tables_by_token_is_built_by_nvidias_builder(tmp_path: Path) -> None:
    """Its builder refuses a table as the bias of a product that is split afterwards."""
    path = tmp_path / "support.json"
    target = ("--targets", "rtx-tensorrt", "--precisions", "fp32,fp16")
    done = run("--models", SMALL, *target, "--json", path)
    assert done.returncode == 0, done.stderr
    (network,) = json.loads(path.read_text())
    assert all(row["status"] != "refused" for row in network["rows"]), network


@pytest.mark.needs_backend("onnxruntime")
def test_what_is_measured_is_kept_while_conditions_hold(
    measured: Path, support: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--models", SMALL, "--targets", "x86-onnxruntime", "--precisions", "fp32,int8"]
    before = measured.read_bytes()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert support.main([*arguments, "--json", str(measured)]) == 0
    assert measured.read_bytes() == before


def test_row_that_brings_its_process_down_is_refused_and_the_rest_goes_on(
    tmp_path: Path, support: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    path = tmp_path / "new" / "support.json"
    support.main(["--models", SMALL, "--targets", "x86-onnxruntime", "--json", str(path)])
    (network,) = json.loads(path.read_text())
    assert [row["precision"] for row in network["rows"]] == ["fp32", "fp16", "int8"]
    assert all(row["status"] == "refused" for row in network["rows"])
    assert network["rows"][0]["reason"] == "its process ended with 1"


def test_table_says_what_ran_what_compiled_and_what_was_refused(support: ModuleType) -> None:
    def row(target: str, precision: str, status: str, decibel: float | None = None, **more):
        return support.Row(
            target=target, precision=precision, status=status, relative_db=decibel, **more
        )

    network = support.Network(
        name="drt",
        conditions={},
        export_seconds=12.3,
        export_peak_gib=1.26,
        rows=[
            row("x86-openvino", "int8", support.VERIFIED, 45.2),
            row("x86-openvino", "fp32", support.VERIFIED, 138.4),
            row("x86-onnxruntime", "fp32", support.WRONG, 13.6),
            row("x86-onnxruntime", "int8", support.REFUSED, reason="no scalar zero point"),
            row("rtx-tensorrt", "fp32", support.COMPILED, 120.0, emulated=True),
        ],
    )
    heading, _, line = support.table({"drt": network}).splitlines()
    assert heading == "| network | export | OpenVINO | ONNX Runtime | TensorRT for RTX |"
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "`drt`",
        "12 s, 1.3 GiB",
        "fp32 138 dB, int8 45",
        "fp32 14 dB (wrong), int8 refused: no scalar zero point",
        "compiled: fp32 (120 dB)",
    ]


def test_wrong_outputs_and_costly_exports_are_problems(support: ModuleType) -> None:
    network = support.Network(name="drt", conditions={}, export_seconds=31, export_peak_gib=6.1)
    assert support.problems(network) == ["export took 31 s", "export took 6.1 GiB"]
    wrong = support.Row(target="t", precision="int8", status=support.WRONG, reason="13.6 dB")
    network = support.Network(name="drt", conditions={}, rows=[wrong])
    assert support.problems(network) == ["t int8: 13.6 dB"]


def test_committed_result_holds_every_network(support: ModuleType) -> None:
    results = support.read_results(support.RESULTS)
    measured = {name for name, spec in MODELS.items() if not spec.tasks} - set(support.LEFT_OUT)
    assert set(results) >= measured
    cases = support._cases(list(support.TARGETS), list(support.PRECISIONS))
    for name in measured:
        assert all(results[name].row(*case) for case in cases), name
        assert not support.problems(results[name])


@pytest.mark.slow
@pytest.mark.needs_backend("openvino")
@pytest.mark.parametrize("name", ["ipt_derain", "drsformer"])
def test_heavy_network_runs_in_int8(name: str, tmp_path: Path) -> None:
    """What every test run cannot afford: minutes, and the most memory of all."""
    path = tmp_path / "support.json"
    done = run(
        "--models", name, "--targets", "x86-openvino", "--precisions", "int8", "--json", path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (network,) = json.loads(path.read_text())
    assert network["rows"][0]["status"] == "executed and verified"
    assert network["export_seconds"] < 30
    assert network["export_peak_gib"] < 6
