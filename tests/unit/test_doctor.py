from __future__ import annotations

import importlib.metadata
import platform

import pytest

from edgerestore.backends import BACKENDS, find_backend
from edgerestore.doctor import HOST_PARTS, examine
from edgerestore.measure.bench.machine import cpu


def test_every_part_has_one_line_and_what_is_missing_has_a_cure() -> None:
    findings = examine()
    assert [f.part for f in findings] == [
        "python",
        "cpu",
        *(f"{name} backend" for name in BACKENDS),
        *(["openvino on NPU"] if find_backend("openvino").why_not() is None else []),
        *HOST_PARTS,
    ]
    for finding in findings:
        assert finding.found
        assert "\n" not in f"{finding.found}{finding.cure}"
        assert finding.ready == (finding.cure is None)


def test_what_is_found_is_what_is_installed() -> None:
    found = {finding.part: finding for finding in examine()}
    assert found["python"].found.startswith(platform.python_version())
    for part in HOST_PARTS:
        try:
            assert found[part].found == importlib.metadata.version(part)
        except importlib.metadata.PackageNotFoundError:
            assert found[part].found == "not installed"
    for name in BACKENDS:
        assert found[f"{name} backend"].cure == find_backend(name).why_not()


def test_absent_package_is_told_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(HOST_PARTS, "no-such-package", "pip install 'edgerestore[host]'")
    last = examine()[-1]
    assert (last.part, last.found, last.ready) == ("no-such-package", "not installed", False)
    assert last.cure == "pip install 'edgerestore[host]'"


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (["INT8 at full rate", "INT8 by AVX2"], "INT8 at full rate, INT8 by AVX2"),
        (["INT8 by AVX2"], f"INT8 by AVX2; {cpu.WITHOUT_VNNI}"),
        ([], "units unknown"),
    ],
)
def test_cpu_is_told_by_what_pays_on_it(
    units: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "vector_units", lambda: units)
    finding = examine()[1]
    assert finding.found.endswith(f"cores; {told}")
    assert finding.ready
