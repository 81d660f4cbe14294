"""What the commands of this folder share: arguments, and how a refusal ends them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from edgerestore.errors import EdgeRestoreError


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


def exit_after(main: Callable[[], int]) -> NoReturn:
    """Ends the process as ``main`` says; a refusal is one line and its own code, as of the CLI."""
    try:
        code = main()
    except EdgeRestoreError as error:
        print(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code)
