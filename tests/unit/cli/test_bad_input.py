"""Bad input through the real command line: one line, the right exit code, nothing left."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import edgerestore as package
from edgerestore import cli
from edgerestore.errors import EdgeRestoreError

needs_host = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch, of the host ring, is not installed"
)


def refused(done: subprocess.CompletedProcess[str], message: str, code: int = 3) -> None:
    assert message in done.stderr, done.stderr
    assert done.stderr.startswith("edgerestore: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


LIGHT: dict[str, tuple[str, str]] = {
    "unknown verb": ("biuld", "No such command 'biuld'"),
    "unknown option": ("models --jsn", "No such option: --jsn"),
    "no bundle": ("check", "Missing argument 'bundle'"),
    "absent bundle": ("check absent", "absent: not a bundle (no bundle.json)"),
    "bundle is a file": ("check file.toml", "file.toml: not a bundle"),
    "bundle is a folder": ("check .", ".: not a bundle"),
    "endless name": (f"check {'a' * 5000}", "File name too long"),
    "nothing to compile": ("compile absent", "absent: not a bundle"),
    "nothing to evaluate": ("evaluate absent --data .", "absent: not a bundle"),
    "nothing to restore": ("restore absent in.png out.png", "absent: not a bundle"),
}


@pytest.mark.parametrize("case", LIGHT)
def test_verbs_of_the_device_refuse(case: str, tmp_path: Path, edgerestore) -> None:
    (tmp_path / "file.toml").write_text("")
    line, message = LIGHT[case]
    refused(edgerestore(*line.split(), cwd=tmp_path), message)
    assert names(tmp_path) == ["file.toml"]


FILES = {
    "key.toml": 'model = "esrt_s_x2"\n[build]\ntargts = ["x86-openvino"]\nprecisions = ["fp32"]\n',
    "table.toml": 'model = "esrt_s_x2"\n[biuld]\ntargets = []\nprecisions = []\n',
    "type.toml": 'model = "esrt_s_x2"\n[build]\ntargets = "x86-openvino"\nprecisions = ["fp32"]\n',
    "tile.toml": 'model = "esrt_s_x2"\n[build]\ntargets = []\nprecisions = []\ntile = 0\n',
    "precision.toml": 'model = "esrt_s_x2"\n[build]\ntargets = []\nprecisions = ["int9"]\n',
    "model.toml": 'model = "esrt_s_x3"\n',
    "target.toml": 'model = "esrt_s_x2"\n[build]\ntargets = ["x68-openvino"]\nprecisions = []\n',
    "weights.toml": 'model = "esrt_s_x2"\nweights = "gone.safetensors"\n',
    "broken.toml": "model = \n",
    "latin1.toml": 'model = "h\xf6lle"\n',
    "empty.toml": "",
    "device.toml": 'name = "device"\nbackend = "openvin"\n',
    "set.toml": 'name = "set"\nfoldr = "."\n',
    "text.safetensors": "<html>404</html>\n" * 9,
    "authors.pth": "PK\x03\x04 as torch.save writes\n" * 9,
}

BUILD: dict[str, tuple[str, str]] = {
    "unknown model": ("esrt_s_x3", "unknown model 'esrt_s_x3'; did you mean 'esrt_s_x4'?"),
    "model far from all": ("zzz", "unknown model 'zzz'; known: drsformer, drsformer_light"),
    "several tasks": (
        "ipt_s",
        "'ipt_s' holds several tasks, and a bundle is of one; build ipt_s_x2",
    ),
    "unknown target": (
        "esrt_s_x2 --target x86-openvin",
        "unknown target 'x86-openvin'; did you mean 'x86-openvino'?",
    ),
    "absent target file": ("esrt_s_x2 --target gone.toml", "gone.toml: no such file"),
    "damaged target file": ("esrt_s_x2 --target device.toml", "device.toml: "),
    "unknown precision": (
        "esrt_s_x2 --precision fp32,int9",
        "unknown precision 'int9'; did you mean 'int8'?",
    ),
    "precision that a target lacks": (
        "esrt_s_x2 --target x86-onnxruntime --precision bf16",
        "target 'x86-onnxruntime' has no bf16; it has fp32, fp16, int8",
    ),
    "unknown calibration set": (
        "esrt_s_x2 --calibration photo",
        "unknown calibration set 'photo'; did you mean 'photos'?",
    ),
    "unknown key in a set": (
        "esrt_s_x2 --calibration set.toml",
        "set.toml: unknown key 'foldr'; did you mean 'folder'?",
    ),
    "absent data": ("esrt_s_x2 --data gone", "gone: no such folder"),
    "data without pairs": ("esrt_s_x2 --data .", ".: holds no pairs; expected"),
    "absent weights": ("esrt_s_x2 --weights gone", "gone: no such weights file"),
    "no weights": ("esrt_x2", "no weights are shipped for 'esrt_x2'; give --weights"),
    "absent recipe": ("gone.toml", "gone.toml: cannot be read: No such file"),
    "unknown key": (
        "key.toml",
        "key.toml: unknown key 'targts' in [build]; did you mean 'targets'?",
    ),
    "unknown table": ("table.toml", "table.toml: unknown key 'biuld'; did you mean 'build'?"),
    "wrong type": ("type.toml", "type.toml: Expected `array`, got `str`"),
    "number out of range": ("tile.toml", "tile.toml: Expected `int` >= 1"),
    "precision in a recipe": ("precision.toml", "precision.toml: Invalid enum value 'int9'"),
    "model in a recipe": ("model.toml", "unknown model 'esrt_s_x3'"),
    "target in a recipe": ("target.toml", "unknown target 'x68-openvino'"),
    "weights of a recipe": ("weights.toml", "gone.safetensors: no such weights file"),
    "not TOML": ("broken.toml", "broken.toml: not valid TOML"),
    "not UTF-8": ("latin1.toml", "latin1.toml: not valid TOML"),
    "empty recipe": ("empty.toml", "empty.toml: "),
    "tile too small": ("esrt_s_x2 --tile 4", "Invalid value for '--tile'"),
    "tile larger than the pictures": ("esrt_s_x2 --tile 4096", "smaller than the tile of 4096"),
    "overlap too large": ("esrt_s_x2 --tile 24 --overlap 24", "--overlap 24: must be from 0 to 23"),
    "output is a file": ("esrt_s_x2 --out key.toml", "key.toml: cannot be written"),
    "output below a file": ("esrt_s_x2 --out key.toml/a/b", "key.toml is no folder"),
    "weights are text": ("esrt_s_x2 --weights text.safetensors", "not a safetensors file"),
    "weights as authors share them": (
        "esrt_s_x2 --weights authors.pth",
        "; 'edgerestore import-weights' converts it",
    ),
    "weights of another model": ("esrt_x2 --weights {weights}", "holds weights of 'esrt_s_x2'"),
    "weights not finite": ("esrt_s_x2 --weights {nan}", "'head.weight' holds NaN or infinity"),
}


@pytest.fixture(scope="session")
def not_finite(weights: Path, tmp_path_factory) -> Path:
    """The weights with one NaN in them, under a header that is in order."""
    import torch

    from edgerestore.networks import find_model
    from edgerestore.networks.weights import load_weights, save_weights

    spec = find_model("esrt_s_x2")
    state = load_weights(weights, spec).tensors
    state["head.weight"][0, 0, 0, 0] = torch.nan
    path: Path = tmp_path_factory.mktemp("nan") / "nan.safetensors"
    save_weights(path, spec, state, {})
    return path


@needs_host
@pytest.mark.parametrize("case", BUILD)
def test_build_refuses_before_it_works(
    case: str, tmp_path: Path, edgerestore, weights: Path, not_finite: Path
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    line, message = BUILD[case]
    arguments = line.format(weights=weights, nan=not_finite).split()
    if arguments[0] == "esrt_s_x2" and "--weights" not in arguments:
        arguments += ["--weights", weights]
    if "--out" not in arguments:
        arguments += ["--out", "out"]
    refused(edgerestore("build", *arguments, cwd=tmp_path), message)
    assert names(tmp_path) == sorted(FILES)


@needs_host
@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_build_into_a_read_only_folder_is_refused(
    tmp_path: Path, edgerestore, weights: Path
) -> None:
    tmp_path.chmod(0o500)
    done = edgerestore("build", "esrt_s_x2", "--weights", weights, "--out", tmp_path / "out")
    tmp_path.chmod(0o700)
    refused(done, "no permission in")


def test_debug_shows_the_traceback_and_keeps_line_and_exit_code(
    tmp_path: Path, edgerestore
) -> None:
    for arguments in (["--debug", "check", "absent"], ["check", "absent", "--debug"]):
        done = edgerestore(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("Traceback")
        last = done.stderr.splitlines()[-1]
        assert last == "edgerestore: absent: not a bundle (no bundle.json)"


class Disk(NamedTuple):
    folder: Path
    limit: Callable[[], None] | None
    """What a process must call first where the folder itself has no end."""
    message: str


@pytest.fixture(params=[64, 1100], ids=["64 KiB", "1100 KiB"])
def full_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A disk of so many KiB; where mounting is not allowed, files may not grow further."""
    kib = request.param
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "edgerestore-test", folder]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if mounted:
        yield Disk(folder, None, "No space left on device")
        subprocess.run(["umount", folder], check=True)
        return

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, kib << 10))

    yield Disk(folder, limit, "File too large")


@needs_host
@pytest.mark.needs_backend("openvino")
def test_build_on_a_full_disk_leaves_nothing(
    full_disk: Disk, edgerestore, weights: Path, pairs: Path, photographs: Path
) -> None:
    done = edgerestore(
        *build_line(weights, pairs, photographs, full_disk.folder / "out"),
        preexec_fn=full_disk.limit,
    )
    refused(done, "esrt_s_x2-int8-x86-openvino")
    assert names(full_disk.folder) in ([], ["out"])
    assert not any(full_disk.folder.rglob("*.*"))


@pytest.mark.needs_backend("onnxruntime")
@pytest.mark.parametrize("full_disk", [64], indirect=True)
def test_restore_on_a_full_disk_leaves_the_older_picture(
    full_disk: Disk, tmp_path: Path, edgerestore, doubling_bundle
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    out = full_disk.folder / "out.png"
    out.write_bytes(b"older")
    done = edgerestore(
        "restore", doubling_bundle(), tmp_path / "in.png", out, preexec_fn=full_disk.limit
    )
    refused(done, f"out.png: cannot be written: {full_disk.message}")
    assert names(full_disk.folder) == ["out.png"]
    assert out.read_bytes() == b"older"


def build_line(weights: Path, pairs: Path, photographs: Path, out: Path) -> list[str]:
    line = (
        f"build esrt_s_x2 --weights {weights} --data {pairs} --calibration {photographs} "
        f"--tile 24 --overlap 4 --target x86-openvino --precision int8 --out {out}"
    )
    return line.split()


def has_loaded(library: str) -> Callable[[int, Path], bool]:
    return lambda pid, out: library in Path(f"/proc/{pid}/maps").read_text()


def is_writing(pid: int, out: Path) -> bool:
    return any(out.glob(".*.part"))


def has_written(suffix: str) -> Callable[[int, Path], bool]:
    return lambda pid, out: any(out.glob(f".*.part/*{suffix}"))


MOMENTS: dict[str, tuple[Callable[[int, Path], bool], float]] = {
    "loading torch": (has_loaded("libtorch_cpu"), 0.0),
    "working in torch": (has_loaded("libtorch_cpu"), 4.0),
    "executing the graph": (has_loaded("onnxruntime_pybind"), 0.5),
    "quantizing": (is_writing, 0.0),
    "quantizing, later": (is_writing, 3.0),
    "verifying": (has_written(".xml"), 0.0),
}


def interrupted(moment: str, line: list[str], out: Path) -> subprocess.CompletedProcess[str]:
    reached, delay_s = MOMENTS[moment]
    root = str(Path(package.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-m", "edgerestore", *line],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs, and so perhaps these tests, deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 240
        while not reached(process.pid, out):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@needs_host
@pytest.mark.needs_backend("openvino")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to know the moment")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_no_folder_and_one_line(
    moment: str, tmp_path: Path, weights: Path, pairs: Path, photographs: Path
) -> None:
    out = tmp_path / "out"
    line = build_line(weights, pairs, photographs, out)
    done = interrupted(moment, line, out)
    refused(done, "interrupted; nothing half-written was left", 130)
    assert not out.exists() or names(out) == []


HOSTILE_NAMES = ["../model.onnx", "/etc/passwd", "..", "a/b.onnx", "..\\model.onnx", "a\0b", "."]


@pytest.mark.parametrize("where", ["SHA256SUMS", "bundle.json"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_that_leaves_a_bundle_is_refused_by_every_verb(
    name: str, where: str, tmp_path: Path, edgerestore, doubling_bundle
) -> None:
    from edgerestore.bundle import seal

    path = doubling_bundle()
    Image.new("RGB", (20, 20)).save(tmp_path / "in.png")
    if where == "SHA256SUMS":
        with (path / "SHA256SUMS").open("a") as file:
            file.write(f"{'0' * 64}  {name}\n")
    else:
        document = json.loads((path / "bundle.json").read_bytes())
        document["files"] = {name: 4}
        (path / "bundle.json").write_text(json.dumps(document))
        (path / "SHA256SUMS").unlink()
        seal(path)
    verb = ["check", path] if name != ".." else ["restore", path, tmp_path / "in.png", "out.png"]
    refused(edgerestore(*verb, cwd=tmp_path), "SHA256SUMS")
    assert not (tmp_path / "out.png").exists()


class Interrupted:
    """Meets Ctrl-C in its destructor, where Python drops every exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def meets_it_in_a_destructor(*_: object, **__: object) -> None:
    Interrupted()
    time.sleep(60)
    raise AssertionError("was not interrupted")


def makes_an_error_of_it(*_: object, **__: object) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise EdgeRestoreError("the network cannot be exported")


@pytest.fixture
def restored_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers, hook = {number: signal.getsignal(number) for number in numbers}, sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    sys.unraisablehook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer there to interrupt again")
@pytest.mark.parametrize("library", [meets_it_in_a_destructor, makes_an_error_of_it])
def test_ctrl_c_that_a_library_swallows_is_still_told_as_ctrl_c(
    library: Callable[..., None],
    restored_handlers: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "app", library)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "edgerestore: interrupted; nothing half-written was left\n"


def test_ctrl_c_in_text_that_a_library_executes_ends_by_exit_code_not_by_signal(
    tmp_path: Path,
) -> None:
    """Only of what was started with ``-m`` does Python ask how it was interrupted."""
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "from edgerestore import cli\n"
        "def executes(*_, **__): exec('raise KeyboardInterrupt')\n"
        "cli.app = executes\n"
        "sys.exit(cli.main([]))\n"
    )
    line = [sys.executable, "-m", "program"]
    root = str(Path(package.__file__).parents[1])
    done = subprocess.run(
        line,
        env={**os.environ, "PYTHONPATH": root},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    refused(done, "interrupted; nothing half-written was left", 130)
