"""A bundle as it was in a git revision: ``REV:path/to/bundle``, as git itself names it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgerestore.bundle import MAX_FILES
from edgerestore.errors import BundleError, InputError, MissingPartError

MAX_BYTES = 8 << 30
"""Of a whole bundle; the largest network here has half a gigabyte."""
CI_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA")
"""Variables in which GitHub and GitLab name the commit that a job is for."""


@contextlib.contextmanager
def bundle_folder(given: str) -> Iterator[Path]:
    """Gives the folder itself, or a temporary one with the bundle as the revision has it.

    What comes out of git is checked like any bundle by reading it; here only plain files
    directly in the folder are taken, up to as many and as large as bundles are. The path is
    relative to the repository's root, the repository is that of the working directory.
    Raises InputError, naming what was given, and MissingPartError without git.
    """
    named = _named(given)
    if named is None:
        yield Path(given)
        return
    revision, path = named
    if not revision or not path or revision.startswith("-"):
        raise InputError(f"{given}: neither a bundle's folder nor REVISION:FOLDER")
    folder = Path(tempfile.mkdtemp(prefix="edgerestore-"))
    try:
        bundle = folder / (Path(path).name or "bundle")
        bundle.mkdir()
        _extract(given, bundle)
        yield bundle
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def revision_of(given: str) -> str | None:
    """The commit of what :func:`bundle_folder` takes, as git's full hash.

    Of a folder it is the CI job's commit or, elsewhere, the one that is checked out where the
    folder lies; None where there is neither.
    """
    named = _named(given)
    if named is not None:
        return _commit(Path(), named[0])
    for name in CI_COMMITS:
        if os.environ.get(name):
            return os.environ[name]
    return _commit(Path(given), "HEAD")


def _named(given: str) -> tuple[str, str] | None:
    """Revision and path; None for a folder, whose name may have a colon as well."""
    revision, colon, path = given.partition(":")
    return None if Path(given).exists() or not colon else (revision, path)


def _commit(folder: Path, revision: str) -> str | None:
    asked = ["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *asked], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def _extract(given: str, folder: Path) -> None:
    command = ["git", "archive", "--format=tar", given]
    with tempfile.TemporaryFile() as complaints:
        try:
            archive = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints)
        except OSError as error:
            raise MissingPartError(f"{given}: needs git: {error.strerror}") from error
        assert archive.stdout
        try:
            failed: Exception | None = None
            try:
                _unpack(archive.stdout, given, folder)
            except tarfile.TarError as error:
                failed = error
            archive.stdout.close()
            code = archive.wait()
        finally:
            archive.kill()
            archive.wait()
            archive.stdout.close()
        if code or failed:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            why = lines[-1].strip() if lines else str(failed or f"git exited with {code}")
            raise InputError(f"{given}: git has no such folder: {why}")


def _unpack(stream: IO[bytes], given: str, folder: Path) -> None:
    files = total = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if member.isdir() or "/" in member.name:
                # Engines that a device compiled lie in folders below; a bundle does not need them.
                continue
            if not member.isfile() or member.name in ("", ".", ".."):
                raise BundleError(f"{given}: '{member.name}' is not a plain file")
            files, total = files + 1, total + member.size
            if files > MAX_FILES + 1 or total > MAX_BYTES:
                raise BundleError(f"{given}: more than a bundle holds")
            source = tar.extractfile(member)
            assert source
            with (folder / member.name).open("xb") as target:
                shutil.copyfileobj(source, target)
