from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgerestore import files
from edgerestore.backends.base import options_of
from edgerestore.bundle import (
    MAX_MANIFEST_BYTES,
    Bundle,
    Contract,
    Costs,
    Manifest,
    ModelFacts,
    Parity,
    TargetFacts,
    read_bundle,
    seal,
    write_manifest,
    write_probe,
    writing_bundle,
)
from edgerestore.errors import BundleError, InputError

FILES = ["SHA256SUMS", "bundle.json", "model.bin", "model.xml", "probe.npz"]
FLIPS = 24

MANIFEST = Manifest(
    schema=1,
    model=ModelFacts(
        name="net",
        task="super-resolution",
        scale=2,
        border=2,
        config={"features": 16},
        params=7,
        weights_sha256="0" * 64,
    ),
    precision="fp32",
    target=TargetFacts(
        name="cpu", backend="openvino", device="CPU", options={"EXECUTION_MODE_HINT": "ACCURACY"}
    ),
    contract=Contract(
        input_name="input",
        output_name="output",
        batch=1,
        channels=3,
        tile=8,
        overlap=2,
        value_range=(0.0, 1.0),
    ),
    files={"model.xml": 4, "model.bin": 100},
    passes=(),
    costs=Costs(
        params=7, macs=1, activations=1, attention_score_bytes=0, not_counted={}, operators={}
    ),
    calibration=None,
    accuracy=None,
    parity=Parity(status="verified", runtime="test", psnr_db=90.0, floor_db=70.0),
    tools={"torch": "2"},
)


def fill(folder: Path) -> None:
    (folder / "model.xml").write_bytes(b"<xml")
    (folder / "model.bin").write_bytes(bytes(range(100)))
    low = np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    write_probe(folder, low, low.repeat(2, 2).repeat(2, 3))
    write_manifest(folder, MANIFEST)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "net-fp32-cpu"
    with writing_bundle(path) as folder:
        fill(folder)
    return path


def change_manifest(path: Path, change: Callable[[dict], object]) -> None:
    """Edits ``bundle.json`` and seals the folder again, as an attacker can."""
    document = json.loads((path / "bundle.json").read_bytes())
    change(document)
    (path / "bundle.json").write_text(json.dumps(document))
    reseal(path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(
    path: Path, manifest: Manifest, error: BaseException | type[BaseException] | None = None
) -> None:
    """Writes a bundle, unless ``error`` comes just before its end."""
    with writing_bundle(path) as folder:
        fill(folder)
        write_manifest(folder, manifest)
        if error:
            raise error


def reseal(path: Path) -> None:
    (path / "SHA256SUMS").unlink(missing_ok=True)
    seal(path)


def test_what_is_written_is_read(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert read == Bundle(bundle, MANIFEST)
    assert read.name == "net-fp32-cpu"
    assert read.model_file == bundle / "model.xml"
    assert read.file_bytes == 104
    given, expected = read.probe()
    assert given.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(expected, given.repeat(2, 2).repeat(2, 3))
    assert names(bundle) == FILES
    assert names(bundle.parent) == [bundle.name]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_sums_are_readable_by_sha256sum(bundle: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=bundle, capture_output=True)
    assert done.returncode == 0, done


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_the_file_named(bundle: Path, name: str) -> None:
    good = (bundle / name).read_bytes()
    rng = random.Random(name)
    bits = {0, 8 * len(good) - 1, *(rng.randrange(8 * len(good)) for _ in range(FLIPS))}
    for bit in bits:
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        (bundle / name).write_bytes(data)
        with pytest.raises(BundleError, match=name):
            read_bundle(bundle)
    (bundle / name).write_bytes(good)
    read_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "longer", "empty", "missing", "folder", "symlink"])
def test_damage_to_a_whole_file_is_found_and_the_file_named(
    bundle: Path, name: str, how: str
) -> None:
    path = bundle / name
    data = path.read_bytes()
    path.unlink()
    if how in ("cut", "longer", "empty"):
        path.write_bytes({"cut": data[:-1], "longer": data + b"\n", "empty": b""}[how])
    elif how == "folder":
        path.mkdir()
    elif how == "symlink":
        # To the very bytes: what lies outside can change after it was verified.
        (bundle.parent / "outside").write_bytes(data)
        path.symlink_to(bundle.parent / "outside")
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["extra.bin", ".hidden", "sub/"])
def test_what_no_line_seals_is_refused(bundle: Path, name: str) -> None:
    if name.endswith("/"):
        (bundle / name).mkdir()
    else:
        (bundle / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"{name.rstrip('/')}: not sealed by SHA256SUMS"):
        read_bundle(bundle)


HOSTILE_NAMES = {
    "parent": "../outside",
    "absolute": "/etc/passwd",
    "folder": "sub/model.bin",
    "backslash": "..\\outside",
    "drive": "C:outside",
    "NUL": "model.bin\0.txt",
    "hidden": ".outside",
    "dot": "..",
    "newline": "a\rb",
    "space": "a b",
    "not ASCII": "mödel.bin",
    "empty": "",
    "long": "a" * 129,
    "twice": "model.bin",
}


@pytest.mark.parametrize("case", HOSTILE_NAMES)
def test_name_that_leaves_the_folder_is_refused_before_it_is_opened(
    bundle: Path, case: str
) -> None:
    outside = bundle.parent / "outside"
    os.mkfifo(outside)  # opening it would wait for ever
    sums = bundle / "SHA256SUMS"
    line = f"{'0' * 64}  {HOSTILE_NAMES[case]}\n".encode()
    sums.write_bytes(sums.read_bytes() + line)
    with pytest.raises(BundleError, match="SHA256SUMS: damaged"):
        read_bundle(bundle)


def test_endless_or_giant_list_of_sums_is_refused_unread(bundle: Path) -> None:
    sums = bundle / "SHA256SUMS"
    good = sums.read_text()
    sums.write_text(good + "".join(f"{'0' * 64}  f{number}\n" for number in range(64)))
    with pytest.raises(BundleError, match="SHA256SUMS: damaged at line 65"):
        read_bundle(bundle)
    os.truncate(sums, 1 << 40)
    with pytest.raises(BundleError, match="SHA256SUMS: damaged: longer than"):
        read_bundle(bundle)
    sums.unlink()
    os.mkfifo(sums)
    with pytest.raises(BundleError, match="SHA256SUMS: not a plain file"):
        read_bundle(bundle)


def test_giant_manifest_is_refused_unread(bundle: Path) -> None:
    with (bundle / "bundle.json").open("ab") as file:
        file.write(b" " * MAX_MANIFEST_BYTES)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"bundle\.json: larger than"):
        read_bundle(bundle)


def with_files(files: object) -> Callable[[dict], object]:
    return lambda document: document.update(files=files)


BAD_MANIFESTS: dict[str, tuple[Callable[[dict], object], str]] = {
    "newer schema": (lambda d: d.update(schema=2), "schema 2, but this edgerestore reads 1"),
    "no schema": (lambda d: d.pop("schema"), "schema"),
    "unknown key": (lambda d: d.update(surprise=1), "surprise"),
    "unknown key below": (lambda d: d["model"].update(surprise=1), "surprise"),
    "missing key": (lambda d: d.pop("costs"), "costs"),
    "wrong type": (lambda d: d["contract"].update(tile="8"), "tile"),
    "unknown precision": (lambda d: d.update(precision="int4"), "int4"),
    "no files": (with_files({}), "lists no model file"),
    "file outside": (with_files({"../model.xml": 4}), "'../model.xml' is not sealed"),
    "absolute file": (with_files({"/etc/passwd": 4}), "'/etc/passwd' is not sealed"),
    "file absent": (with_files({"other.xml": 4}), "'other.xml' is not sealed"),
}


@pytest.mark.parametrize(
    ("backend", "option"),
    [
        ("openvino", "CACHE_DIR"),
        ("openvino", "CONFIG_FILE"),
        ("onnxruntime", "session.model_external_initializers_file_folder_path"),
        ("tensorrt", "INFERENCE_PRECISION_HINT"),
    ],
)
def test_option_that_could_name_a_file_reaches_no_runtime(
    bundle: Path, tmp_path: Path, backend: str, option: str
) -> None:
    folder = str(tmp_path / "written")
    change_manifest(bundle, lambda d: d["target"].update(backend=backend, options={option: folder}))
    with pytest.raises(BundleError, match=f"sets the option '{option}' of {backend}; a bundle may"):
        options_of(read_bundle(bundle))


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_sealed_manifest_that_says_something_else_is_refused(bundle: Path, case: str) -> None:
    change, message = BAD_MANIFESTS[case]
    change_manifest(bundle, change)
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b'"\xff"', b'{"schema": 1, "model": ' + b"[" * 200_000]
)
def test_sealed_manifest_that_is_no_manifest_is_refused(bundle: Path, data: bytes) -> None:
    (bundle / "bundle.json").write_bytes(data)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"bundle\.json: "):
        read_bundle(bundle)


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), b"rubbish"])
def test_sealed_probe_that_is_no_probe_is_refused(bundle: Path, data: bytes) -> None:
    (bundle / "probe.npz").write_bytes(data)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"probe\.npz: not a probe"):
        read_bundle(bundle).probe()


def test_probe_that_would_run_code_is_refused(bundle: Path) -> None:
    np.savez(bundle / "probe.npz", input=np.array([{}], object), output=np.zeros(1))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"probe\.npz: not a probe"):
        read_bundle(bundle).probe()


def test_engines_compiled_later_are_not_part_of_the_seal(bundle: Path) -> None:
    (bundle / "compiled" / "board").mkdir(parents=True)
    read_bundle(bundle)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left")])
def test_interrupted_writing_leaves_no_half_bundle_and_keeps_the_older(
    tmp_path: Path, older: bool, error: BaseException
) -> None:
    path = tmp_path / "out" / "net"
    if older:
        with writing_bundle(path) as folder:
            fill(folder)
    expected = InputError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        write(path, MANIFEST, error)
    assert names(path.parent) == (["net"] if older else [])
    if older:
        assert read_bundle(path).manifest == MANIFEST


@contextlib.contextmanager
def interrupted_at_rename(number: int, *, before: bool) -> Iterator[None]:
    """Ctrl-C just before or after the rename of that number."""
    rename, count = Path.rename, itertools.count(1)

    def interrupted(self: Path, target: Path) -> Path:
        mine = next(count) == number
        if mine and before:
            raise KeyboardInterrupt
        done = rename(self, target)
        if mine:
            raise KeyboardInterrupt
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.Path, "rename", interrupted)
        yield


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", [1, 2])
def test_interruption_between_two_renames_leaves_one_whole_bundle(
    bundle: Path, number: int, before: bool
) -> None:
    newer = msgspec.structs.replace(MANIFEST, tools={"torch": "3"})
    with (
        interrupted_at_rename(number, before=before),
        pytest.raises(KeyboardInterrupt),
    ):
        write(bundle, newer)
    assert names(bundle.parent) == [bundle.name]
    swapped = number == 2 and not before
    assert read_bundle(bundle).manifest == (newer if swapped else MANIFEST)


def test_newer_bundle_takes_the_place_of_the_older(bundle: Path) -> None:
    with writing_bundle(bundle) as folder:
        fill(folder)
        write_manifest(folder, msgspec.structs.replace(MANIFEST, tools={}))
    assert read_bundle(bundle).manifest.tools == {}
    assert names(bundle.parent) == [bundle.name]


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling"])
def test_what_is_no_folder_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net"
    if kind == "file":
        path.write_text("mine")
    else:
        if kind == "symlink":
            (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path)
    with pytest.raises(InputError, match="net: cannot be written"), writing_bundle(path):
        pytest.fail("must not get this far")
    assert names(tmp_path) == before


def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from pathlib import Path
from edgerestore.bundle import writing_bundle
from edgerestore.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with writing_bundle(Path({str(tmp_path / "net")!r})) as folder:
        (folder / "model.bin").write_bytes(bytes(5000))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "net: cannot be written: File too large" in done.stdout, done.stderr
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "probe.npz", "SHA256SUMS"])
def test_check_ends_before_a_native_loader_sees_damage(
    doubling_bundle: Callable[..., Path], name: str, edgerestore
) -> None:
    path = doubling_bundle()
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 4
    (path / name).write_bytes(data)
    done = edgerestore("check", path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("edgerestore: ")
    assert done.stderr.count("\n") == 1
    assert name in done.stderr
    script = (
        "import sys; from edgerestore.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code if 'onnxruntime' not in sys.modules else 99)"
    )
    quiet = subprocess.run([sys.executable, "-c", script, "check", path], capture_output=True)
    assert quiet.returncode == 3


def test_check_tells_the_truth_in_both_directions(
    doubling_bundle: Callable[..., Path], edgerestore
) -> None:
    floor = Parity(status="verified", runtime="test", psnr_db=76.0, floor_db=70.0)
    good = edgerestore("check", doubling_bundle("fp32", parity=floor), "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["bundles"][0]["psnr_db"] >= 70
    bad = edgerestore("check", doubling_bundle("int8", error=0.1, parity=floor))
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "20.0 dB from the FP32 network's, below the floor of 70.0 dB" in bad.stderr
    assert bad.stderr.count("\n") == 1


def test_folder_of_bundles_says_what_to_name(doubling_bundle) -> None:
    path = doubling_bundle()
    with pytest.raises(BundleError, match=f"it holds bundles: name {path}$"):
        read_bundle(path.parent)
