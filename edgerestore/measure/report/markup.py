"""HTML from values; what is not marked as markup is escaped, always."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

VOID = frozenset({"br", "img", "input", "wbr", "meta"})

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


Content = str | float | None

NONE = "\N{EN DASH}"
"""Stands in a table where there is no value."""


def escaped(content: Content) -> Markup:
    """Text as markup; control characters and direction overrides become U+FFFD."""
    if isinstance(content, Markup):
        return content
    text = "" if content is None else str(content)
    return Markup(html.escape(_NOT_TEXT.sub("\ufffd", text), quote=True))


def tag(name: str, *contents: Content, **attributes: Content) -> Markup:
    """One element. ``class_`` and ``for_`` lose their underscore, inner ones become hyphens.

    An attribute that is None is left out; an empty one stands alone.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + (f'="{escaped(value)}"' if value != "" else "")
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escaped(content) for content in contents)
    return Markup(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inner}</{name}>")


def decimal(value: float | None, digits: int = 2) -> str:
    """A number for a table's cell, its thousands apart."""
    if value is None:
        return NONE
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def joined(parts: Iterable[Content]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(escaped(part) for part in parts))


def breakable(name: str) -> Markup:
    """A long name that may wrap behind its hyphens, underscores and slashes."""
    pieces = re.split(r"(?<=[-_/.])", name)
    return Markup("<wbr>".join(escaped(piece) for piece in pieces))


def table(caption: str, head: Sequence[Content], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table whose first column heads its rows, in a frame that scrolls sideways if it must."""
    header = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = (
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    )
    made = tag(
        "table", tag("caption", tag("span", caption)), tag("thead", header), tag("tbody", *body)
    )
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def folded(summary: str, made: Markup) -> Markup:
    """Something that unfolds, by a click or by a key."""
    return tag("details", tag("summary", summary), made)


def behind(caption: str, head: Sequence[Content], rows: Iterable[Sequence[Content]]) -> Markup:
    """The table of a figure's values, for who cannot see it or wants them exactly."""
    return folded("The figure as a table", table(caption, head, rows))


def definitions(pairs: Iterable[tuple[Content, Content]], class_: str) -> Markup:
    """A list of terms with one value each; pairs without a value are left out."""
    items = (
        tag("div", tag("dt", term), tag("dd", value)) for term, value in pairs if value is not None
    )
    return tag("dl", *items, class_=class_)
