"""Every error that edgerestore raises on purpose.

::

    EdgeRestoreError            exit code 3
    +-- InputError              what was given is wrong: a name, a file, a field
    |   +-- UnknownNameError    a name that no table holds; the nearest known one is offered
    |   +-- RecipeError         a TOML file: names the file and the key
    |   +-- CheckpointError     a weights file: names the file and the tensor
    |   +-- ImageError          an image file that cannot be read or written
    |   +-- BundleError         a bundle that is damaged, hostile or of another version
    +-- MissingPartError        a package or device that is absent: names what installs it
    +-- BackendError            a runtime refused or failed: names runtime and bundle
    +-- AnswerIsNoError         exit code 1: the work was done and the answer is no
        +-- AccuracyError       an accuracy gate was missed: carries the per-image table
        +-- CheckFailedError    hashes or parity of a bundle do not hold

Messages are one line: what was wrong, where, and what fixes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgeRestoreError(Exception):
    """Base of all errors that a user can cause or cure."""

    exit_code = 3


class InputError(EdgeRestoreError):
    """Something that the user gave is wrong."""


class UnknownNameError(InputError):
    """A name that is in no table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        self.kind, self.name, self.known = kind, name, names
        super().__init__(f"unknown {kind} '{name}'; {suggestion(name, names)}")


class RecipeError(InputError):
    """A TOML file that does not say what it should."""


class CheckpointError(InputError):
    """A weights file that cannot be used for the named model."""


class ImageError(InputError):
    """An image file that cannot be read or written."""


class BundleError(InputError):
    """A bundle that is damaged, hostile or of another version."""


class MissingPartError(EdgeRestoreError):
    """A package or device is absent; the message holds the command that cures it."""


class BackendError(EdgeRestoreError):
    """A runtime refused or failed."""


class AnswerIsNoError(EdgeRestoreError):
    """The work was done and its answer is no."""

    exit_code = 1


class AccuracyError(AnswerIsNoError):
    """An accuracy gate was missed."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
        """The per-image table and the layers that hurt most, for people."""


class CheckFailedError(AnswerIsNoError):
    """A bundle's hashes or parity do not hold on this machine."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'?" or, when nothing is near, the known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + ", ".join(names)
