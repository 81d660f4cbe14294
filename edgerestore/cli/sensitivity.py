"""The verb ``sensitivity``: which modules INT8 hurts, and which must stay in float."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import CalibrationSet, JudgedOn, TileSide, WeightsFile
from edgerestore.cli.output import Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.bundle import Accuracy, DropLimits
    from edgerestore.compress.quantization.search import Found
    from edgerestore.compress.quantization.sensitivity import Sensitivity


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("sensitivity")(sensitivity)


def sensitivity(
    model: Annotated[str, typer.Argument(help="A model's name, or a recipe file.")],
    target: Annotated[
        str, typer.Option(help="A target's name or file; its rules decide what is quantized how.")
    ] = "x86-openvino",
    weights: WeightsFile = None,
    data: JudgedOn = None,
    calibration: CalibrationSet = None,
    tile: TileSide = None,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="Pattern of modules that stay in float in any case.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Find the fewest modules in float that are enough.")
    ] = False,
    max_drop_db: Annotated[
        float | None,
        typer.Option(
            min=0, help="Mean loss allowed with --search, in dB.", show_default="INT8's gate"
        ),
    ] = None,
    max_worst_db: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Loss allowed on the worst image with --search, in dB.",
            show_default="INT8's gate",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the picture here, as SVG.")] = None,
    json: Json = False,
) -> int:
    """Quantize each module of a network alone and say what that does to the output.

    With --search, whole bundles are built and run until the loss is small enough; exit code 1
    if no number of modules in float makes it so.
    """
    from edgerestore.bundle import DropLimits
    from edgerestore.files import require_writable, write_beside
    from edgerestore.pipeline.gate import ALLOWED
    from edgerestore.pipeline.job import builder_of
    from edgerestore.pipeline.mixed import fewest_modules, ranked_modules
    from edgerestore.pipeline.request import find_target, job_from

    if out is not None:
        require_writable(out)
    allowed = ALLOWED["int8"]
    limits = DropLimits(
        mean_drop_db=allowed.mean_drop_db if max_drop_db is None else max_drop_db,
        worst_drop_db=allowed.worst_drop_db if max_worst_db is None else max_worst_db,
    )
    found = None
    # A user's own network may print; standard output is for our answer.
    with redirect_stdout(sys.stderr), progress() as bar:
        task = bar.add_task("reading weights", total=None)
        job = job_from(
            model,
            targets=[target],
            precisions=["int8"],
            weights=weights,
            tile=tile,
            calibration=calibration,
            data=data,
            keep_float=keep_float or [],
            out=Path(),
        )
        builder = builder_of(
            dataclasses.replace(job, refuses=False),
            lambda stage: bar.update(task, description=stage),
        )
        chosen = find_target(target)
        ranked = ranked_modules(
            builder,
            chosen,
            lambda done, total: bar.update(
                task, description="quantizing one module at a time", completed=done, total=total
            ),
        )
        if search:
            bar.update(task, total=None)
            found = fewest_modules(
                builder, chosen, ranked, limits, lambda stage: bar.update(task, description=stage)
            )
    if out is not None:
        write_beside(out, _picture(job.spec.name, ranked).encode())
    if json:
        print_json(_document(job.spec.name, target, ranked, found, limits))
    else:
        _show(job.spec.name, target, ranked, found, limits)
    return 1 if found is not None and found.modules is None else 0


def _picture(model: str, ranked: list[Sensitivity]) -> str:
    from edgerestore.measure.report.bars import bars_svg

    rows = [(item.module, 255 * 10 ** (-item.psnr_db / 20)) for item in ranked]
    return bars_svg(
        f"{model}: what INT8 in one module alone does to the output",
        "root mean square error against FP32, in grey levels of 255; all calls of a module count",
        rows,
        "levels",
    )


def _document(
    model: str,
    target: str,
    ranked: list[Sensitivity],
    found: Found[Accuracy | None] | None,
    limits: DropLimits,
) -> dict[str, object]:
    document: dict[str, object] = {
        "model": model,
        "target": target,
        "modules": [dataclasses.asdict(item) for item in ranked],
    }
    if found is not None:
        document["search"] = {
            "limits_db": {"mean": limits.mean_drop_db, "worst": limits.worst_drop_db},
            "keep_float": found.modules,
            "tried": [
                {
                    "in_float": count,
                    "mean_drop_db": accuracy.mean_drop_db,
                    "worst_drop_db": accuracy.worst_drop_db,
                }
                for count, accuracy in found.tried
                if accuracy is not None
            ],
        }
    return document


def _show(
    model: str,
    target: str,
    ranked: list[Sensitivity],
    found: Found[Accuracy | None] | None,
    limits: DropLimits,
) -> None:
    from edgerestore.metrics import decibels

    to = console()
    rows = table(
        f"{model} by the rules of {target}: one module in INT8, all else in FP32",
        "module", "calls", "dB to FP32", "drop dB",
    )  # fmt: skip
    for item in ranked:
        drop = "-" if item.drop_db is None else f"{item.drop_db:+.4f}"
        rows.add_row(item.module, str(item.calls), f"{item.psnr_db:.2f}", drop)
    to.print(rows)
    if found is None:
        return
    tried = table("Modules in float, the most sensitive first", "number", "mean dB", "worst dB")
    for count, accuracy in sorted(found.tried):
        if accuracy is not None:
            cells = (decibels(accuracy.mean_drop_db), decibels(accuracy.worst_drop_db))
            tried.add_row(str(count), *cells)
    to.print(tried)
    allowed = f"{limits.mean_drop_db:g} dB in the mean and {limits.worst_drop_db:g} on the worst"
    if found.modules is None:
        to.print(f"no number of modules in float keeps {allowed}")
    elif not found.modules:
        to.print(f"nothing needs to stay in float to keep {allowed}")
    else:
        to.print(f"to keep {allowed}, in the recipe or as --keep-float:")
        to.print(f"keep_float = [{', '.join(repr(m) for m in found.modules)}]", soft_wrap=True)
