"""Options and arguments that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Threads = Annotated[
    int,
    typer.Option("--threads", help="Number of runtime threads; 0 lets the runtime choose.", min=0),
]
Across = Annotated[
    bool,
    typer.Option("--across", help="Show results of different machines or runtimes together."),
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped one.")
]
Data = Annotated[Path, typer.Option(help="Folder that holds the recipe's data folders.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out, if there is one.")
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="Weights, as a safetensors file.", show_default="the shipped weights"
    ),
]
JudgedOn = Annotated[
    Path | None, typer.Option("--data", help="Pairs to judge on.", show_default="the shipped pairs")
]
CalibrationSet = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="Calibration set: a shipped one's name, or a folder of degraded pictures.",
    ),
]
TileSide = Annotated[
    int | None,
    typer.Option("--tile", min=8, help="Side of the input in pixels.", show_default="the model's"),
]
