"""What may be imported where: a device has no torch, and ``--help`` needs next to nothing."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import edgerestore as package
from edgerestore.cli import VERBS, app
from edgerestore.cli import train as train_verbs

HOST_PACKAGES = ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino", "safetensors", "torch")
HOST_RING = (
    "edgerestore.pipeline",
    "edgerestore.pruning",
    "edgerestore.compress",
    "edgerestore.decision",
    "edgerestore.demo",
    "edgerestore.export",
    "edgerestore.networks.checkpoints",
    "edgerestore.networks.drsformer",
    "edgerestore.networks.drt",
    "edgerestore.networks.esrt",
    "edgerestore.networks.ipt",
    "edgerestore.networks.layers",
    "edgerestore.networks.pruned",
    "edgerestore.networks.recursion",
    "edgerestore.networks.sizing",
    "edgerestore.networks.user",
    "edgerestore.networks.weights",
    "edgerestore.networks.widths",
    "edgerestore.train",
)
BEFORE_A_VERB = (*HOST_PACKAGES, "msgspec", "numpy", "PIL", "rich.progress", "skimage")
"""None of these may be imported before a verb runs."""

ROOT = Path(package.__file__).parents[1]

BLOCKED = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def python(
    code: str, *arguments: str, blocked: Iterable[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process in which some packages are as good as not installed."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(blocked=set(blocked)) + code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(Path(package.__file__).parent)], "edgerestore.")
    return ["edgerestore", *(module.name for module in found)]


def is_host(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in HOST_RING)


def verbs() -> list[str]:
    return sorted(
        str(command.name or command.callback.__name__) for command in app.registered_commands
    )


def test_every_module_of_the_device_ring_imports_without_the_host_packages() -> None:
    names = [name for name in modules() if not is_host(name) and name != "edgerestore.__main__"]
    assert len(names) > 30
    code = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = python(code, *names, blocked=(*HOST_PACKAGES, "skimage", "psutil", "cuda"))
    assert done.returncode == 0, done.stderr


def test_host_ring_is_named_in_full() -> None:
    for name in HOST_RING:
        assert name in modules()


def test_import_of_the_package_imports_nothing_else() -> None:
    done = python("import edgerestore; print(sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    assert not [name for name in BEFORE_A_VERB if repr(name) in done.stdout]


HELP = """
from edgerestore.cli import main
code = main(sys.argv[2:])
loaded = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
print("LOADED", loaded)
sys.exit(code)
"""


def test_help_of_every_verb_imports_no_framework() -> None:
    """In one process, which is stricter: what one verb imports shows in the next as well."""
    code = HELP.replace(
        "code = main(sys.argv[2:])",
        "code = sum(main([*verb.split(), '--help']) for verb in sys.argv[2:])",
    )
    done = python(code, ",".join(BEFORE_A_VERB), "", *verbs())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == 1 + len(verbs())
    assert done.stdout.endswith("LOADED []\n")


def test_every_verb_is_reached() -> None:
    assert set(verbs()) >= {"build", "check", "compile", "restore", "evaluate", "bench", "report"}
    assert train_verbs in VERBS


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgerestore", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "From a PyTorch image-restoration network" in done.stdout


@pytest.mark.parametrize("line", ["models --json", "targets --json", "doctor --json"])
def test_catalogue_works_on_a_bare_device(line: str) -> None:
    code = "from edgerestore.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, *line.split(), blocked=(*HOST_PACKAGES, "skimage", "psutil", "cuda"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "build esrt_s_x2 --out out",
        "decide esrt_s_x2 --target x86-openvino",
        "demo --out out",
        "train esrt_s_x2 --data data",
        "import-weights esrt_x2 in.pth --out out.safetensors",
    ],
)
def test_verb_of_the_host_names_the_extra_it_needs(line: str) -> None:
    code = "from edgerestore.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, *line.split(), blocked=HOST_PACKAGES)
    assert (done.returncode, done.stdout) == (3, "")
    assert "pip install 'edgerestore[host]'" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
