"""Bundles: folders that explain and check themselves.

``bundle.json`` says what the bundle is; ``SHA256SUMS`` (readable by ``sha256sum -c``) seals
``bundle.json`` and every other file. Reading verifies every hash before anything else looks
at a byte, so that no native loader ever sees a damaged file.
"""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import BundleError, CheckFailedError
from edgerestore.files import replacing_folder, sha256_of
from edgerestore.metrics import psnr_db, psnr_drop_db
from edgerestore.recipe.scalars import PrecisionName

SCHEMA = 1
MANIFEST = "bundle.json"
SUMS = "SHA256SUMS"
PROBE = "probe.npz"
COMPILED = "compiled"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 64
MAX_SUMS_BYTES = MAX_FILES * 200

_SUM_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]{0,127})")

Status = Literal["verified", "compiled, not executed", "not compiled, not executed"]


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which network, and where its weights came from."""

    name: str
    task: str
    scale: int
    border: int
    config: dict[str, Any]
    params: int
    weights_sha256: str


class TargetFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The runtime and device that the files are for."""

    name: str
    backend: str
    device: str
    options: dict[str, str]


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes in and what comes out, for one run."""

    input_name: str
    output_name: str
    batch: int
    channels: int
    tile: int
    """Input side in pixels; the output's is ``scale`` times that."""
    overlap: int
    """Input pixels that neighbouring tiles share."""
    value_range: tuple[float, float]


class PassFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step that was applied, with its settings."""

    name: str
    settings: dict[str, Any]


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one run costs, counted on the graph."""

    params: int
    macs: int
    activations: int
    """Values written by all operators."""
    attention_score_bytes: int
    """Bytes of score matrices in float32."""
    not_counted: dict[str, int]
    """Operators that the MAC counter did not count, with how often they occur."""
    operators: dict[str, int]


class CalibrationFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What INT8 ranges were collected on."""

    name: str
    crops: int
    sha256: str


class ImageScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PSNR-Y of one image, for the FP32 network and for this bundle in its runtime."""

    name: str
    fp32_psnr_y_db: float
    """At most 100 dB, where the network meets the truth exactly."""
    psnr_y_db: float
    """At most 100 dB, likewise of the bundle."""

    @property
    def drop_db(self) -> float:
        """PSNR drop in dB against FP32; negative where the bundle is better."""
        return psnr_drop_db(self.fp32_psnr_y_db, self.psnr_y_db)


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accuracy against ground truth, measured in the runtime that executes the bundle."""

    data: str
    protocol: str
    images: tuple[ImageScore, ...]
    mean_drop_db: float
    worst_drop_db: float
    allowed_mean_drop_db: float
    allowed_worst_drop_db: float

    @property
    def passes(self) -> bool:
        """Whether both the mean and the worst image are within what is allowed."""
        limits = DropLimits(
            mean_drop_db=self.allowed_mean_drop_db, worst_drop_db=self.allowed_worst_drop_db
        )
        return limits.hold(self)


class DropLimits(msgspec.Struct, frozen=True, kw_only=True):
    """PSNR-Y that a network may lose against FP32."""

    mean_drop_db: float
    """In the mean over the images."""
    worst_drop_db: float
    """On the image that loses most."""

    def hold(self, accuracy: Accuracy | None) -> bool:
        """Whether a bundle keeps them; one that was not measured does not."""
        return (
            accuracy is not None
            and accuracy.mean_drop_db <= self.mean_drop_db
            and accuracy.worst_drop_db <= self.worst_drop_db
        )


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the bundle's output was compared with the FP32 network's, and where."""

    status: Status
    runtime: str
    """Runtime, version and device that executed it, or the compiler that accepted it."""
    psnr_db: float | None = None
    """Probe output against the FP32 network's, peak 1."""
    floor_db: float | None = None
    """PSNR that ``edgerestore check`` demands on another machine, from what the build executed
    or emulated."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of ``bundle.json``."""

    schema: int
    model: ModelFacts
    precision: PrecisionName
    target: TargetFacts
    contract: Contract
    files: dict[str, int]
    """Model files with their sizes in bytes; the first one is opened."""
    passes: tuple[PassFacts, ...]
    costs: Costs
    calibration: CalibrationFacts | None
    accuracy: Accuracy | None
    parity: Parity
    tools: dict[str, str]
    """Versions of the packages that took part."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose every byte has been verified."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """As :func:`bundle_name` makes it."""
        m = self.manifest
        return bundle_name(m.model.name, m.precision, m.target.name, m.contract.batch)

    @property
    def model_file(self) -> Path:
        """The file that a runtime opens."""
        return self.path / next(iter(self.manifest.files))

    @property
    def file_bytes(self) -> int:
        """Size of the model files together."""
        return sum(self.manifest.files.values())

    def probe(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The small input and the FP32 network's output for it, N x 3 x H x W.

        Raises BundleError where the file, though sealed, holds something else.
        """
        data = (self.path / PROBE).read_bytes()
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return file["input"], file["output"]
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path / PROBE}: not a probe: {error}") from error


def bundle_name(model: str, precision: str, target: str, batch: int) -> str:
    """``<model>-<precision>-<target>``, and ``-b<batch>`` where several tiles run at once."""
    several = f"-b{batch}" if batch > 1 else ""
    return f"{model}-{precision}-{target}{several}"


def read_bundle(path: Path) -> Bundle:
    """Verifies every file of a bundle, then reads it.

    Raises BundleError, naming the file, for damage, for names that leave the folder, for
    files that no line of ``SHA256SUMS`` covers and for another schema version.
    """
    if not (path / MANIFEST).is_file():
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}){_bundles_below(path)}")
    sums = verify_sealed(path, required=MANIFEST)
    if (path / MANIFEST).stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path / MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes")
    data = (path / MANIFEST).read_bytes()
    try:
        version = msgspec.json.decode(data, type=_Version).schema
        if version != SCHEMA:
            raise BundleError(
                f"{path / MANIFEST}: schema {version}, but this edgerestore reads {SCHEMA}; "
                "build the bundle again or install the matching version"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BundleError(f"{path / MANIFEST}: {error}") from error
    if not manifest.files:
        raise BundleError(f"{path / MANIFEST}: lists no model file")
    for name in [*manifest.files, PROBE]:
        if name not in sums:
            raise BundleError(f"{path}: '{name}' is not sealed by {SUMS}")
    return Bundle(path, manifest)


@contextlib.contextmanager
def writing_bundle(path: Path) -> Iterator[Path]:
    """Gives a folder beside ``path`` to fill; seals and renames it on success.

    On any error or interruption the folder is removed and an older bundle stays as it was.
    """
    with replacing_folder(path) as folder:
        yield folder
        seal(folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``bundle.json``, indented for people."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(data + b"\n")


def write_probe(folder: Path, given: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Writes ``probe.npz``: an input and the FP32 network's output, N x 3 x H x W."""
    np.savez_compressed(folder / PROBE, input=given, output=expected)


def seal(folder: Path) -> None:
    """Writes ``SHA256SUMS`` over every file of a folder."""
    names = sorted(p.name for p in folder.iterdir())
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines))


def verify_sealed(folder: Path, *, required: str) -> dict[str, str]:
    """Verifies every file of a sealed folder and returns their hashes by name.

    Raises BundleError, naming the file, for damage, for names that leave the folder, for
    files that no line covers, and where ``required`` is not among them.
    """
    sums = _read_sums(folder / SUMS)
    if required not in sums:
        raise BundleError(f"{folder / SUMS}: damaged: does not seal {required}")
    _verify(folder, sums)
    return sums


def probe_psnr_db(result: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """PSNR in dB of two outputs in [0, 1], peak 1, all channels; NaN counts as 0 dB."""
    if result.shape != expected.shape:
        raise CheckFailedError(f"output is {result.shape}, but should be {expected.shape}")
    if not np.isfinite(result).all():
        return 0.0
    return min(200.0, float(psnr_db(result, expected)))


def _bundles_below(path: Path) -> str:
    """What to name in the place of a folder that holds bundles; empty where it holds none."""
    below = sorted(found.parent for found in path.glob(f"*/{MANIFEST}"))
    if not below:
        return ""
    more = f" (or {len(below) - 1} more there)" if len(below) > 1 else ""
    return f"; it holds bundles: name {below[0]}{more}"


class _Version(msgspec.Struct):
    schema: int


def _read_sums(path: Path) -> dict[str, str]:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BundleError(f"{path}: not a plain file")
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SUMS_BYTES + 1).decode("ascii")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{path}: damaged: not ASCII") from error
    if len(text) > MAX_SUMS_BYTES:
        raise BundleError(f"{path}: damaged: longer than {MAX_SUMS_BYTES} bytes")
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")[:-1], 1):
        match = _SUM_LINE.fullmatch(line)
        if not match or match[2] in sums or number > MAX_FILES:
            raise BundleError(f"{path}: damaged at line {number}")
        sums[match[2]] = match[1]
    if not text.endswith("\n"):
        raise BundleError(f"{path}: damaged: cut off")
    return sums


def _verify(path: Path, sums: Mapping[str, str]) -> None:
    for name, expected in sums.items():
        file = path / name
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{file}: missing, or not a plain file, though {SUMS} lists it")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise BundleError(f"{file}: cannot be read: {error.strerror}") from error
        if found != expected:
            raise BundleError(
                f"{file}: damaged: its SHA-256 is not the one in {SUMS}; copy the bundle again"
            )
    for entry in path.iterdir():
        if entry.name not in sums and entry.name not in (SUMS, COMPILED):
            raise BundleError(f"{entry}: not sealed by {SUMS}; remove it or copy the bundle again")
