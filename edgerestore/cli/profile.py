"""The verb ``profile``: where the time of bundles goes, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Threads
from edgerestore.cli.output import (
    PROGRESS_STEPS,
    Json,
    console,
    count,
    fold_only,
    print_json,
    progress,
    table,
)

if TYPE_CHECKING:
    from edgerestore.measure.bench.profile import Profile
    from edgerestore.measure.bench.roofline import Roofline

TOP = 12


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("profile")(profile)


def profile(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", show_default=False)],
    top: Annotated[
        int,
        typer.Option("--top", help="Rows of the table; further operators share one more.", min=1),
    ] = TOP,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", help="Inferences that medians are taken over.", show_default="25", min=1
        ),
    ] = None,
    threads: Threads = 0,
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Measure the machine's peaks and bandwidth beside the bundles; on CPUs only.",
        ),
    ] = False,
    seconds: Annotated[
        float,
        typer.Option("--seconds", help="Seconds of --roofline for each bundle and peak.", min=0.01),
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """Show where the time of bundles goes, by operator and the precision that it ran in.

    Each bundle's probe runs under the profiler of its own runtime: OpenVINO, ONNX Runtime or
    TensorRT, whose reader never ran on hardware.
    """
    from edgerestore.measure.bench.environment import Watch, warnings
    from edgerestore.measure.bench.harness import Plan
    from edgerestore.measure.bench.profile import profile_bundle
    from edgerestore.measure.bench.profile.reading import RUNS
    from edgerestore.measure.bench.roofline import roofline as measured

    watch, profiles = Watch(), []
    for path in bundles:
        seen = profile_bundle(path, threads, runs or RUNS)
        profiles.append(seen)
        if not as_json:
            _show(seen, top)
    environment = watch.finish(0.0)
    disturbed = warnings(environment)
    found = None
    if roofline:
        with progress() as bar:
            task = bar.add_task("measuring peaks, % done", total=PROGRESS_STEPS)
            found = measured(
                bundles,
                Plan(seconds=seconds),
                threads,
                lambda done: bar.update(task, completed=int(PROGRESS_STEPS * done)),
            )
    if as_json:
        said = {"bundles": profiles, "environment": environment, "warnings": disturbed}
        print_json(said | ({"roofline": found} if found else {}))
        return
    if found:
        _show_roofline(found)
        disturbed = found.warnings
    for warning in disturbed:
        console().print(f"warning: {warning}", style="yellow")


def _show(seen: Profile, top: int) -> None:
    made = table(
        f"{seen.name}: {seen.total_us / 1e3:.2f} ms in {len(seen.operators)} operators of "
        f"{seen.runtime}",
        "operator", "ran in", "calls", "ms", "%", "kernel",
    )  # fmt: skip
    made.columns[-1].justify = "left"
    for group in seen.groups[:top]:
        more = f" +{len(group.kernels) - 1}" if len(group.kernels) > 1 else ""
        made.add_row(
            group.type,
            group.precision,
            str(group.calls),
            f"{group.us / 1e3:.2f}",
            f"{100 * group.share:.1f}",
            group.kernels[0] + more,
        )
    rest = seen.groups[top:]
    if rest:
        made.add_row(
            f"{len(rest)} further",
            "",
            str(sum(group.calls for group in rest)),
            f"{sum(group.us for group in rest) / 1e3:.2f}",
            f"{100 * sum(group.share for group in rest):.1f}",
            "",
        )
    console().print(made)
    for sentence in seen.summary:
        console().print(sentence)


def _show_roofline(found: Roofline) -> None:
    """Bundles against the peaks of each precision and the bandwidth, all of one run."""
    peaks = [f"of {peak.precision.upper()}" for peak in found.peaks]
    against = table(
        "Multiplications in a second, of a large matrix product's in the same run",
        "bundle", "GMAC/s", *peaks,
    )  # fmt: skip
    roofs = table(
        f"Of the roof: {found.gb_per_s:.1f} GB/s were read and written in the same run",
        "bundle", "moved", "MAC/B", "bound by", "roof", "reached",
    )  # fmt: skip
    for bundle in found.bundles:
        fractions = [f"{100 * fraction.median:.0f} %" for fraction in bundle.of_peak]
        against.add_row(bundle.name, f"{bundle.gmacs_per_s:.1f}", *fractions)
        roof = bundle.roof
        roofs.add_row(
            bundle.name,
            f"{count(roof.bytes_moved)}B",
            f"{roof.macs_per_byte:.1f}",
            "memory" if roof.bound == "memory" else roof.precision.upper(),
            f"{roof.gmacs_per_s:.1f}",
            f"{100 * roof.median:.0f} %",
        )
    against.add_row("peak, GMAC/s", "", *(f"{peak.gmacs_per_s:.1f}" for peak in found.peaks))
    for made in (against, roofs):
        console().print(fold_only(made))
