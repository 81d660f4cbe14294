"""What decide refuses, before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerestore.backends import find_backend
from edgerestore.cli import main

pytest.importorskip("torch", reason="decide builds")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("esrt_s_x3 --target x86-openvino", "unknown model 'esrt_s_x3'"),
        ("esrt_s_x2 --target x86-openvin", "unknown target 'x86-openvin'"),
        ("esrt_s_x2", "Missing option '--target'"),
        ("esrt_s_x2 --target x86-openvino --weights gone", "gone: no such weights file"),
        ("esrt_s_x2 --target x86-openvino --data gone", "gone: no such folder"),
        ("esrt_s_x2 --target x86-openvino --max-drop-db -1", "Invalid value for '--max-drop-db'"),
    ],
)
def test_bad_input_is_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", *line.split()]) == 3
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_a_target_that_cannot_execute_here_is_refused_before_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_backend("tensorrt").why_not() is None:
        pytest.skip("TensorRT executes here")
    out = tmp_path / "out"
    code = main(["decide", "esrt_s_x2", "--target=jetson-tensorrt", f"--out={out}"])
    assert code == 3
    assert "tensorrt cannot run here" in capsys.readouterr().err
    assert not out.exists()
