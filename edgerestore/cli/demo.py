"""The verb ``demo``: the whole job, ending in one HTML report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgerestore.cli.output import Json, console, print_json, progress, table


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for bundles and report.")] = Path("demo-report"),
    json: Json = False,
) -> None:
    """Does the whole job on the shipped model and photograph; writes one HTML report."""
    from edgerestore.demo import run_demo
    from edgerestore.metrics import decibels

    with progress() as bar:
        task = bar.add_task("starting", total=None)

        def report(stage: str) -> None:
            bar.update(task, description=stage, advance=1)

        result = run_demo(out, report)
    if json:
        print_json(
            {
                "report": result.report,
                "restored": result.restored,
                "bicubic_psnr_y_db": result.bicubic_psnr_y_db,
                "psnr_y_db": result.psnr_y_db,
                "int8_pays": result.int8_pays,
                "bundles": [b.path for b in result.bundles],
            }
        )
        return
    shown = table("bundles", "bundle", "worst drop dB", "p50 ms", "KiB", "status")
    latency = {Path(r.bundle).name: r.latency_ms for r in result.bench.bundles}
    for bundle in result.bundles:
        accuracy = bundle.manifest.accuracy
        timing = latency.get(bundle.path.name)
        shown.add_row(
            bundle.path.name,
            decibels(accuracy.worst_drop_db) if accuracy else "-",
            f"{timing.p50:.1f}" if timing and timing.p50 is not None else "-",
            f"{bundle.file_bytes / 1024:.0f}",
            bundle.manifest.parity.status,
        )
    console().print(shown)
    best = max(result.psnr_y_db.values())
    console().print(
        f"photograph: bicubic {result.bicubic_psnr_y_db:.2f} dB, restored {best:.2f} dB; "
        f"picture {result.restored}"
    )
    if result.int8_pays:
        console().print(" ".join(result.int8_pays))
    console().print(f"report: {result.report.resolve().as_uri()}")
