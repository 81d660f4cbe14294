from __future__ import annotations

from pathlib import Path

import pytest

from edgerestore.measure.bench.machine import cpu

CORE = "processor\t: 0\nmodel name\t: Xeon: big\n"
UNITS = "flags\t\t: fpu avx2 avx512_vnni avx512_bf16 amx_int8\n"
CPUINFO = {
    "a server with everything": (
        CORE + UNITS + CORE + "flags\t\t: fpu\n",
        "Xeon: big",
        ["BF16", "INT8 at full rate", "INT8 by AMX", "INT8 by AVX2"],
    ),
    "a board without flags": (
        "processor\t: 0\nFeatures\t: fp asimd\n\nHardware\t: BCM2835\n",
        "BCM2835",
        [],
    ),
    "an old machine": ("model name\t: Opteron\nflags\t\t: fpu sse2\n", "Opteron", []),
}


@pytest.mark.parametrize("case", CPUINFO)
def test_a_cpu_tells_its_name_and_what_pays_on_it(case: str, tmp_path: Path) -> None:
    said, name, units = CPUINFO[case]
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(said)
    assert cpu.name(tmp_path) == name
    assert cpu.vector_units(tmp_path) == units


def test_a_system_without_cpuinfo_still_names_something(tmp_path: Path) -> None:
    assert cpu.name(tmp_path)
    assert cpu.vector_units(tmp_path) == []
