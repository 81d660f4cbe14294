"""The public API: complete, lazy, typed, and enough for a newcomer's ten lines."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgerestore

PACKAGE = Path(edgerestore.__file__).parent

USER_FILE = """
import numpy as np

import edgerestore


def main(folder: str) -> int:
    with edgerestore.load(folder) as restorer:
        restored = restorer.restore(np.zeros((8, 8, 3), np.uint8))
        print(restored.shape, restorer.scale, restorer.precision, restorer.manifest.model.name)
    for score in edgerestore.evaluate([folder], data="pairs"):
        print(score.psnr_y_db.mean)
    for cost in edgerestore.bench(folder, samples=64).bundles:
        print(cost.latency_ms)
    try:
        edgerestore.check(folder)
    except edgerestore.EdgeRestoreError as error:
        return error.exit_code
    return edgerestore.gate(folder, folder).exit_code
"""

TEN_LINES = """
import sys
import numpy as np
import torch
import edgerestore

network = torch.nn.Conv2d(3, 3, 3, padding=1)
torch.nn.init.dirac_(network.weight)
pictures = [np.random.default_rng(n).integers(0, 256, (96, 96, 3), np.uint8) for n in range(4)]
bundles = edgerestore.build(network, name="mine", target="x86-openvino", precision="fp32",
                            value_range=(0, 1), calibration=pictures,
                            data=[(picture, picture) for picture in pictures], out=sys.argv[1])
with edgerestore.load(bundles[0].path) as restorer:
    print(restorer.restore(pictures[0]).shape, bundles[0].name)
"""


def run(code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, check=False, env=environment,
    )  # fmt: skip


def test_all_is_sorted_and_every_name_is_there() -> None:
    pytest.importorskip("torch", reason="build and decide are of the host ring")
    assert edgerestore.__all__ == sorted(edgerestore.__all__)
    for name in edgerestore.__all__:
        assert getattr(edgerestore, name).__doc__, name
    placed = [name for names in edgerestore._PLACES.values() for name in names]
    assert sorted(placed) == edgerestore.__all__


def test_every_error_is_public() -> None:
    errors = importlib.import_module("edgerestore.errors")
    raised = {
        name for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.EdgeRestoreError)
    }  # fmt: skip
    assert raised <= set(edgerestore.__all__)


def test_what_type_checkers_see_is_what_there_is() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    placed = {(module, name) for module, names in edgerestore._PLACES.items() for name in names}
    assert seen == placed


def test_no_folder_or_file_of_the_package_takes_a_public_name() -> None:
    taken = {path.stem for path in PACKAGE.iterdir()}
    assert not taken & set(edgerestore.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        edgerestore.bild  # noqa: B018


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    done = run("import edgerestore, sys; print(*sorted(sys.modules))", cwd=tmp_path)
    loaded = done.stdout.split()
    assert [name for name in loaded if name.startswith("edgerestore")] == ["edgerestore"]
    assert not {"numpy", "torch", "msgspec", "PIL", "typer", "rich"} & set(loaded)


def test_strict_type_checker_passes_a_users_file(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    assert (PACKAGE / "py.typed").is_file()
    (tmp_path / "user.py").write_text(USER_FILE)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.needs_backend("openvino")
def test_newcomer_builds_a_module_and_restores_an_array(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="a module needs torch")
    done = run(TEN_LINES, tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(96, 96, 3) mine-fp32-x86-openvino"


def test_command_line_tells_its_version_and_helps_by_both_names(tmp_path: Path) -> None:
    code = "from edgerestore.cli import main; sys.exit(main(sys.argv[1:]))"

    def said(*arguments: str) -> str:
        return run(f"import sys; {code}", *arguments, cwd=tmp_path).stdout

    assert said("--version") == f"edgerestore {edgerestore.__version__}\n"
    assert said("check", "-h") == said("check", "--help") != ""
