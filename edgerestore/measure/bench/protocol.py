"""What the harness and a worker say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal[
    "measured",
    "failed parity",
    "below accuracy gate",
    "not executable here",
    "failed",
]


class Open(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """Load the candidate, run it once and judge that first output."""


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run ``warm_up`` times unseen, then ``samples`` times under the clock."""

    warm_up: int
    samples: int


class Close(msgspec.Struct, frozen=True, kw_only=True, tag="close"):
    """Read the peaks, free everything and leave."""


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The candidate is loaded and its first output was right."""

    prepare_ms: float
    """Reading and hashing files, importing the runtime."""
    load_ms: float
    """From files in memory or on disk to a session that can run."""
    first_ms: float
    """The first inference, which later ones do not repeat the work of."""
    output_pixels: int
    runtime: str
    host_mib_before_load: float
    parity_psnr_db: float | None
    parity_floor_db: float | None


class Ran(msgspec.Struct, frozen=True, kw_only=True, tag="ran"):
    """Nanoseconds of each run, in order."""

    ns: list[int]
    network_ns: list[int] = []
    """Of each, what the network took; empty where a run is nothing else."""


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """What the process had used when it closed."""

    peak_host_mib: float
    peak_device_mib: float | None
    cpu_seconds: float
    runtime_device_mib: float | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Why there will be no timing; the worker leaves after it."""

    status: Status
    reason: str


Request = Open | Run | Close
Reply = Opened | Ran | Closed | Refused
