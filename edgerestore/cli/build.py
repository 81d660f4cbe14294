"""The verb ``build``: model or recipe, targets and precisions to verified bundles."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from edgerestore.cli.options import CalibrationSet, WeightsFile
from edgerestore.cli.output import Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle
    from edgerestore.pipeline import Job

    BuildBundles = Callable[[list[Job], Callable[[str], None]], list[Bundle]]

SMALLEST_TILE = 8
OWN = "A network of your own"
"""Heading of its options in the help."""


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("build")(build)


def _tile(text: str) -> int | str:
    """A side in pixels, or ``auto``."""
    if text == "auto":
        return text
    try:
        side = int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a number of pixels nor 'auto'.") from None
    if side < SMALLEST_TILE:
        raise typer.BadParameter(f"{side} is not in the range x>={SMALLEST_TILE}.")
    return side


def _recursions(text: str) -> tuple[int, ...]:
    """Numbers with commas between them, each once."""
    try:
        numbers = tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not numbers such as 1,2,3.") from None
    if min(numbers) < 1:
        raise typer.BadParameter(f"{min(numbers)} is not in the range x>=1.")
    return numbers


def _range(text: str) -> str:
    """Two numbers with a comma between them, kept as text."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not two numbers such as 0,255.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise typer.BadParameter(f"{text}: must be finite and grow.")
    return text


def build(
    out: Annotated[Path, typer.Option(help="Folder that the bundles go into.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model's name, or a recipe file; none with --network.", show_default=False
        ),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="A target's name or file; may be repeated.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of fp32, fp16, bf16, int8; comma-separated.")
    ] = None,
    weights: WeightsFile = None,
    tile: Annotated[
        str | None,
        typer.Option(
            parser=_tile,
            metavar="PIXELS|auto",
            help="Input side; 'auto' predicts which costs least on the targets.",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Tiles in one run, which fill a GPU sooner; 1."),
    ] = None,
    recursions: Annotated[
        str | None,
        typer.Option(
            parser=_recursions,
            metavar="N,...",
            help="Of a recursive network trained to be cut: bundles for each of these depths.",
        ),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Input pixels that neighbouring tiles share; 8.")
    ] = None,
    calibration: CalibrationSet = None,
    data: Annotated[
        Path | None, typer.Option(help="Pairs for the accuracy gate; the shipped ones if left out.")
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(help="Modules to keep out of INT8, such as 'blocks.0.low.*'."),
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Of one tile, for --tile auto.")
    ] = None,
    budget_mib: Annotated[
        float | None, typer.Option(min=0.001, help="Of one tile, for --tile auto.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Builds a torch.nn.Module without arguments. The file is your own code and is "
            "executed; --weights is not, and takes .pth, .pt or .safetensors.",
            rich_help_panel=OWN,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the bundles; the file's.", rich_help_panel=OWN)
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(min=1, help="Output over input size; else tried.", rich_help_panel=OWN),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Only 3 can be built.", rich_help_panel=OWN)
    ] = None,
    size_multiple: Annotated[
        int | None,
        typer.Option(min=1, help="Of every side, in pixels; else tried.", rich_help_panel=OWN),
    ] = None,
    size_minimum: Annotated[
        int | None,
        typer.Option(min=1, help="Smallest side in pixels; else tried.", rich_help_panel=OWN),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            parser=_range,
            metavar="LOW,HIGH",
            help="Black and white, such as 0,255; else tried.",
            rich_help_panel=OWN,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Builds, verifies and seals one bundle for each target, precision and depth."""
    import functools

    from edgerestore.pipeline import build_bundles
    from edgerestore.pipeline.request import job_from
    from edgerestore.recipe import Budget

    facts = {
        "factory": network,
        "scale": scale,
        "channels": channels,
        "multiple_of": size_multiple,
        "minimum": size_minimum,
        "value_range": value_range and tuple(map(float, value_range.split(","))),
    }
    # A user's own network may print; standard output is for our answer.
    with redirect_stdout(sys.stderr):
        ask = functools.partial(
            job_from,
            model,
            targets=target,
            precisions=precision.split(",") if precision else None,
            weights=weights,
            tile=cast("int | Literal['auto'] | None", tile),
            overlap=overlap,
            calibration=calibration,
            data=data,
            keep_float=keep_float or [],
            out=out,
            name=name,
            network={key: value for key, value in facts.items() if value is not None},
            budget=Budget(latency_ms=budget_ms, memory_mib=budget_mib),
            batch=batch,
        )
        depths = cast("tuple[int, ...] | None", recursions) or (None,)
        jobs = [ask(recursions=depth) for depth in depths]
        notes = list(dict.fromkeys(note for job in jobs for note in job.notes))
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        made = _built(jobs, build_bundles)
    if json:
        choices = [job.choice for job in jobs if job.choice]
        choice = {"tile_choice": choices if recursions else choices[0]} if choices else {}
        notes += [*int8_notes(made), *fp16_notes(made)]
        print_json({"bundles": [_facts(bundle) for bundle in made], "notes": notes, **choice})
        return
    for job in jobs:
        _show_choice(job)
        _show(job, [bundle for bundle in made if bundle.manifest.model.name == job.spec.name])
    for note in (*int8_notes(made), *fp16_notes(made)):
        console().print(note, soft_wrap=True)
    console().print(f"bundles are in {out}")


def _built(jobs: list[Job], build_bundles: BuildBundles) -> list[Bundle]:
    with progress() as bar:
        task = bar.add_task("reading weights", total=sum(len(job.cases) + 2 for job in jobs))

        def report(stage: str) -> None:
            bar.update(task, description=stage, advance=1)

        return build_bundles(jobs, report)


def _facts(bundle: Bundle) -> dict[str, object]:
    return {"bundle": bundle.path, **_manifest_facts(bundle)}


def _manifest_facts(bundle: Bundle) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "name": bundle.name,
        "status": manifest.parity.status,
        "runtime": manifest.parity.runtime,
        "accuracy": manifest.accuracy,
        "file_bytes": bundle.file_bytes,
    }


def _show_choice(job: Job) -> None:
    if job.choice is None:
        return
    shown = table(
        "tiles, predicted from the targets' rates for the most demanding precision",
        "tile", "GMACs", "activations MiB", "scores MiB", "peak MiB", "ms", "ns/pixel", "",
    )  # fmt: skip
    for candidate in job.choice.candidates:
        chosen = "chosen" if candidate == job.choice.chosen else ""
        shown.add_row(
            f"{candidate.tile}",
            f"{candidate.macs / 1e9:.2f}",
            f"{candidate.activation_mib:.1f}",
            f"{candidate.score_mib:.1f}",
            f"{candidate.peak_mib:.1f}",
            f"{candidate.latency_ms:.1f}",
            f"{candidate.ns_per_pixel:.0f}",
            chosen if candidate.fits else "over budget",
        )
    console().print(shown)
    console().print(job.choice.reason)


def _show(job: Job, made: list[Bundle]) -> None:
    from edgerestore.metrics import decibels

    judged = f"PSNR-Y against FP32 on {job.evaluation_name}" if job.evaluation else "not gated"
    batch = f", {job.batch} at once" if job.batch > 1 else ""
    shown = table(
        f"{job.spec.name}, tile {job.tile}{batch}, overlap {job.overlap}; {judged}",
        "bundle", "mean drop dB", "worst dB", "KiB", "status",
    )  # fmt: skip
    for bundle in made:
        accuracy = bundle.manifest.accuracy
        mean, worst = (
            (decibels(accuracy.mean_drop_db), decibels(accuracy.worst_drop_db))
            if accuracy
            else ("-", "-")
        )
        size = f"{bundle.file_bytes / 1024:.0f}"
        shown.add_row(bundle.path.name, mean, worst, size, bundle.manifest.parity.status)
    console().print(shown)


def int8_notes(made: list[Bundle]) -> list[str]:
    """How many products each target multiplies in INT8: a line for each model."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    for bundle in made:
        for done in bundle.manifest.passes:
            if done.name == "int8":
                key = bundle.manifest.model.name, done.settings["products_in_all"]
                found.setdefault(key, {})[bundle.manifest.target.name] = done.settings["products"]
    return [
        f"{model} in int8, of {in_all} convolutions and matrix products: "
        + "; ".join(
            f"{number} in INT8 on {target}"
            if number
            else f"none in INT8 on {target}, whose bundle is FP32 in all but name"
            for target, number in targets.items()
        )
        for (model, in_all), targets in found.items()
    ]


def fp16_notes(made: list[Bundle]) -> list[str]:
    """What of FP16 graphs stays in FP32, and why: once for all targets of one graph."""
    settings = {
        (bundle.manifest.model.name, bundle.manifest.precision): done.settings
        for bundle in made
        for done in bundle.manifest.passes
        if done.name == "fp16"
    }
    return [
        f"{model} in {precision}: {len(found['kept'])} of {found['nodes']} operators stay in FP32: "
        f"{'; '.join(found['summary'])}"
        for (model, precision), found in settings.items()
        if found["kept"]
    ]
