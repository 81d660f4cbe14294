"""Whether a bundle computes on this machine what it computed where it was built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerestore.backends.base import session_on
from edgerestore.bundle import Manifest, probe_psnr_db, read_bundle
from edgerestore.errors import CheckFailedError
from edgerestore.measure.bench.judging import UNPROVEN_FLOOR_DB
from edgerestore.measure.bench.machine import cpu


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer for one bundle."""

    bundle: str
    name: str
    status: str
    """``verified``, or why parity could not be measured."""
    psnr_db: float | None
    """Probe output against the FP32 network's, peak 1."""
    floor_db: float | None


def check_bundle(path: Path, threads: int = 0) -> Checked:
    """Verifies hashes and schema, then runs the probe in this machine's runtime.

    Raises BundleError for damage, CheckFailedError where the output is too far from the FP32
    network's or the INT8 is not for this CPU, MissingPartError where the runtime or its device is
    absent. The floor of a bundle that nobody has executed yet comes from its emulation, as in
    the worst case a device computes something else without a word.
    """
    bundle = read_bundle(path)
    manifest = bundle.manifest
    if _cuts_sums(manifest):
        raise CheckFailedError(
            f"{path}: was built for CPUs with VNNI; this one has none, and cuts off large sums of "
            f"INT8 products without a word: build it anew for {manifest.target.name}"
        )
    given, expected = bundle.probe()
    with session_on(bundle, threads) as session:
        output = session.run(given)
    if not np.isfinite(output).all():
        raise CheckFailedError(
            f"{path}: its output here holds NaN or infinity; do not use it on this machine"
        )
    psnr = probe_psnr_db(output, expected)
    floor = manifest.parity.floor_db
    least = UNPROVEN_FLOOR_DB if floor is None else floor
    if psnr < least:
        stated = "the floor of" if floor is not None else "what any bundle must reach,"
        raise CheckFailedError(
            f"{path}: its output here is {psnr:.1f} dB from the FP32 network's, below {stated} "
            f"{least:.1f} dB; do not use it on this machine"
        )
    return Checked(str(path), bundle.name, "verified", psnr, floor)


def _cuts_sums(manifest: Manifest) -> bool:
    """Whether bright pictures would come out wrong where the probe, perhaps, does not."""
    if manifest.target.device != "CPU" or not cpu.lacks_vnni(cpu.vector_units()):
        return False
    return any(
        step.name == "int8" and not step.settings.get("int16_pairs") for step in manifest.passes
    )
