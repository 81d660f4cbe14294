"""Builds the wheel and uses it alone: an empty environment, no extras, no checkout.

Every verb's help works, the shipped data is inside, and importing every device-ring module
pulls in no framework. Run by ``make wheel-test``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent

PROBE = """
import importlib, pkgutil, sys
import edgerestore
HOST = ("pipeline", "compress", "decision", "demo", "export", "pruning", "train",
        "networks.checkpoints", "networks.drsformer", "networks.drt", "networks.esrt",
        "networks.ipt", "networks.layers", "networks.pruned", "networks.recursion",
        "networks.sizing", "networks.user", "networks.weights", "networks.widths")
def is_host(name):
    inner = name.removeprefix("edgerestore.")
    return any(inner == host or inner.startswith(host + ".") for host in HOST)
names = [m.name for m in pkgutil.walk_packages(edgerestore.__path__, "edgerestore.",
                                              onerror=lambda name: None)]
device = [name for name in names if not is_host(name) and not name.endswith("__main__")]
for name in device:
    importlib.import_module(name)
pulled = {"torch", "onnx", "openvino", "onnxruntime", "nncf"} & set(sys.modules)
assert not pulled, f"device ring pulled in {pulled}"
from edgerestore.networks import find_model
from edgerestore.shipped import shipped_folder
for kind in ("targets", "recipes", "calibration"):
    assert any(shipped_folder(kind).iterdir()), kind
assert find_model("esrt_s_x2").weights is not None, "no weights in the wheel"
print(f"{len(device)} device-ring modules imported without a framework")
"""


def main() -> int:
    """Returns 0 when the wheel alone does all it should."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", str(place), str(ROOT))
        (wheel,) = place.glob("*.whl")
        venv.create(place / "env", with_pip=True)
        python = str(place / "env" / "bin" / "python")
        run(python, "-m", "pip", "install", "--quiet", str(wheel))
        print(run(python, "-c", PROBE, cwd=place).strip())
        command = str(place / "env" / "bin" / "edgerestore")
        verbs = verbs_of(run(command, "--help", cwd=place))
        for verb in verbs:
            run(command, verb, "--help", cwd=place)
        for verb in ("models", "targets", "doctor"):
            run(command, verb, "--json", cwd=place)
        print(f"{wheel.name}: help of {len(verbs)} verbs, in an empty environment")
    return 0


def verbs_of(help_text: str) -> list[str]:
    """The verbs that the help lists, one at the start of each of its rows."""
    commands = help_text[help_text.index("Commands") :]
    rows = [line for line in commands.splitlines() if re.match(r"│ \S", line)]
    verbs = [row.split()[1] for row in rows]
    assert len(verbs) >= 12, verbs
    return verbs


def run(*command: str, cwd: Path | None = None) -> str:
    """Runs a command; its failure is ours, with all that it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
