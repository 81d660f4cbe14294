"""Whether what a bundle gives is right, before anything about it is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgerestore.bundle import Bundle, probe_psnr_db
from edgerestore.errors import CheckFailedError

UNPROVEN_FLOOR_DB = 30.0
"""Demanded of a bundle that nobody has executed before, so that states no floor of its own.

A wrong picture lies near 10 dB, INT8 of a trained network above 40.
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """How near the first output was to the FP32 network's."""

    psnr_db: float | None = None
    floor_db: float | None = None


class Judge:
    """A bundle's probe, and what its output must be."""

    def __init__(self, bundle: Bundle) -> None:
        self.probe, self.expected = bundle.probe()
        self._stated = bundle.manifest.parity.floor_db

    def check(self, output: Any) -> Judged:
        """Raises CheckFailedError where the output is too far from the FP32 network's."""
        psnr = probe_psnr_db(output, self.expected)
        floor = UNPROVEN_FLOOR_DB if self._stated is None else self._stated
        if psnr < floor:
            who = "the bundle demands" if self._stated is not None else "any bundle must reach"
            raise CheckFailedError(
                f"the probe gives {psnr:.2f} dB against the FP32 network, but {who} {floor:.2f} dB"
            )
        return Judged(psnr, floor)
