"""The report's sections, each from verdicts to markup; None where there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgerestore.measure.bench.results import Ratio, Result, Results
from edgerestore.measure.report.drops import Drops, drop_figure, image_tables, worst_images
from edgerestore.measure.report.figures import latency_figure, ratio_figure
from edgerestore.measure.report.markup import (
    NONE,
    Content,
    Markup,
    breakable,
    decimal,
    joined,
    table,
    tag,
)
from edgerestore.measure.report.plane import plane_figure
from edgerestore.measure.report.settings import settings_tables
from edgerestore.measure.report.times import time_tables
from edgerestore.measure.report.verdicts import (
    UNSEEN_DB,
    BundleAccuracy,
    Standing,
    Verdicts,
    by_data,
    readable_time,
    shared_protocol,
    signed,
)
from edgerestore.measure.report.work import per_pixel


def summary(verdicts: Verdicts) -> Markup | None:
    """Findings in sentences, and one line per bundle, session by session."""
    parts: list[Content] = []
    for session in verdicts.sessions:
        parts.append(_heading(verdicts, session))
        parts.append(_listed(verdicts.findings_of(session)))
        against = "Against first" + (", per pixel" if per_pixel(session) else "")
        head = ("Bundle", "Status", "Mean dB lost", "Worst dB lost", "Median ms", against)
        rows = (_summary_row(verdicts, session, result) for result in session.bundles)
        parts.append(table("Bundles at a glance", head, rows))
    further = verdicts.further_findings()
    if further:
        parts.append(_listed(further))
    return joined(parts) if parts else None


def accuracy_section(verdicts: Verdicts) -> Markup | None:
    """Per image, FP32 against every bundle, worst image first, session by session."""
    parts: list[Content] = []
    for session in verdicts.sessions:
        groups = by_data(verdicts.accuracies(session))
        if groups:
            parts.append(_heading(verdicts, session))
        parts += [_accuracy_group(verdicts, group) for group in groups]
    parts += [_accuracy_group(verdicts, group) for group in by_data(verdicts.untimed())]
    return joined(parts) if parts else None


def speed_section(verdicts: Verdicts) -> Markup | None:
    """Ratios, distributions and the table of times, session by session."""
    if not verdicts.sessions:
        return None
    return joined(_speed(verdicts, session) for session in verdicts.sessions)


def cost_section(verdicts: Verdicts) -> Markup | None:
    """What each bundle costs before it runs, session by session."""
    head = ("Bundle", "Parameters", "MACs", "Values written", "Attention scores", "Weights", "File")
    parts: list[Content] = []
    for session in verdicts.sessions:
        if session.bundles:
            rows = map(_cost_row, session.bundles)
            parts.append(_heading(verdicts, session))
            parts.append(table("Cost of one run, counted on the graph", head, rows))
    missing = sorted(
        {op for s in verdicts.sessions for r in s.bundles for op in r.macs_not_counted}
    )
    if missing:
        parts.append(tag("p", f"MACs do not count: {', '.join(missing)}.", class_="note"))
    return joined(parts) if parts else None


def pill(standing: Standing) -> Markup:
    """A status as shape, colour and word."""
    return tag("span", standing.word, class_=f"pill {standing.kind}")


def _heading(verdicts: Verdicts, session: Results) -> Content:
    """Nothing where one session is all."""
    return tag("h3", verdicts.heading(session)) if len(verdicts.sessions) > 1 else None


def _listed(findings: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", finding) for finding in findings), class_="findings")


def _summary_row(verdicts: Verdicts, session: Results, result: Result) -> list[Content]:
    accuracy, latency = verdicts.accuracy_of(result), verdicts.latency(result)
    ratios = {ratio.name: ratio for ratio in verdicts.ratios(session)}
    emulated = verdicts.emulated(result)
    return [
        breakable(verdicts.label(result.name)),
        pill(verdicts.standing(result)),
        _lost(accuracy.mean_drop_db, emulated) if accuracy else NONE,
        _lost(accuracy.worst_drop_db, emulated) if accuracy else NONE,
        decimal(latency.p50) if latency else NONE,
        _ratio(ratios.get(result.name)),
    ]


def _accuracy_group(verdicts: Verdicts, group: Sequence[BundleAccuracy]) -> Markup:
    series = [(verdicts.label(item.bundle), _drops(item)) for item in group]
    fp32 = {i.name: i.fp32_psnr_y_db for item in group for i in item.accuracy.images}
    head = ["Image", "FP32 network", *(breakable(label) for label, _ in series)]
    rows = [_accuracy_row(name, fp32[name], group) for name in worst_images(series)]
    protocol, own = shared_protocol(group)
    totals = list(_totals(group))
    if any(own):
        totals.append([tag("b", "Measured in"), "", *(tag("i", how) for how in own)])
    return joined(
        [
            tag("p", f"PSNR of luma in dB, and what was lost of it. {protocol}", class_="note"),
            drop_figure(series),
            image_tables(f"Accuracy on {group[0].accuracy.data}", head, rows, totals),
        ]
    )


def _drops(item: BundleAccuracy) -> Drops:
    return {i.name: i.drop_db for i in item.accuracy.images}


def _totals(group: Sequence[BundleAccuracy]) -> Iterable[list[Content]]:
    for name, drop, allowed in (
        ("Mean lost", "mean_drop_db", "allowed_mean_drop_db"),
        ("Worst lost", "worst_drop_db", "allowed_worst_drop_db"),
    ):
        cells: list[Content] = [tag("b", name), ""]
        for item in group:
            lost, limit = getattr(item.accuracy, drop), getattr(item.accuracy, allowed)
            kept = "" if lost <= limit else " missed"
            cells.append(
                joined(
                    [
                        tag("b", signed(lost), class_=f"total{kept}"),
                        " ",
                        tag("span", f"of {limit:.2g}", class_="delta"),
                    ]
                )
            )
        yield cells


def _accuracy_row(name: str, fp32: float, group: Sequence[BundleAccuracy]) -> list[Content]:
    cells: list[Content] = [breakable(name), decimal(fp32)]
    for item in group:
        scores = {image.name: image for image in item.accuracy.images}
        if name not in scores:
            cells.append(NONE)
            continue
        score = scores[name]
        drop = score.drop_db
        worst = drop >= item.accuracy.worst_drop_db - 1e-9 and drop > UNSEEN_DB
        delta = tag("span", signed(-drop), class_="delta worst" if worst else "delta")
        cells.append(joined([decimal(score.psnr_y_db), " ", delta]))
    return cells


def _speed(verdicts: Verdicts, session: Results) -> Markup:
    where = session.environment
    figures = (
        ratio_figure(verdicts, session),
        plane_figure(verdicts, session),
        latency_figure(verdicts, session),
    )
    place = f"{where.cpu}, {where.cores} cores, {readable_time(where.taken_at)}"
    return joined(
        [
            _heading(verdicts, session),
            tag("p", place, class_="note"),
            *(tag("p", f"Caution: {warning}.", class_="caution") for warning in session.warnings),
            *(figure for figure in figures if figure),
            time_tables(verdicts, session),
            settings_tables(verdicts, session),
        ]
    )


def _cost_row(result: Result) -> list[Content]:
    return [
        breakable(result.name),
        quantity(result.params),
        quantity(result.macs),
        quantity(result.activations),
        _size(result.attention_score_bytes),
        _size(result.weight_bytes),
        _size(result.file_bytes),
    ]


def _lost(drop_db: float, emulated: bool) -> Content:
    note = tag("span", "emulated", class_="delta") if emulated else ""
    return joined([signed(drop_db), " ", note])


def _ratio(ratio: Ratio | None) -> Content:
    if ratio is None:
        return NONE
    median = f"{ratio.median:.2f}\N{MULTIPLICATION SIGN}"
    if ratio.low is None or ratio.high is None:
        return median
    interval = tag("span", f"{ratio.low:.2f}{NONE}{ratio.high:.2f}", class_="delta")
    return joined([median, " ", interval])


def quantity(value: float | None) -> str:
    """A count with three digits and a unit prefix."""
    if value is None:
        return NONE
    for unit in ("", " k", " M", " G"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g} T"


def _size(value: int | None) -> str:
    if value is None:
        return NONE
    text = quantity(value)
    return f"{text}B" if " " in text else f"{text} B"
