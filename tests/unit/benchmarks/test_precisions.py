"""The committed losses of every precision, and the table that is made of them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

pytest.importorskip("torch")


@pytest.fixture
def precisions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("precisions")


def test_the_results_hold_every_network_that_ships_weights(precisions: ModuleType) -> None:
    held = msgspec.json.decode(precisions.RESULTS.read_bytes(), type=dict[str, precisions.Measured])
    assert set(precisions.shipped()) <= set(held)
    for measured in held.values():
        assert {row.precision for row in measured.rows} >= {"fp32", "fp16", "int8"}
        assert all(row.accuracy.images for row in measured.rows)


def test_a_table_makes_what_misses_its_aim_bold(precisions: ModuleType) -> None:
    held = msgspec.json.decode(precisions.RESULTS.read_bytes(), type=dict[str, precisions.Measured])
    rows = held["esrt_s_x2"].rows
    bad = msgspec.structs.replace(rows[0].accuracy, mean_drop_db=0.5, worst_drop_db=1.0)
    rows = [
        msgspec.structs.replace(row, accuracy=bad) if row.precision == "int8" else row
        for row in rows
    ]
    assert [row.reached for row in rows] == [row.precision != "int8" for row in rows]
    heads, _, line = precisions.table(rows).splitlines()
    assert heads.count("|") == line.count("|")
    assert line.count("**0.500/1.000**") == sum(row.precision == "int8" for row in rows) == 3


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    line = [BENCHMARKS / "precisions.py", "esrt_x3", "--weights", "gone", "--out", "new.json"]
    done = subprocess.run(
        [sys.executable, *line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "precisions.py: gone: no such weights file\n"
    assert not list(tmp_path.iterdir())
