"""The verbs that say what there is: ``models``, ``targets``, ``doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from edgerestore.cli.output import Json, console, count, print_json, table

if TYPE_CHECKING:
    from edgerestore.networks import ModelSpec

COST_FIELDS = ("macs", "activations", "attention_score_bytes", "nodes", "not_counted")


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("models")(models)
    app.command("targets")(targets)
    app.command("doctor")(doctor)


def models(json: Json = False) -> None:
    """Lists the models with their size and cost."""
    from edgerestore.networks import MODELS

    if json:
        print_json([_model_facts(spec) for spec in MODELS.values()])
        return
    shown = table(
        "models", "name", "task", "params", "MACs", "values", "scores", "nodes", "tile", "weights"
    )
    unseen: set[str] = set()
    for spec in MODELS.values():
        costs = spec.costs
        unseen.update(costs.not_counted if costs else ())
        task = f"SR x{spec.scale}" if spec.scale > 1 else spec.task
        shown.add_row(
            spec.name,
            task,
            count(spec.params),
            count(costs.macs if costs else None),
            count(costs.activations if costs else None),
            f"{count(costs.attention_score_bytes)}B" if costs else "-",
            str(costs.nodes) if costs else "-",
            str(spec.tile),
            "shipped" if spec.weights else "-",
        )
    console().print(shown)
    console().print(
        "Costs are of one tile in the deployable form: MACs with attention products, values "
        "written by all operators, score matrices in float32, nodes of the ONNX graph. Not "
        f"counted as work: {', '.join(sorted(unseen))}."
    )


def _model_facts(spec: ModelSpec) -> dict[str, object]:
    fields = ("name", "task", "scale", "params", "tile", "tasks", "weights", "source")
    facts: dict[str, object] = {name: getattr(spec, name) for name in fields}
    costs = asdict(spec.costs) if spec.costs else dict.fromkeys(COST_FIELDS)
    return {**facts, **costs, "size_rule": str(spec.size_rule)}


def targets(json: Json = False) -> None:
    """Lists the targets, and whether this machine can execute their bundles."""
    from edgerestore.backends import find_backend
    from edgerestore.recipe import Target, read_toml
    from edgerestore.shipped import toml_folder

    found = [read_toml(path, Target) for path in sorted(toml_folder("targets").glob("*.toml"))]
    reasons = [find_backend(target.backend).why_not(target.device) for target in found]
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
