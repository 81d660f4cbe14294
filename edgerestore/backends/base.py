"""What every runtime offers: a session that runs tiles."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import BackendError, BundleError, MissingPartError

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle


class Session(Protocol):
    """A loaded bundle, ready to run on one device."""

    @property
    def streams(self) -> int:
        """How many callers ``run`` bears at once, from threads of their own."""
        ...

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """N x 3 x tile x tile RGB in [0, 1] -> N x 3 x s*tile x s*tile, not clipped.

        N is the bundle's own batch. Raises BackendError.
        """
        ...

    def close(self) -> None:
        """Frees the device's memory. Running afterwards is an error."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a session is to be opened."""

    threads: int = 0
    """Of the CPU; 0: the runtime's choice."""
    streams: int = 1
    """Callers that would like to run at once; a session may bear fewer."""
    compiled: Path | None = None
    """Folder in which the runtime may keep what it compiles, to find it there next time."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One runtime: how it is found, installed and opened."""

    name: str
    package: str
    """Name to import."""
    distribution: str
    """Name under which pip knows it."""
    extra: str
    """The extra of edgerestore that installs it."""
    open: Callable[[Bundle, Conditions], Session]
    """Opens a verified bundle."""
    options: frozenset[str] = frozenset()
    """Runtime options that a bundle may set. Others could name files to read, write or load."""
    why_not_executable: Callable[[str | None], str | None] = lambda device: None
    """Why this machine cannot execute, though the package is installed; None if it can. Takes
    the runtime's name of a device, or None for any device."""

    lacks: Callable[[str, Mapping[str, Any]], str | None] = lambda device, options: None
    """What of a bundle's options a device cannot do, and does otherwise without a word: one line,
    None where it does all. The device is there."""

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def why_not(self, device: str | None = None) -> str | None:
        """One line on why bundles cannot execute here, on one device or any; None if they can."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed: pip install 'edgerestore[{self.extra}]'"
        return self.why_not_executable(device)

    def require(self, device: str | None = None) -> None:
        """Raises MissingPartError where bundles of this backend cannot execute."""
        reason = self.why_not(device)
        if reason:
            raise MissingPartError(f"{self.name} cannot run here: {reason}")


@contextlib.contextmanager
def runtime_errors(
    backend: str, doing: str, errors: type[Exception] = RuntimeError
) -> Iterator[None]:
    """Turns a runtime's own exceptions into one-line BackendErrors."""
    try:
        yield
    except errors as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise BackendError(
            f"{backend} failed {doing}: {lines[-1] if lines else error!r}"
        ) from error


def open_session(
    bundle: Bundle, threads: int = 0, *, streams: int = 1, compiled: Path | None = None
) -> Session:
    """Opens a session on a bundle in the runtime of its target; see :class:`Conditions`.

    What is in the folder ``compiled`` is as good as native code: it must be the caller's own.
    Raises MissingPartError, BundleError or BackendError. The bundle has been verified by being
    read.
    """
    from edgerestore.backends import find_backend

    backend = find_backend(bundle.manifest.target.backend)
    backend.require(bundle.manifest.target.device)
    return backend.open(bundle, Conditions(threads, streams, compiled))


@contextlib.contextmanager
def session_on(
    bundle: Bundle, threads: int = 0, *, streams: int = 1, compiled: Path | None = None
) -> Iterator[Session]:
    """A session as :func:`open_session` opens it, closed however the block ends."""
    session = open_session(bundle, threads, streams=streams, compiled=compiled)
    try:
        yield session
    finally:
        session.close()


def options_of(bundle: Bundle) -> dict[str, Any]:
    """The runtime options that the bundle's target carries.

    Raises BundleError for one that a bundle may not set.
    """
    from edgerestore.backends import find_backend

    target = bundle.manifest.target
    allowed = find_backend(target.backend).options
    for name in target.options:
        if name not in allowed:
            raise BundleError(
                f"{bundle.path}: sets the option '{name}' of {target.backend}; a bundle may set "
                f"{', '.join(sorted(allowed)) or 'none'}"
            )
    return dict(target.options)
