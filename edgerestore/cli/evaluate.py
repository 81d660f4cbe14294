"""The verb ``evaluate``: accuracy of bundles against ground truth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.output import Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.comparison import BundleResult


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("evaluate")(evaluate)


def evaluate(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, one or several.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of pairs: HR/ and LR_bicubic/X2/, input/ and target/, or rainL/ "
            "and norain/."
        ),
    ],
    scale_dir: Annotated[
        str | None,
        typer.Option(help="Folder below LR_bicubic/, such as X2.", show_default="the model's"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document here as well.")] = None,
    json: Json = False,
) -> None:
    """Measures PSNR-Y and SSIM-Y of bundles on a folder of pairs, each in its own runtime."""
    import msgspec

    from edgerestore.bundle import read_bundle
    from edgerestore.comparison import evaluate_bundles
    from edgerestore.files import write_beside

    opened = [read_bundle(path) for path in bundles]
    with progress() as bar:
        task = bar.add_task("evaluating", total=None)

        def report(bundle: str, image: str) -> None:
            bar.update(task, description=f"{bundle}: {image}", advance=1)

        results = evaluate_bundles(opened, data, scale_dir, report)
    document = {"bundles": results}
    if out:
        write_beside(out, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    if json:
        print_json(document)
    else:
        _print_tables(results)


def _print_tables(results: list[BundleResult]) -> None:
    """Images by bundles in dB, then one line for each bundle, then what was done."""
    numbers = [str(number) for number in range(1, len(results) + 1)]
    summary = table(
        "Bundles", "bundle", "#", "mean dB", "worst dB", "SSIM-Y", "mean drop", "worst drop", "to"
    )
    for number, result in zip(numbers, results, strict=True):
        ssim = f"{result.ssim_y.mean:.4f}" if result.ssim_y else "-"
        mean, worst = f"{result.psnr_y_db.mean:.2f}", f"{result.psnr_y_db.worst:.2f}"
        summary.add_row(result.bundle, number, mean, worst, ssim, *_drop_cells(result, results))
    by_image = table("PSNR-Y, dB", "image", *numbers)
    for name in dict.fromkeys(image.name for result in results for image in result.images):
        found = [
            {image.name: _decibels(image.psnr_y_db) for image in result.images}.get(name, "")
            for result in results
        ]
        by_image.add_row(name, *found)
    shown = console()
    shown.print(summary)
    shown.print(by_image)
    for line in dict.fromkeys(f"{result.data}. {result.protocol}." for result in results):
        shown.print(line, soft_wrap=True)
    if any(result.drop is None for result in results):
        shown.print("'-': no FP32 bundle of the same weights is among these.", markup=False)
    if any(result.ssim_y is None for result in results):
        shown.print("SSIM needs scikit-image: pip install 'edgerestore[evaluate]'", markup=False)


def _decibels(psnr_db: float) -> str:
    """PSNR with two decimals; infinite where the picture equals its truth."""
    return f"{psnr_db:.2f}" if math.isfinite(psnr_db) else "exact"


def _drop_cells(result: BundleResult, results: list[BundleResult]) -> tuple[str, str, str]:
    """Mean and worst drop, and the number of the bundle that they are measured against."""
    from edgerestore.metrics import decibels

    drop = result.drop
    if drop is None:
        return "-", "-", "-"
    names = [other.bundle for other in results]
    known = drop.reference in names
    reference = f"#{names.index(drop.reference) + 1}" if known else "own manifest's FP32"
    return decibels(drop.mean_db), decibels(drop.worst_db, 2), reference
