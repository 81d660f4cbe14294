"""The verb ``report``: any set of results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgerestore.cli.options import Across
from edgerestore.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from edgerestore.measure.bench.environment import Environment
    from edgerestore.measure.report.differences import Difference
    from edgerestore.measure.report.pictures import Picture
    from edgerestore.measure.report.reading import Read

TITLE = "What these bundles cost"


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("report")(report)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    title: Annotated[
        str | None, typer.Option("--title", help="Heading of the report.", show_default=TITLE)
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(
            "--picture",
            metavar="LABEL=FILE",
            help="Picture to compare, once for each; heat maps show how far all are from the last.",
        ),
    ] = None,
    across: Across = False,
    as_json: Json = False,
) -> None:
    """Write results as one HTML file that opens anywhere, without a network.

    Takes, in any mixture, what bench, evaluate, profile, gate and decide write.
    """
    from edgerestore.files import write_beside
    from edgerestore.measure.bench.comparable import check_comparable
    from edgerestore.measure.report.html import report_html
    from edgerestore.measure.report.reading import KINDS, Kind, read_files

    decision = Kind("a decision", lambda d: "candidates" in d and "answer" in d, _take_decision)
    read = read_files(results, (decision, *KINDS))
    check_comparable(read.places, across=across)
    pictures, differences = _pictures(picture or [])
    page = report_html(
        title=title or TITLE,
        model=read.facts,
        bench=read.sessions,
        pictures=pictures,
        notes=read.notes,
        further=read.further(differences),
    )
    write_beside(out, page.encode())
    if as_json:
        print_json({"report": out})
    else:
        console().print(f"wrote {out}", soft_wrap=True)


def _take_decision(document: dict[str, Any], read: Read) -> list[Environment]:
    """Here, as it is the host ring that decides, and others need not import it."""
    from edgerestore.decision.shown import take_decision

    return take_decision(document, read)


def _pictures(given: list[str]) -> tuple[list[Picture], list[Difference]]:
    from edgerestore.errors import InputError
    from edgerestore.measure.report.differences import difference
    from edgerestore.measure.report.pictures import Picture
    from edgerestore.pictures import read_rgb

    pairs = []
    for text in given:
        label, equals, file = text.partition("=")
        if not (label and equals and file):
            raise InputError(f"--picture {text}: give LABEL=FILE")
        pairs.append((label, Path(file)))
    pixels = [(label, read_rgb(file)) for label, file in pairs]
    differences = [
        difference(label, own, pixels[-1][0], pixels[-1][1]) for label, own in pixels[:-1]
    ]
    return [Picture(label, file.read_bytes()) for label, file in pairs], differences
