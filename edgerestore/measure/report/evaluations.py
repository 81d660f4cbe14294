"""What 'edgerestore evaluate' measured: each image in each bundle, the worst first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgerestore.comparison import BundleResult
from edgerestore.measure.report.drops import Drops, drop_figure, image_tables, worst_images
from edgerestore.measure.report.markup import NONE, Content, Markup, breakable, joined, table, tag
from edgerestore.measure.report.verdicts import signed


def evaluations_section(evaluations: Sequence[BundleResult]) -> Markup | None:
    """One group for each set of images; None without any."""
    groups: dict[str, list[BundleResult]] = {}
    for result in evaluations:
        groups.setdefault(result.data, []).append(result)
    return joined(_group(data, group) for data, group in groups.items()) if groups else None


def _group(data: str, group: Sequence[BundleResult]) -> Markup:
    series = [(result.bundle, _drops(result)) for result in group]
    known = [(bundle, drops) for bundle, drops in series if drops]
    names = list(dict.fromkeys([*worst_images(known), *_names(group)]))
    head = ["Image", *(breakable(result.bundle) for result in group)]
    rows = [_row(name, group) for name in names]
    return joined(
        [
            table(
                f"Evaluated on {data}",
                ("Bundle", "Mean dB", "Worst dB", "SSIM-Y", "Mean lost", "Worst lost", "Against"),
                (_totals(result) for result in group),
            ),
            drop_figure(known),
            image_tables(f"PSNR-Y on {data}", head, rows),
            *(
                tag("p", f"{said}.", class_="note")
                for said in dict.fromkeys(result.protocol for result in group)
            ),
        ]
    )


def _drops(result: BundleResult) -> Drops:
    return {image.name: image.drop_db for image in result.images if image.drop_db is not None}


def _names(group: Sequence[BundleResult]) -> list[str]:
    return [image.name for result in group for image in result.images]


def _totals(result: BundleResult) -> list[Content]:
    drop = result.drop
    return [
        breakable(result.bundle),
        _decibels(result.psnr_y_db.mean),
        _decibels(result.psnr_y_db.worst),
        f"{result.ssim_y.mean:.4f}" if result.ssim_y else NONE,
        signed(drop.mean_db, 3) if drop else NONE,
        joined([signed(drop.worst_db), " ", tag("span", drop.worst_image, class_="delta")])
        if drop
        else NONE,
        breakable(drop.reference) if drop else NONE,
    ]


def _row(name: str, group: Sequence[BundleResult]) -> list[Content]:
    cells: list[Content] = [breakable(name)]
    for result in group:
        found = next((image for image in result.images if image.name == name), None)
        if found is None:
            cells.append(NONE)
            continue
        lost = "" if found.drop_db is None else signed(-found.drop_db)
        cells.append(joined([_decibels(found.psnr_y_db), " ", tag("span", lost, class_="delta")]))
    return cells


def _decibels(value: float) -> str:
    return "exact" if math.isinf(value) else f"{value:.2f}"
