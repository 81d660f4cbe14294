"""Result files that people read too: one line for each array of numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from edgerestore.files import write_beside

_NUMBERS = re.compile(rb"\[\n[]\[\s\d.,eE+-]*\]")
"""An indented array of numbers, or of such arrays; no string holds a line break."""


def read_document(path: Path) -> dict[str, Any]:
    """What an earlier run left, for this one to replace in part; empty where there is none."""
    known: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    return known


def write_document(path: Path, document: Any) -> None:
    """Writes indented JSON, raw samples on one line; whole or not at all."""
    data = msgspec.json.format(msgspec.json.encode(document), indent=1)
    write_beside(path, _NUMBERS.sub(_one_line, data) + b"\n")


def _one_line(found: re.Match[bytes]) -> bytes:
    return b"".join(found[0].split()).replace(b",", b", ")
