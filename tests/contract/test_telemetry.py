"""Nothing that this package does is reported to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgerestore as package

ROOT = Path(package.__file__).parents[1]
SWITCHES = ("ORT_DISABLE_TELEMETRY", "NNCF_CI")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**bare, **environment},
        check=False,
    )


def test_import_switches_reports_off_and_leaves_a_users_own_choice() -> None:
    show = f"import os, edgerestore; print([os.environ[name] for name in {SWITCHES}])"
    assert python(show).stdout == "['1', '1']\n"
    assert python(show, ORT_DISABLE_TELEMETRY="0").stdout == "['0', '1']\n"


def test_nncf_has_nobody_to_report_to() -> None:
    pytest.importorskip("nncf")
    code = (
        "import edgerestore, nncf.telemetry.wrapper as wrapper; "
        "print(isinstance(wrapper.telemetry, wrapper.NNCFTelemetry))"
    )
    assert python(code).stdout == "False\n"


def test_no_module_calls_the_converter_that_reports() -> None:
    for path in Path(package.__file__).parent.rglob("*.py"):
        assert "openvino.convert_model(" not in path.read_text(), path
