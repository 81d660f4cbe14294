"""Writing files whole or not at all, and hashing them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgerestore.errors import InputError

HASH_CHUNK = 1 << 20


def write_beside(path: Path, data: bytes) -> None:
    """Writes ``data`` to a file beside ``path``, then renames it: all or nothing.

    Raises InputError where the folder cannot be written or the disk is full.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to; renames it on success, else removes it."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Gives a folder beside ``path`` to fill; takes its place on success, else is removed.

    An older folder of that name stays as it was on any error or interruption. Raises
    InputError where the place cannot be written, is taken by a file or the disk is full.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"{path}: cannot be written: something that is no folder is in the way")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    retired = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    try:
        beside.mkdir(parents=True)
        yield beside
        if path.exists():
            path.rename(retired)
        beside.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if retired.exists():
            if not path.exists():
                # Between the two renames: the older folder goes back to its place.
                retired.rename(path)
            shutil.rmtree(retired, ignore_errors=True)
        shutil.rmtree(beside, ignore_errors=True)


def require_writable(folder: Path) -> None:
    """Raises InputError where ``folder`` is, or would be made in, what cannot be written to.

    Asked before long work; a disk that fills up shows only when it does.
    """
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(f"{folder}: cannot be written: {nearest} is no folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{folder}: cannot be written: no permission in {nearest}")


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
