"""What commands that measure one model after another all take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def parser_of_models(
    description: str | None, models: Sequence[str], out: Path, each: str
) -> argparse.ArgumentParser:
    """Models by name, all where none is named; seconds for ``each`` of what is measured."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("models", nargs="*", default=models, metavar="MODEL", help="else all")
    parser.add_argument("--seconds", type=float, default=10.0, help=f"for each {each}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=out)
    return parser
