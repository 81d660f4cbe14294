"""A bundle as a function of pictures: what ``edgerestore.load`` gives."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends.base import open_session
from edgerestore.bundle import Bundle, Manifest, read_bundle
from edgerestore.encoding import QUALITY
from edgerestore.errors import ImageError, InputError
from edgerestore.imaging import MAX_MEGAPIXELS, enlarged_rows, quantize
from edgerestore.restoration import Job, Outcome, Settings, find_jobs, restore_files
from edgerestore.tiling import restore_array

DTYPES = (np.uint8, np.uint16, np.float32)
"""Types of array that a restorer takes and gives."""

CHANNELS = (1, 2, 3, 4)
"""Grey, grey with alpha, RGB, RGB with alpha."""


class Restorer:
    """A verified bundle with an open session; a context manager that closes it.

    One thread uses it at a time. What it restores does not depend on what it restored before.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 0, streams: int = 1) -> None:
        self._bundle = bundle
        self._session = open_session(bundle, threads, streams=streams)
        self._open = True

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: network, target, contract, costs, accuracy and parity."""
        return self._bundle.manifest

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self._bundle.path

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self._bundle.manifest.model.scale

    @property
    def precision(self) -> str:
        """Precision that the bundle was built in, such as ``int8``."""
        return self._bundle.manifest.precision

    def restore(self, image: NDArray[Any], *, overlap: int | None = None) -> NDArray[Any]:
        """Restores one picture of any size, tile by tile.

        Args:
            image: H x W or H x W x C, C of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB,
                alpha); uint8 and uint16 over their whole range, float32 in [0, 1].
            overlap: Input pixels that neighbouring tiles share at least; the bundle's where
                left out.

        Returns:
            The same type and layout, ``scale`` times as high and wide, within the type's
            range. Alpha is enlarged, not restored.

        Raises:
            InputError: For another type or shape, and for floats that are not finite.
            BackendError: Where the runtime fails or gives what is not finite.
        """
        self._require_open()
        samples = _as_samples(image)
        has_alpha = samples.shape[2] in (2, 4)
        colour = samples[:, :, :-1] if has_alpha else samples
        settings = self._settings(overlap)
        restored = restore_array(
            colour,
            self._session.run,
            tile=settings.tile,
            overlap=settings.overlap,
            scale=settings.scale,
            batch=settings.batch,
            streams=settings.streams,
        )
        if colour.shape[2] == 1:
            restored = restored.mean(axis=2, keepdims=True)
        result = _in_type(restored, samples.dtype)
        if has_alpha:
            alpha = _enlarged_alpha(samples[:, :, -1], settings.scale)
            result = np.concatenate([result, alpha[:, :, None]], axis=2)
        return result[:, :, 0] if image.ndim == 2 else result

    def restore_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        quality: int = QUALITY,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        """Restores one picture file into another, whole or not at all.

        The target's suffix chooses PNG, JPEG, TIFF or WebP; colour profile, depth, alpha and
        EXIF are kept. ``quality``, from 1 to 100, is that of JPEG and WebP. Raises ImageError
        for an input that cannot be read, InputError where the output cannot be written.
        """
        outcomes = self.restore_files(
            [source], target, quality=quality, max_megapixels=max_megapixels
        )
        for outcome in outcomes:
            if outcome.reason:
                raise ImageError(outcome.reason)

    def restore_files(
        self,
        sources: Iterable[str | os.PathLike[str]],
        out: str | os.PathLike[str],
        *,
        quality: int = QUALITY,
        max_megapixels: float = MAX_MEGAPIXELS,
        progress: Callable[[Outcome, int, int], None] | None = None,
    ) -> list[Outcome]:
        """Restores files, folders and patterns into the folder ``out``.

        ``progress`` is called after each file with what became of it, the files done and the
        files in all. A file that cannot be read is reported in its outcome, and the rest goes
        on. Raises InputError for names that mean no picture and where nothing can be written.
        """
        self._require_open()
        jobs = find_jobs([os.fspath(source) for source in sources], Path(out))
        settings = dataclasses.replace(
            self._settings(None), quality=quality, max_megapixels=max_megapixels
        )
        outcomes: list[Outcome] = []
        for outcome in self._outcomes(jobs, settings):
            outcomes.append(outcome)
            if progress is not None:
                progress(outcome, len(outcomes), len(jobs))
        return outcomes

    def close(self) -> None:
        """Frees the session and the device's memory; closing again does nothing."""
        if self._open:
            self._open = False
            self._session.close()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<Restorer {self._bundle.name}, x{self.scale}{state}>"

    def _outcomes(self, jobs: list[Job], settings: Settings) -> Iterator[Outcome]:
        yield from restore_files(jobs, self._session.run, settings)

    def _settings(self, overlap: int | None) -> Settings:
        contract = self._bundle.manifest.contract
        return Settings(
            tile=contract.tile,
            overlap=contract.overlap if overlap is None else overlap,
            scale=self.scale,
            batch=contract.batch,
            streams=self._session.streams,
        )

    def _require_open(self) -> None:
        if not self._open:
            raise InputError(f"{self.path}: its restorer is closed; load the bundle again")


def load(path: str | os.PathLike[str], *, threads: int = 0, streams: int = 1) -> Restorer:
    """Verifies a bundle's hashes and opens it in its runtime.

    Args:
        path: The bundle's folder.
        threads: Threads of the runtime; 0 lets it choose.
        streams: Tiles in flight at once; a runtime may allow fewer.

    Raises:
        BundleError: For a bundle that is damaged or of another version.
        MissingPartError: Where its runtime or device is absent; names what installs it.
        BackendError: Where the runtime refuses it.
    """
    return Restorer(read_bundle(Path(path)), threads=threads, streams=streams)


def _as_samples(image: NDArray[Any]) -> NDArray[Any]:
    """The picture as H x W x C in native byte order."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"restore takes a numpy array, not a {type(image).__name__}")
    native = image.dtype.newbyteorder("=")
    if native not in [np.dtype(dtype) for dtype in DTYPES]:
        raise InputError(
            f"restore takes uint8, uint16 or float32 in [0, 1], not {image.dtype}; convert the "
            "array first"
        )
    samples = image[:, :, None] if image.ndim == 2 else image
    if samples.ndim != 3 or samples.shape[2] not in CHANNELS or 0 in samples.shape:
        raise InputError(
            f"restore takes H x W or H x W x C with 1 to 4 channels, not an array of shape "
            f"{image.shape}"
        )
    samples = samples.astype(native, copy=False)
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise InputError("restore takes finite values; the array holds NaN or infinity")
    return samples


def _in_type(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return np.clip(values, 0, 1, out=values)
    return quantize(values, dtype.itemsize * 8)


def _enlarged_alpha(alpha: NDArray[Any], scale: int) -> NDArray[Any]:
    rows = alpha.shape[0] * scale
    if alpha.dtype.kind != "f":
        return enlarged_rows(alpha, scale, 0, rows)
    deep = enlarged_rows(quantize(alpha, 16), scale, 0, rows)
    return deep.astype(np.float32) / np.float32(65535)
