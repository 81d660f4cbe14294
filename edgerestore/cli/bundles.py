"""The verbs for a bundle on its device: ``check`` and ``compile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgerestore.cli.output import Json, console, print_json

Bundles = Annotated[list[Path], typer.Argument(help="Bundle folders.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("check")(check)
    app.command("compile")(compile_)


def check(bundle: Bundles, json: Json = False) -> None:
    """Verifies hashes, schema and, in this machine's runtime, parity with FP32."""
    from edgerestore.checking import check_bundle

    checked = []
    for path in bundle:
        result = check_bundle(path)
        checked.append(result)
        if not json:
            floor = f", floor {result.floor_db:.1f} dB" if result.floor_db is not None else ""
            console().print(f"{result.name}: verified, {result.psnr_db:.1f} dB to FP32{floor}")
    if json:
        print_json({"bundles": checked})


def compile_(
    bundle: Bundles,
    target: Annotated[
        str | None, typer.Option(help="Refuse bundles that are not for this target.")
    ] = None,
    json: Json = False,
) -> None:
    """Builds the engine of a TensorRT bundle on the board that will run it."""
    from edgerestore.bundle import read_bundle
    from edgerestore.compiled import compile_bundle
    from edgerestore.errors import InputError

    done = []
    for path in bundle:
        read = read_bundle(path)
        name = read.manifest.target.name
        if target not in (None, name):
            raise InputError(f"{path}: is for target '{name}', not '{target}'")
        engine = compile_bundle(read)
        done.append({"bundle": path, "engine": engine})
        if not json:
            made = (
                f"engine {engine}" if engine else "nothing to compile: its runtime opens it as is"
            )
            console().print(f"{read.name}: {made}")
    if json:
        print_json({"bundles": done})
