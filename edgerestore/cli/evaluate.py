"""The verb ``evaluate``: accuracy of bundles against ground truth."""

from __future__ import annotations

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
    bundles: Annotated[list[Path], typer.Argument(help="One bundle or several.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Pairs: HR/ and LR_bicubic/X2/, input/ and target/, or rainL/ and norain/."
        ),
    ],
    scale_dir: Annotated[
        str | None, typer.Option(help="Folder below LR_bicubic/, such as X2; the model says.")
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
    names = list(dict.fromkeys(image.name for result in results for image in result.images))
    by_image = table("PSNR-Y, dB", "image", *(result.bundle for result in results))
    for name in names:
        found = [
            {image.name: f"{image.psnr_y_db:.2f}" for image in result.images}.get(name, "")
            for result in results
        ]
        by_image.add_row(name, *found)
    summary = table(
        "Summary", "bundle", "mean dB", "worst dB", "SSIM-Y", "mean drop", "worst drop", "against"
    )
    for result in results:
        ssim = f"{result.ssim_y.mean:.4f}" if result.ssim_y else "not known"
        summary.add_row(
            result.bundle,
            f"{result.psnr_y_db.mean:.3f}",
            f"{result.psnr_y_db.worst:.2f}",
            ssim,
            *_drop_cells(result),
        )
    shown = console()
    shown.print(by_image)
    shown.print(summary)
    for line in dict.fromkeys(f"{result.data}. {result.protocol}." for result in results):
        shown.print(line, soft_wrap=True)
    if any(result.ssim_y is None for result in results):
        shown.print("SSIM needs scikit-image: pip install 'edgerestore[evaluate]'", markup=False)


def _drop_cells(result: BundleResult) -> tuple[str, str, str]:
    drop = result.drop
    if drop is None:
        return "", "", "no FP32 figures"
    if drop.reference == result.bundle:
        return "", "", "itself"
    return f"{drop.mean_db:.3f}", f"{drop.worst_db:.2f} ({drop.worst_image})", drop.reference
