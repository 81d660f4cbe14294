from __future__ import annotations

import inspect
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

import edgerestore
from edgerestore.bundle import (
    Manifest,
    TargetFacts,
    write_manifest,
    write_probe,
    writing_bundle,
)
from edgerestore.cli.restore import restore as restore_verb
from edgerestore.encoding import QUALITY
from edgerestore.imaging import MAX_MEGAPIXELS

MAIN = Path(__file__).with_name("fake_runtime.py")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(edgerestore.__file__).parents[1]),
    "PYTHONWARNINGS": "error",
    "COLUMNS": "200",
}

Restore = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, small_manifest: Callable[..., Manifest]) -> Path:
    """A bundle for the runtime that repeats pixels: twice the size, tiles of 16."""
    path = tmp_path_factory.mktemp("bundles") / "repeat-fp32-fake"
    pixels = np.zeros((2, 3, 16, 16), np.float32)
    with writing_bundle(path) as folder:
        (folder / "model.bin").write_bytes(b"repeat")
        write_probe(folder, pixels, pixels)
        manifest = small_manifest(
            folder / "model.bin",
            name="repeat",
            scale=2,
            tile=16,
            target=TargetFacts(name="fake", backend="fake", device="CPU", options={}),
        )
        # Two tiles at once.
        contract = msgspec.structs.replace(manifest.contract, batch=2)
        write_manifest(folder, msgspec.structs.replace(manifest, contract=contract))
    # So that it is older than whatever a test writes.
    os.utime(path / "bundle.json", (1, 1))
    return path


@pytest.fixture
def restore(bundle) -> Restore:
    """Runs ``edgerestore restore`` with that bundle."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, str(MAIN), "restore", str(bundle), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=ENVIRONMENT,
            **options,
        )

    return run


def save(path: Path, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).integers(0, 256, shape or (40, 30, 3))
    Image.fromarray(samples.astype(np.uint8)).save(path)
    return path


def assert_refused(finished, message, code=3):
    """One line on standard error, and nothing else."""
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert message in finished.stderr
    assert finished.stderr.startswith("edgerestore: ")
    assert (finished.returncode, finished.stdout) == (code, "")


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_one_image(restore, tmp_path):
    source = save(tmp_path / "in.png")
    finished = restore(source, tmp_path / "new" / "out.png")
    assert finished.returncode == 0, finished.stderr
    assert "restored" in finished.stdout
    assert finished.stderr == ""
    restored = np.asarray(Image.open(tmp_path / "new" / "out.png"))
    expected = np.asarray(Image.open(source)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(restored, expected)


def test_a_folder_goes_on_where_it_ended_and_damage_gives_exit_code_1(restore, tmp_path):
    folder = tmp_path / "in"
    save(folder / "a.png")
    save(folder / "deep" / "b.jpg")
    (folder / "broken.png").write_bytes(save(folder / "broken.png").read_bytes()[:900])
    (folder / "cut.jpg").write_bytes(save(folder / "cut.jpg").read_bytes()[:1000])
    finished = restore(folder, tmp_path / "out", "--json")
    assert finished.returncode == 1
    assert finished.stderr.startswith("edgerestore: 2 of 4 files could not be restored: ")
    assert finished.stderr.count("\n") == 1
    document = json.loads(finished.stdout)
    status = {Path(entry["file"]).name: entry["status"] for entry in document["files"]}
    assert status == {
        "a.png": "restored",
        "b.jpg": "restored",
        "broken.png": "failed",
        "cut.jpg": "failed",
    }
    assert files_below(tmp_path / "out") == ["a.png", "deep/b.jpg"]

    for name in ("broken.png", "cut.jpg"):
        (folder / name).unlink()
    again = json.loads(restore(folder, tmp_path / "out", "--json").stdout)
    assert [entry["status"] for entry in again["files"]] == ["skipped", "skipped"]
    forced = json.loads(restore(folder, tmp_path / "out", "--json", "--force").stdout)
    assert [entry["status"] for entry in forced["files"]] == ["restored", "restored"]
    assert all(entry["seconds"] > 0 for entry in forced["files"])


def test_a_pattern_and_several_files(restore, tmp_path):
    for name in ("a.png", "b.png", "c.jpg"):
        save(tmp_path / "in" / name)
    assert restore(tmp_path / "in" / "*.png", tmp_path / "out").returncode == 0
    assert files_below(tmp_path / "out") == ["a.png", "b.png"]
    several = [tmp_path / "in" / "a.png", tmp_path / "in" / "c.jpg"]
    assert restore(*several, tmp_path / "more").returncode == 0
    assert files_below(tmp_path / "more") == ["a.png", "c.jpg"]


def test_the_same_picture_whatever_the_overlap(restore, tmp_path):
    source = save(tmp_path / "in.png")
    for overlap in (0, 7):
        out = tmp_path / f"{overlap}.png"
        assert restore(source, out, "--overlap", overlap, "--tile", 16).returncode == 0
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "7.png").read_bytes()


def test_quality_decides_the_size(restore, tmp_path):
    source = save(tmp_path / "in.png")
    for quality in (50, 95):
        assert restore(source, tmp_path / f"{quality}.jpg", "--quality", quality).returncode == 0
    assert (tmp_path / "50.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.png", "out.png"], "absent.png: no such file or folder"),
        (["broken.png", "out.png"], "broken.png: damaged or cut off"),
        (["cut.jpg", "out.png"], "cut.jpg: damaged or cut off"),
        (["text.png", "out.png"], "text.png: not a PNG, JPEG, TIFF or WebP image"),
        (["bomb.png", "out.png"], "60000 x 60000 is 3600 megapixels, and the limit is 256"),
        (["a.png", "out.png", "--max-megapixels", "0.001"], "a.png: 30 x 40 is"),
        (["a.png", "a.png"], "a.png: would overwrite an input"),
        (["a.png", "out.gif"], "out.gif: '.gif' names no image format"),
        (["a.png", "text.png/out.png"], "out.png: cannot be written"),
        (["folder", "text.png"], "text.png: is a file"),
        (["a.png", "out.png", "--overlap", "16"], "--overlap 16: must be from 0 to 15"),
        (["a.png", "out.png", "--overlap=-1"], "--overlap -1: must be from 0 to 15"),
        (["a.png", "out.png", "--streams", "0"], "--streams 0: must be from 1 to 64"),
        (["a.png", "out.png", "--streams", "65"], "--streams 65: must be from 1 to 64"),
        (["a.png", "out.png", "--quality", "0"], "--quality 0: must be from 1 to 100"),
        (["a.png", "out.png", "--tile", "32"], "was built for tiles of 16 pixels"),
        (["a.png", "out.png", "--tile", "32"], "edgerestore build repeat --target fake"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(restore, tmp_path, arguments, message):
    save(tmp_path / "a.png")
    save(tmp_path / "folder" / "b.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:1000])
    (tmp_path / "cut.jpg").write_bytes(save(tmp_path / "cut.jpg").read_bytes()[:1000])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "bomb.png").write_bytes(bomb((tmp_path / "a.png").read_bytes()))
    before = files_below(tmp_path)
    assert_refused(restore(*arguments, cwd=tmp_path), message)
    assert files_below(tmp_path) == before


def test_a_bundle_that_is_missing_or_damaged(restore, bundle, tmp_path, edgerestore):
    save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", tmp_path / "out.png"]
    cwd = Path(ENVIRONMENT["PYTHONPATH"])
    absent = edgerestore("restore", tmp_path / "absent", *arguments, cwd=cwd)
    assert_refused(absent, "absent: not a bundle (no bundle.json)")
    unknown = edgerestore("restore", bundle, *arguments, cwd=cwd)
    assert_refused(unknown, "unknown backend 'fake'")


def test_a_full_disk_leaves_the_older_file(restore, tmp_path):
    source = save(tmp_path / "in.png", 200, 200, 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").write_bytes(b"older")

    def at_most_10_kb():
        # The kernel's answer to a file that may not grow reaches Python as an OSError too.
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    finished = restore(source, tmp_path / "out" / "x.png", preexec_fn=at_most_10_kb)
    assert_refused(finished, "x.png: cannot be written")
    assert (tmp_path / "out" / "x.png").read_bytes() == b"older"
    assert files_below(tmp_path / "out") == ["x.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_ctrl_c_leaves_no_file(bundle, tmp_path, suffix):
    save(tmp_path / "in.png", 300, 300, 3)
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, str(MAIN), "restore", bundle, tmp_path / "in.png", out / f"x{suffix}"],
        env={**ENVIRONMENT, "FAKE_TILE_SECONDS": "0.1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not (out.is_dir() and any(out.iterdir())):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # An encoder may still be being imported: Python itself warns of files left open there.
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in message
    assert list(out.iterdir()) == []


def test_defaults_are_the_librarys():
    parameters = inspect.signature(restore_verb).parameters
    assert parameters["quality"].default == QUALITY
    assert parameters["max_megapixels"].default == MAX_MEGAPIXELS


def bomb(png: bytes) -> bytes:
    """The same file, but its header says 60000 x 60000."""
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
