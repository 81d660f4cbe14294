"""The verbs that say what there is: ``models``, ``targets``, ``doctor``."""

from __future__ import annotations

import typer

from edgerestore.cli.output import Json, console, print_json, table


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("models")(models)
    app.command("targets")(targets)
    app.command("doctor")(doctor)


def models(json: Json = False) -> None:
    """Lists the models with their size and cost."""
    from edgerestore.models import MODELS

    if json:
        fields = ("name", "task", "scale", "params", "macs", "tile", "weights", "source")
        print_json([{field: getattr(m, field) for field in fields} for m in MODELS.values()])
        return
    shown = table("models", "name", "task", "scale", "params", "GMACs", "tile", "weights")
    for spec in MODELS.values():
        shown.add_row(
            spec.name,
            spec.task,
            f"x{spec.scale}",
            f"{spec.params:,}",
            f"{spec.macs / 1e9:.2f}",
            str(spec.tile),
            "shipped" if spec.weights else "-",
        )
    console().print(shown)
    console().print("GMACs are for one tile, attention products included.")


def targets(json: Json = False) -> None:
    """Lists the targets, and whether this machine can execute their bundles."""
    from edgerestore.backends import find_backend
    from edgerestore.recipe import Target, read_toml
    from edgerestore.shipped import toml_folder

    found = [read_toml(path, Target) for path in sorted(toml_folder("targets").glob("*.toml"))]
    reasons = [find_backend(target.backend).why_not() for target in found]
    if json:
        print_json(
            [
                {"target": target, "executes_here": reason is None, "why_not": reason}
                for target, reason in zip(found, reasons, strict=True)
            ]
        )
        return
    shown = table("targets", "name", "runs on", "precisions", "here")
    for target, reason in zip(found, reasons, strict=True):
        here = "executes" if reason is None else f"no: {reason}"
        shown.add_row(target.name, target.executes_on, ", ".join(target.precisions), here)
    console().print(shown)


def doctor(json: Json = False) -> None:
    """Says what this machine can do, and the command that adds what it cannot."""
    from edgerestore.doctor import examine

    findings = examine()
    if json:
        print_json({"parts": findings})
        return
    shown = table("this machine", "part", "found", "state")
    for finding in findings:
        state = "ready" if finding.ready else f"missing: {finding.cure}"
        shown.add_row(finding.part, finding.found, state)
    console().print(shown)
