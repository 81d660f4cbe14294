from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.errors import InputError, MissingPartError
from edgerestore.measure.bench.harness import Candidate, Plan, measure
from edgerestore.measure.bench.process import WorkerProcess
from edgerestore.measure.bench.protocol import Open

Script = Callable[[str, str], Candidate]

QUICK = Plan(seconds=None, samples=16, turn_seconds=0.01, warm_up_seconds=0.0, warm_up_runs=1)


def test_gives_exactly_the_samples_asked_for_in_rounds(script: Script, steady: str) -> None:
    seen = measure([script("a", steady), script("b", steady)], QUICK)
    assert [m.status for m in seen] == ["measured", "measured"]
    assert [m.samples for m in seen] == [16, 16]
    assert len(seen[0].turns_ns) == len(seen[1].turns_ns) >= 8
    assert all(ns > 0 for turn in seen[0].turns_ns for ns in turn)


def test_a_time_limit_alone_ends_the_measurement(script: Script, steady: str) -> None:
    plan = Plan(seconds=0.01, turn_seconds=0.001, warm_up_seconds=0.0, warm_up_runs=1)
    (seen,) = measure([script("a", steady)], plan)
    assert seen.samples >= 1


def test_progress_grows_to_one(script: Script, steady: str) -> None:
    heard: list[float] = []
    measure([script("a", steady)], QUICK, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_candidate_that_fails_parity_is_never_timed(script: Script, steady: str) -> None:
    wrong = """
        from edgerestore.measure.bench.worker import Ready, serve
        from edgerestore.errors import CheckFailedError
        def check(output):
            raise CheckFailedError("wrong picture")
        serve(lambda: Ready(run=lambda: 1, output_pixels=1, runtime="python", check=check))
    """
    bad, good = measure([script("bad", wrong), script("good", steady)], QUICK)
    assert (bad.status, bad.reason, bad.samples) == ("failed parity", "wrong picture", 0)
    assert bad.opened is None
    assert good.samples == 16


def test_an_absent_part_is_told_from_a_failure(script: Script) -> None:
    absent = """
        from edgerestore.measure.bench.worker import serve
        from edgerestore.errors import MissingPartError
        def prepare():
            raise MissingPartError("no GPU")
        serve(lambda: None, prepare)
    """
    (seen,) = measure([script("absent", absent)], QUICK)
    assert (seen.status, seen.reason) == ("not executable here", "no GPU")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit('no such thing')", "exited with 1: no such thing"),
        ("import os; os.abort()", "ended by signal 6"),
        ("print('hello')", "not of the protocol"),
        ("import time; time.sleep(60)", "no answer for 1 s"),
    ],
    ids=["exits", "crashes", "babbles", "hangs"],
)
def test_a_broken_worker_is_a_result_not_a_crash(script: Script, body: str, reason: str) -> None:
    plan = Plan(samples=1, reply_timeout_s=5.0 if "sleep" not in body else 1.0)
    (seen,) = measure([script("broken", body)], plan)
    assert seen.status == "failed"
    assert reason in (seen.reason or "")


def test_one_that_dies_half_way_leaves_no_samples(script: Script, steady: str) -> None:
    dies = """
        import itertools, os
        from edgerestore.measure.bench.worker import Ready, serve
        count = itertools.count()
        def run():
            if next(count) > 8:
                os._exit(7)
        serve(lambda: Ready(run=run, output_pixels=1, runtime="python"))
    """
    dead, alive = measure([script("dies", dies), script("lives", steady)], QUICK)
    assert (dead.status, dead.samples) == ("failed", 0)
    assert "exited with 7" in (dead.reason or "")
    assert alive.samples == 16


def test_what_a_runtime_prints_does_not_disturb_the_protocol(script: Script) -> None:
    noisy = """
        import os
        from edgerestore.measure.bench.worker import Ready, serve
        def run():
            print("from Python")
            os.write(1, b"from native code")
        serve(lambda: Ready(run=run, output_pixels=1, runtime="python"))
    """
    (seen,) = measure([script("noisy", noisy)], QUICK)
    assert seen.status == "measured"


def test_an_interruption_ends_all_workers(script: Script, steady: str, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    tells = f"""
        import os, pathlib
        pathlib.Path({str(noted)!r}).write_text(str(os.getpid()))
    """
    candidate = script("a", tells + steady)

    def interrupt(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure([candidate], QUICK, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


def test_a_second_that_cannot_start_ends_the_first(script: Script, steady: str) -> None:
    with pytest.raises(MissingPartError, match="cannot start"):
        measure([script("a", steady), Candidate("b", ("/no/such/program",))], QUICK)


def test_a_dead_worker_answers_with_a_refusal(script: Script, steady: str) -> None:
    worker = WorkerProcess(script("a", steady).command, 5.0)
    worker.kill()
    worker.kill()
    assert worker.ask(Open()).reason == "the worker has ended"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": None},
        {"seconds": 0.0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"samples": 0},
    ],
)
def test_a_plan_without_a_usable_limit_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Plan(**limits)  # type: ignore[arg-type]
