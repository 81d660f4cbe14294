"""What the processor is, and what it multiplies by."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgerestore.measure.bench.machine.files import ROOT, text

VNNI = "INT8 at full rate"
VECTOR_UNITS = {
    "avx2": "INT8 by AVX2",
    "avx512_vnni": VNNI,
    "avx_vnni": VNNI,
    "avx512_bf16": "BF16",
    "amx_int8": "INT8 by AMX",
    "amx_bf16": "BF16 by AMX",
}
"""Flags of ``/proc/cpuinfo`` that decide what pays on an x86 CPU."""
WITHOUT_VNNI = "this CPU has no VNNI, and multiplies in INT8 hardly faster than in FP32"


def name(root: Path = ROOT) -> str:
    """The processor as the system names it."""
    names = (said for field, said in _fields(root) if field in ("model name", "Model", "Hardware"))
    return next(names, platform.processor() or platform.machine())


def vector_units(root: Path = ROOT) -> list[str]:
    """What an x86 processor multiplies by; empty where the system does not tell."""
    flags = set(next((said for field, said in _fields(root) if field == "flags"), "").split())
    return sorted({meaning for flag, meaning in VECTOR_UNITS.items() if flag in flags})


def lacks_vnni(units: Sequence[str]) -> bool:
    """Whether INT8 runs by other instructions; not where nothing is known of the CPU."""
    return bool(units) and VNNI not in units


def _fields(root: Path) -> Iterator[tuple[str, str]]:
    for line in (text(root / "proc/cpuinfo") or "").splitlines():
        field, _, said = line.partition(":")
        yield field.strip(), said.strip()
