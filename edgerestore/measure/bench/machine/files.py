"""Small files of the kernel."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")
LONGEST = 1 << 20
"""Bytes that are read at most; the largest of these files, cpuinfo, has a fraction of it."""


def text(path: Path) -> str | None:
    """A small file, stripped; None where it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def number(path: Path) -> float | None:
    """The number that a file holds; None where it holds none."""
    try:
        return float(text(path) or "")
    except ValueError:
        return None


def matching(root: Path, pattern: str) -> list[Path]:
    """Paths below ``root`` that match, in order; links to folders are followed."""
    return sorted(root.glob(pattern))
