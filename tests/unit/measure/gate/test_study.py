from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from PIL import Image

from edgerestore.measure.bench.environment import Environment, Watch
from edgerestore.measure.bench.process import WorkerProcess
from edgerestore.measure.bench.protocol import Open, Opened, Ran, Run
from edgerestore.measure.gate.pairs import Pair

BENCHMARKS = Path(__file__).parents[4] / "benchmarks"
COMMAND = BENCHMARKS / "gate_study.py"


@pytest.fixture(scope="module")
def habits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gate_habits", BENCHMARKS / "gate_habits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gate_study")


@pytest.fixture
def fingerprint() -> Environment:
    return Watch().finish(0.0)


def pair(candidate_ms: float, baseline_ms: float) -> Pair:
    turns = [[[int(1e6 * ms)] * 5] * 4 for ms in (candidate_ms, baseline_ms)]
    return Pair(*turns, opening_s=1.0, seconds=2.0)


def test_habits_see_a_slower_candidate_on_a_steady_machine(habits: ModuleType) -> None:
    slower, same = [pair(11, 10)] * 4, [pair(10, 10)] * 4
    assert [habit(slower) for habit in habits.HABITS.values()] == [True] * 3
    assert [habit(same) for habit in habits.HABITS.values()] == [False] * 3


def test_habits_take_a_slower_machine_for_a_slower_candidate(habits: ModuleType) -> None:
    changed = [pair(10, 10)] * 2 + [pair(20, 20)] * 2
    assert [habit(changed) for habit in habits.HABITS.values()] == [True] * 3
    assert [habit([pair(11, 10)]) for habit in habits.HABITS.values()] == [True] * 3


def test_a_study_that_goes_on_elsewhere_rates_each_machine_and_all(
    study: ModuleType, fingerprint: Environment
) -> None:
    other = msgspec.structs.replace(fingerprint, cpu_units=["of another kind"])
    later = msgspec.structs.replace(fingerprint, taken_at="later", load_average_end=9.0)
    machines = {"machine 1": fingerprint}
    assert study.name_of(later, machines) == "machine 1"
    assert study.name_of(other, machines) == "machine 2"
    said = dict.fromkeys(study.HABITS, False)
    one, two = (
        study.Decision(machine=name, slowdown=0.0, answer=answer, ratio=1.0, low=0.9, high=1.1,
                       pairs=5, seconds=seconds, habits=said)
        for name, answer, seconds in (("machine 1", "pass", 20.0), ("machine 2", "regressed", 40.0))
    )  # fmt: skip
    rows = study.rates_measured([one, one, one, two])
    assert [(row.machine, row.runs) for row in rows] == [
        ("all machines", 4), ("machine 1", 3), ("machine 2", 1)
    ]  # fmt: skip
    assert [row.answers.get("regressed", 0.0) for row in rows] == [0.25, 0.0, 1.0]
    assert [row.machine for row in study.rates_measured([one])] == ["machine 1"]


def test_the_study_in_the_repository_is_read(study: ModuleType) -> None:
    kept = BENCHMARKS / "results" / "gate_study.json"
    found = msgspec.json.decode(kept.read_bytes(), type=study.Study)
    assert {d.machine for d in found.decisions} == set(found.machines)


def test_a_simulated_study_writes_rates_and_a_plot(tmp_path: Path) -> None:
    out = tmp_path / "study.json"
    command = [sys.executable, COMMAND, "--simulate", "1", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(out.read_text())["rates"]
    assert len(rows) == 4 * 3
    assert all(sum(row["answers"].values()) == pytest.approx(1.0) for row in rows)
    with Image.open(out.with_suffix(".png")) as image:
        assert image.size[0] == 1000


@pytest.mark.needs_backend("onnxruntime")
def test_the_slowed_worker_is_served_as_any_other(make_bundle: Callable[..., Path]) -> None:
    command = (sys.executable, str(COMMAND), "--slowdown=0.05", "--serve", str(make_bundle()))
    worker = WorkerProcess(command, 120.0)
    try:
        assert isinstance(worker.ask(Open()), Opened)
        ran = worker.ask(Run(warm_up=1, samples=3))
    finally:
        worker.kill()
    assert isinstance(ran, Ran)
    assert len(ran.ns) == 3
