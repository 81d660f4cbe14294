"""Printing for people and for machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

NARROW = 90
"""Columns of a terminal in which a table keeps to one space at each side of a number."""
LONGEST_NUMBER = 8
"""Characters of a cell that is not broken over lines."""
PROGRESS_STEPS = 100
"""Of a bar for work whose fraction done is all that is known."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def print_json(document: Any) -> None:
    """Prints one JSON document on standard output; structs and paths are understood."""
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def count(value: float | None) -> str:
    """A number in three digits and a unit of thousands, for tables; "-" for none."""
    if value is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        # What three digits round up to 1000 belongs to the next unit.
        if float(f"{value:.3g}") < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}T"


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are right-aligned.

    Where the terminal is narrow, words go to further lines; numbers are not broken.
    """
    from rich import box
    from rich.table import Table

    class Whole(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            super().add_row(*cells, **options)
            for column, cell in zip(self.columns[1:], cells[1:], strict=False):
                if len(str(cell)) <= LONGEST_NUMBER:
                    column.min_width = max(column.min_width or 0, len(str(cell)))

    narrow = console().width < NARROW
    made = Whole(
        title=f"\n{title}" if narrow and title else title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        collapse_padding=narrow,
        pad_edge=not narrow,
        show_edge=not narrow,
    )
    for number, column in enumerate(columns):
        made.add_column(
            column, justify="right" if number else "left", no_wrap=not number, overflow="fold"
        )
    return made


def fold_only(made: Table, *headers: str) -> Table:
    """The table with its first column and these ones folding where the terminal is narrow.

    A long name may fold; a number that does cannot be read.
    """
    for number, column in enumerate(made.columns):
        column.no_wrap = number > 0 and column.header not in headers
    return made


@contextmanager
def progress(*, shown: bool = True) -> Iterator[Progress]:
    """Progress on standard error, shown on a terminal only, and only if it is to be."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    to_people = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=to_people,
        disable=not (shown and to_people.is_terminal),
        transient=True,
    ) as bar:
        yield bar
