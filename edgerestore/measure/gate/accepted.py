"""Differences that somebody has accepted: a TOML file beside the repository's bundles.

One ``[[accept]]`` for each, with the change that is expected, how far from it is still the
same, and why::

    [[accept]]
    check = "macs"
    change = 0.021
    tolerance = 0.001
    reason = "a third convolution in the tail, 0.2 dB on Set5"

An entry moves what is expected; it does not open a side. A change that is smaller than
expected is reported like one that is larger, so that the file never keeps stale entries.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgerestore.errors import RecipeError
from edgerestore.recipe import read_toml

CheckName = Literal[
    "latency",
    "macs",
    "operators",
    "precision placement",
    "weight bytes",
    "accuracy mean",
    "accuracy worst",
]
HISTOGRAMS: tuple[CheckName, ...] = ("operators", "precision placement")
ACCURACIES: tuple[CheckName, ...] = ("accuracy mean", "accuracy worst")
NOT_COMPARED = "not compared"


class Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One accepted difference of the candidate from the baseline."""

    check: CheckName
    change: float | dict[str, int] | str
    """Relative for latency, macs and weight bytes (0.02 is 2 % more), in dB lost for
    accuracy, and a table of differences in number for operators and precision placement.
    "not compared" is for the accuracy of a candidate that was not evaluated on the images of
    its baseline."""
    tolerance: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """In the unit of ``change``; the check's own where absent."""
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    bundle: str | None = None
    """Name of the candidate that it is for; any where absent."""

    def __post_init__(self) -> None:
        number = isinstance(self.change, (int, float))
        fits, kind = number, "a number"
        if self.check in HISTOGRAMS:
            fits, kind = isinstance(self.change, dict), "a table such as { Conv = 1 }"
        elif self.check in ACCURACIES:
            fits, kind = number or self.change == NOT_COMPARED, f'a number or "{NOT_COMPARED}"'
        if not fits:
            raise ValueError(f"{self.check}: change must be {kind}")
        if self.tolerance is not None and not number:
            raise ValueError(f"{self.check}: has no tolerance; only a number has one")
        if isinstance(self.change, float) and not math.isfinite(self.change):
            raise ValueError(f"{self.check}: change must be finite")
        if self.check == "latency" and isinstance(self.change, float) and self.change <= -1:
            raise ValueError("latency: change must be above -1")
        if self.check == "latency" and self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError("latency: tolerance must be between 0 and 1 (3% is 0.03)")


class Accepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    accept: tuple[Accept, ...] = ()


def read_accepted(path: Path, bundle: str) -> dict[str, Accept]:
    """The entries for one candidate, by check. Raises RecipeError, naming the file."""
    found: dict[str, Accept] = {}
    for entry in read_toml(path, Accepted).accept:
        if entry.bundle in (None, bundle):
            if entry.check in found:
                raise RecipeError(f"{path}: two entries accept '{entry.check}' for {bundle}")
            found[entry.check] = entry
    return found
