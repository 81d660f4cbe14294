"""What was measured of every candidate and what was decided, as one document."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgerestore.bundle import DropLimits, ImageScore
from edgerestore.measure.bench.environment import Environment
from edgerestore.measure.bench.profile.groups import Group
from edgerestore.measure.bench.protocol import Status
from edgerestore.measure.bench.results import LatencyMs, Ratio
from edgerestore.recipe.scalars import PrecisionName

SCHEMA = 1

Answer = Literal["decided", "undecided", "none keeps the limits"]
Keeps = Literal["yes", "no", "unsure"]
"""Whether a candidate is within the limits; what an interval straddles cannot be told."""


class Limits(DropLimits, frozen=True, kw_only=True):
    """What a candidate must keep to be recommended."""

    latency_ms: float | None = None
    """Median of one tile. With it, the most accurate that keeps it is wanted, not the fastest."""


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """PSNR-Y lost against the FP32 network, rounded to 8 bits, over a set of images."""

    mean_db: float
    low_db: float | None
    """Lower bound of the 95 % bootstrap interval of the mean; null for too few images."""
    high_db: float | None
    worst_db: float
    worst_image: str
    images: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to deploy the network; what was not measured is null, and ``reason`` says why."""

    label: str
    """Such as "INT8" or "INT8, 2 in float"; unique."""
    precision: PrecisionName
    bundle: str | None
    """Its folder; null where it could not be built."""
    float_modules: tuple[str, ...] = ()
    """Modules left in float beyond those that every INT8 bundle of the network leaves."""
    status: Status | Literal["not built"]
    reason: str | None = None
    keeps: Keeps = "no"
    on_front: bool = False
    """Whether no other is both as fast and as accurate."""
    gate_missed: str | None = None
    """How it misses the gate of 'edgerestore build'; null where it passes."""
    drop: Drop | None = None
    psnr_y_db: tuple[ImageScore, ...] = ()
    """PSNR-Y of each image, for the FP32 network and for this candidate in its runtime."""
    latency_ms: LatencyMs | None = None
    against_fp32: Ratio | None = None
    """Latency over that of FP32; null for FP32 itself."""
    peak_host_mib: float | None = None
    peak_device_mib: float | None = None
    file_bytes: int | None = None
    profile: list[Group] | None = None
    """Where its time goes, by the runtime's own profiler."""
    profile_summary: list[str] = []


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    schema: int = SCHEMA
    model: str
    target: str
    answer: Answer
    recommended: str | None
    """A candidate's label; where undecided, the safe choice."""
    rivals: tuple[str, ...]
    """That might be better, as far as the intervals tell: none where decided."""
    reasons: list[str]
    limits: Limits
    data: str
    """Name, number of images and digest of the pairs."""
    accuracy_protocol: str
    latency_protocol: dict[str, str]
    candidates: list[Candidate]
    environment: Environment
    warnings: list[str]
