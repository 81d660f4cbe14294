"""The verb ``build``: model or recipe, targets and precisions to verified bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.output import Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.build import Job
    from edgerestore.bundle import Bundle


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("build")(build)


def build(
    model: Annotated[str, typer.Argument(help="A model's name, or a recipe file.")],
    out: Annotated[Path, typer.Option(help="Folder that the bundles go into.")],
    target: Annotated[
        list[str] | None, typer.Option(help="A target's name or file; may be repeated.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of fp32, fp16, bf16, int8; comma-separated.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="safetensors; the shipped weights if left out.")
    ] = None,
    tile: Annotated[int | None, typer.Option(min=8, help="Input side in pixels.")] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Input pixels that neighbouring tiles share; 8.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="A shipped set, or a folder of degraded pictures.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Pairs for the accuracy gate; the shipped ones if left out.")
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(help="Modules to keep out of INT8, such as 'blocks.0.low.*'."),
    ] = None,
    json: Json = False,
) -> None:
    """Builds, verifies and seals one bundle for each target and precision."""
    from edgerestore.build import build_bundles
    from edgerestore.build.request import job_from

    job = job_from(
        model,
        targets=target,
        precisions=precision.split(",") if precision else None,
        weights=weights,
        tile=tile,
        overlap=overlap,
        calibration=calibration,
        data=data,
        keep_float=keep_float or [],
        out=out,
    )
    with progress() as bar:
        task = bar.add_task("reading weights", total=len(job.cases) + 2)

        def report(stage: str) -> None:
            bar.update(task, description=stage, advance=1)

        made = build_bundles(job, report)
    if json:
        print_json({"bundles": [_facts(bundle) for bundle in made]})
    else:
        _show(job, made)


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


def _show(job: Job, made: list[Bundle]) -> None:
    shown = table(
        f"{job.spec.name}, tile {job.tile}, overlap {job.overlap}; "
        f"PSNR-Y against FP32 on {job.evaluation_name}",
        "bundle", "mean drop dB", "worst dB", "KiB", "status",
    )  # fmt: skip
    for bundle in made:
        accuracy = bundle.manifest.accuracy
        mean, worst = (
            (f"{accuracy.mean_drop_db:.3f}", f"{accuracy.worst_drop_db:.3f}")
            if accuracy
            else ("-", "-")
        )
        size = f"{bundle.file_bytes / 1024:.0f}"
        shown.add_row(bundle.path.name, mean, worst, size, bundle.manifest.parity.status)
    console().print(shown)
    console().print(f"bundles are in {job.out}")
