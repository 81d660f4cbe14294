from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgerestore.cli import main
from edgerestore.errors import InputError
from edgerestore.measure.bench.comparable import check_comparable, differences
from edgerestore.measure.bench.environment import Environment, Watch
from edgerestore.measure.bench.results import Results, write_results


@pytest.fixture(scope="module")
def here() -> Environment:
    seen = Watch().finish(0.0)
    return msgspec.structs.replace(seen, governor="performance", power_mode=None)


def other(here: Environment, **changes: object) -> Environment:
    return msgspec.structs.replace(here, **changes)


def test_load_and_time_make_no_difference(here: Environment) -> None:
    later = other(here, taken_at="2030-01-01T00:00:00+00:00", load_average_begin=9.0, clock_mhz=1.0)
    assert differences(here, later) == []
    check_comparable([("a.json", here), ("b.json", later)], across=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"governor": "powersave"}, "governor: performance, powersave"),
        ({"cpu_units": ["INT8 by AVX2"]}, "CPU's units: unknown, INT8 by AVX2"),
        ({"power_mode": "15W (0)"}, "power mode: unknown, 15W (0)"),
        ({"container_cores": 1.5}, "container's cores: "),
        ({"clock_limits_mhz": (400.0, 800.0)}, "clock limits: unknown, 400 to 800 MHz"),
        ({"drivers": {"nvidia": "550.1"}}, "driver nvidia: none, 550.1"),
    ],
)
def test_what_makes_a_machine_faster_makes_a_difference(
    here: Environment, changes: dict[str, object], said: str
) -> None:
    base = other(here, drivers={}, cpu_units=[], clock_limits_mhz=None, container_cores=None)
    (found,) = differences(base, other(base, **changes))
    assert found.startswith(said)


def test_another_version_of_ours_makes_none_but_of_a_runtime_does(here: Environment) -> None:
    assert differences(here, other(here, versions=here.versions | {"edgerestore": "9"})) == []
    one = other(here, versions={"openvino": "2026.4"})
    assert differences(one, other(one, versions={"openvino": "2026.5", "onnxruntime": "1.31"})) == [
        "openvino: 2026.4, 2026.5",
        "onnxruntime: none, 1.31",
    ]


def test_results_of_two_machines_are_refused_by_name(here: Environment) -> None:
    taken = [("a.json", here), ("b.json", here), ("c.json", other(here, cpu="Z80"))]
    with pytest.raises(InputError, match=r"c\.json was not measured .* of a\.json .*CPU: .*Z80"):
        check_comparable(taken, across=False)
    check_comparable(taken, across=True)


def test_a_report_of_two_machines_needs_to_be_asked_for(
    here: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, environment in (("a.json", here), ("b.json", other(here, cpu="Z80"))):
        results = Results(bundles=[], environment=environment, ratios=[], protocol={}, warnings=[])
        write_results(tmp_path / name, results)
    command = ["report", *(str(tmp_path / f"{n}.json") for n in "ab"), f"--out={tmp_path / 'r'}"]
    assert main(command) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Z80" in said
    assert not (tmp_path / "r").exists()
    assert main([*command, "--across"]) == 0
    assert (tmp_path / "r").exists()
