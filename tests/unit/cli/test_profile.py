from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.cli import main

pytestmark = pytest.mark.needs_backend("onnxruntime")


def test_the_table_fits_80_columns(
    doubling_bundle: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["profile", str(doubling_bundle()), "--runs=2", "--top=1"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "double-fp32-cpu" in printed
    assert "1 further" in printed


def test_json_holds_every_operator_whatever_the_table_shows(
    doubling_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(doubling_bundle())
    assert main(["profile", path, path, "--runs=2", "--top=1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["environment"]["cores"] >= 1
    first, second = printed["bundles"]
    assert first["bundle"] == second["bundle"] == path
    assert first["runtime"].startswith("onnxruntime ")
    assert [o["type"] for o in first["operators"]] == ["Resize", "Add"]
    assert sum(g["share"] for g in first["groups"]) == pytest.approx(1)
    assert first["total_us"] > 0


def test_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(tmp_path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1
