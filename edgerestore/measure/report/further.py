"""What a report may show besides bench results, accuracy and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerestore.comparison import BundleResult
from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.roofline import Roofline
from edgerestore.measure.gate.verdict import Verdict
from edgerestore.measure.report.differences import Difference


@dataclass(frozen=True, slots=True)
class Further:
    """Each is left out of the page where it is empty."""

    evaluations: Sequence[BundleResult] = ()
    """Of 'edgerestore evaluate'."""
    profiles: Sequence[Profile] = ()
    """Of 'edgerestore profile'."""
    rooflines: Sequence[Roofline] = ()
    """Of 'edgerestore profile --roofline'."""
    verdicts: Sequence[Verdict] = ()
    """Of 'edgerestore gate', the oldest first."""
    differences: Sequence[Difference] = ()
    """Heat maps below the pictures."""
