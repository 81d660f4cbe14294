"""What ``bench`` shows on a terminal: tables that fit 80 columns, then what is to be known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgerestore.cli.output import console, count, fold_only, table

if TYPE_CHECKING:
    from rich.table import Table

    from edgerestore.measure.bench.results import Ratio, Result, Results

SENSOR = "sensor"


def show(results: Results) -> None:
    """Prints every table that has a row, then failures, notes and warnings."""
    to = console()
    for made in tables(results):
        to.print(made)
    for note in _notes(results):
        to.print(note)
    for warning in results.warnings:
        to.print(f"warning: {warning}", style="yellow")


def tables(results: Results) -> list[Table]:
    """All tables that have something to show."""
    from edgerestore.measure.bench.results import short_names

    short = short_names(results.bundles)
    names = {r.name: r.name for r in results.bundles} | short
    made = [
        _costs(results.bundles, names, results.bundles[0].model if short else None),
        _speed(results, names),
        _opening(results.bundles, names),
        _throughput(results.bundles, names),
        _pictures(results.bundles, names),
        _energy(results.bundles, names),
    ]
    return [fold_only(one, SENSOR) for one in made if one.row_count]


def _costs(bundles: list[Result], names: dict[str, str], model: str | None) -> Table:
    shapes = {tuple(r.input_shape) for r in bundles if r.input_shape}
    title = f"Cost of one run of {model}" if model else "Cost of one run"
    if len(shapes) == 1:
        title += f" on {'x'.join(map(str, *shapes))}"
    made = table(title, "bundle", "params", "MACs", "values", "scores", "weights", "file")
    for result in bundles:
        made.add_row(
            names[result.name],
            count(result.params),
            count(result.macs),
            count(result.activations),
            _bytes(result.attention_score_bytes),
            _bytes(result.weight_bytes),
            _bytes(result.file_bytes),
        )
    return made


def _speed(results: Results, names: dict[str, str]) -> Table:
    against = {ratio.name: ratio for ratio in results.ratios}
    per_pixel = any(ratio.per_pixel for ratio in results.ratios)
    ratio = "x per pixel, 95 %" if per_pixel else "x first, 95 %"
    made = table("One at a time", "bundle", "p50 ms", "p90 ms", "p99 ms", ratio, "MP/s")
    for result in results.bundles:
        latency = result.latency_ms
        made.add_row(
            names[result.name],
            _number(latency.p50 if latency else None),
            _number(latency.p90 if latency else None),
            _number(latency.p99 if latency else None),
            _ratio(against.get(result.name)),
            _number(result.megapixels_per_s),
        )
    return made


def _opening(bundles: list[Result], names: dict[str, str]) -> Table:
    from edgerestore.measure.bench.opening import Opening

    on_device = any(r.peak_device_mib is not None for r in bundles)
    planned = any(r.opening and r.opening.planned_device_mib is not None for r in bundles)
    columns = ["load ms", "compile ms", "1st ms", "MiB"]
    columns += ["GPU MiB"] * on_device + ["planned"] * planned
    made = table("Opening, and memory at its peak", "bundle", *columns)
    for result in bundles:
        if result.status == "measured":
            opening = result.opening or Opening()
            made.add_row(
                names[result.name],
                _number(result.load_ms, digits=0),
                _number(opening.compile_ms, digits=0),
                _number(result.first_ms),
                _number(result.peak_host_mib, digits=0),
                *[_number(result.peak_device_mib, digits=0)] * on_device,
                *[_number(opening.planned_device_mib, digits=0)] * planned,
            )
    return made


def _throughput(bundles: list[Result], names: dict[str, str]) -> Table:
    made = table(
        "Several under way", "bundle", "streams", "batch", "MP/s", "images/s", "x one", "MiB"
    )
    for result in bundles:
        name = names[result.name]
        for flow in result.throughput:
            if flow.megapixels_per_s is None:
                continue
            gain = flow.megapixels_per_s / (result.megapixels_per_s or flow.megapixels_per_s)
            made.add_row(
                name,
                str(flow.streams),
                str(flow.batch),
                _number(flow.megapixels_per_s),
                _number(flow.images_per_s),
                _number(gain),
                _number(flow.peak_host_mib, digits=0),
            )
            name = ""
    return made


def _pictures(bundles: list[Result], names: dict[str, str]) -> Table:
    done = [(r, r.restored) for r in bundles if r.restored and r.restored.ms]
    title = "A whole picture, from file to file"
    if done:
        first = done[0][1]
        title += f": {first.picture}, {first.width}x{first.height}"
    made = table(title, "bundle", "tiles", "ms", "network ms", "rest %", "MP/s")
    for result, picture in done:
        if picture.ms and picture.network_ms:
            made.add_row(
                names[result.name],
                str(picture.tiles),
                _number(picture.ms.p50),
                _number(picture.network_ms.p50),
                f"{100 * (1 - picture.network_ms.p50 / picture.ms.p50):.0f}",
                _number(picture.megapixels_per_s),
            )
    return made


def _energy(bundles: list[Result], names: dict[str, str]) -> Table:
    made = table("Energy, rest subtracted", "bundle", SENSOR, "rest W", "running W", "J/MP")
    made.columns[1].justify = "left"
    for result in bundles:
        name = names[result.name]
        for spent in result.energy:
            made.add_row(
                name,
                spent.sensor,
                _number(spent.idle_watts),
                _number(spent.watts),
                _number(spent.joules_per_megapixel),
            )
            name = ""
    return made


def _notes(results: Results) -> Iterable[str]:
    from edgerestore.measure.bench.further import NOT_MEASURED
    from edgerestore.measure.bench.results import not_measured
    from edgerestore.measure.bench.statistics import P90_SAMPLES, P99_SAMPLES

    bundles = results.bundles
    for result in bundles:
        if result.status != "measured":
            yield f"{result.name}: {result.status}: {result.reason}"
        yield from (f"{result.name}, {said}" for said in not_measured(result))
    latencies = [result.latency_ms for result in bundles if result.latency_ms]
    short = [
        f"p{percent} from fewer than {needed}"
        for percent, needed in ((90, P90_SAMPLES), (99, P99_SAMPLES))
        if any(latency.samples < needed for latency in latencies)
    ]
    if short:
        yield f"no {' and no '.join(short)} samples; see --samples"
    if any(ratio.low is None for ratio in results.ratios):
        yield "no interval from so few rounds: measure longer"
    if "per pixel" in results.protocol:
        yield str(results.protocol["per pixel"])
    energy = str(results.protocol.get("energy", ""))
    if energy.startswith(NOT_MEASURED):
        yield f"energy was {energy}"
    missing = _not_counted(bundles)
    if missing:
        yield f"MACs do not count: {missing}"


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits if abs(value) < 1000 else 0}f}"


def _bytes(value: int | None) -> str:
    return "-" if value is None else f"{count(value)}B"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}"
    return f"{ratio.median:.2f}, {ratio.low:.2f}-{ratio.high:.2f}"


def _not_counted(bundles: list[Result]) -> str:
    most: dict[str, int] = {}
    for result in bundles:
        for operator, times in result.macs_not_counted.items():
            most[operator] = max(times, most.get(operator, 0))
    return ", ".join(f"{operator} ({times})" for operator, times in sorted(most.items()))
