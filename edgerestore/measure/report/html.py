"""Makes the report: one file, nothing fetched, nothing executed that is not ours."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from string import Template

from edgerestore.measure.bench.results import Results
from edgerestore.measure.report.conditions import conditions
from edgerestore.measure.report.differences import Difference, heat_maps
from edgerestore.measure.report.evaluations import evaluations_section
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.gates import gates_section
from edgerestore.measure.report.markup import Content, Markup, definitions, escaped, joined, tag
from edgerestore.measure.report.operators import operators_section
from edgerestore.measure.report.pictures import Picture, comparisons
from edgerestore.measure.report.sections import (
    accuracy_section,
    cost_section,
    quantity,
    speed_section,
    summary,
)
from edgerestore.measure.report.verdicts import BundleAccuracy, Verdicts, sessions_of

NOTHING = Further()
UNITS = {"macs": "MACs", "params": "parameters", "psnr_y_db": "PSNR-Y dB"}


def report_html(
    *,
    title: str,
    model: Mapping[str, object] | None = None,
    bench: Results | Sequence[Results] | None = None,
    accuracy: Sequence[BundleAccuracy] | None = None,
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    further: Further = NOTHING,
) -> str:
    """The whole page, which needs nothing beside it.

    ``model`` holds the facts under the title, in order. ``accuracy`` precedes what ``bench``
    carries of the bundles that it names. What is None or empty has no section. A bundle that
    is unverified or below its accuracy gate appears without latency, whatever ``bench`` says.
    The page needs no network, refuses to use one (its policy allows only its own script and
    style) and shows all text as text.
    """
    verdicts = Verdicts(sessions_of(bench), accuracy or [])
    sections: list[tuple[str, str, Markup | None]] = [
        ("summary", "In short", summary(verdicts)),
        ("pictures", "Pictures", _pictures(pictures, further.differences)),
        ("accuracy", "Accuracy", accuracy_section(verdicts)),
        ("evaluation", "Evaluation", evaluations_section(further.evaluations)),
        ("speed", "Speed", speed_section(verdicts)),
        ("operators", "Operators", operators_section(further.profiles, further.rooflines)),
        ("size", "Size", cost_section(verdicts)),
        ("gate", "Gate", gates_section(further.verdicts)),
        ("conditions", "Conditions", conditions(verdicts, notes)),
    ]
    present = [(key, name, body) for key, name, body in sections if body]
    style, script = _asset("report.css"), _asset("report.js")
    return Template(_asset("page.html")).substitute(
        title=escaped(title),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        facts=definitions(_facts(model or {}), "key") if model else "",
        contents=joined(tag("a", name, href=f"#{key}") for key, name, _ in present),
        sections=joined(_section(key, name, body) for key, name, body in present),
    )


def _pictures(pictures: Sequence[Picture], differences: Sequence[Difference]) -> Markup | None:
    if not pictures and not differences:
        return None
    heading = tag("h3", "Where they differ") if differences else ""
    return joined([comparisons(pictures), heading, heat_maps(differences)])


def _section(key: str, name: str, body: Markup) -> Markup:
    heading = tag("h2", name, id=f"{key}-heading")
    return tag(
        "section",
        heading,
        tag("div", body, class_="body"),
        id=key,
        aria_labelledby=f"{key}-heading",
    )


def _facts(model: Mapping[str, object]) -> list[tuple[Content, Content]]:
    return [
        (UNITS.get(key, key.replace("_", " ")), _fact(value))
        for key, value in model.items()
        if value is not None
    ]


def _fact(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return quantity(value) if abs(value) >= 10_000 else f"{value:g}"
    return str(value)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    folder = importlib.resources.files("edgerestore.measure.report") / "assets"
    return (folder / name).read_text(encoding="utf-8")
