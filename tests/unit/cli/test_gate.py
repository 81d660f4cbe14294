from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Costs, read_bundle
from edgerestore.cli import main
from edgerestore.cli.gate import fraction_of
from edgerestore.errors import InputError

pytest.importorskip("onnxruntime")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _outside_of_github(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_a_bundle_against_itself_in_seconds(
    doubling_bundle: Callable[..., Path], edgerestore: Command, tmp_path: Path
) -> None:
    bundle = doubling_bundle()
    files = [tmp_path / name for name in ("j.xml", "m.md", "h.jsonl")]
    options = zip(("--junit", "--markdown", "--history"), files, strict=True)
    done = edgerestore(
        "gate", bundle, bundle, "--seconds", "3", "--threads", "1", "--json",
        *[word for pair in options for word in pair],
    )  # fmt: skip
    verdict = json.loads(done.stdout)
    timed = verdict["latency"]
    assert done.stderr == ""
    assert (
        done.returncode
        == {"pass": 0, "improved": 0, "regressed": 1, "inconclusive": 2}[verdict["answer"]]
    )
    assert timed["pairs"] == len(timed["estimates"]) >= 1
    assert timed["ratio"] > 0
    assert timed["samples"] > 0
    assert timed["answer"] == verdict["answer"]
    assert (timed["low"] is None) == (timed["pairs"] < 5)
    assert {fact["answer"] for fact in verdict["facts"]} <= {"same", "not compared"}
    assert ET.parse(files[0]).getroot().get("tests") == "8"
    assert files[1].read_text().startswith("### edgerestore gate")
    assert json.loads(files[2].read_text()) == verdict


def test_facts_alone_decide_where_asked(doubling_bundle: Callable[..., Path], capsys) -> None:
    bundle = str(doubling_bundle())
    assert main(["gate", bundle, bundle, "--facts-only"]) == 0
    assert "pass: " in capsys.readouterr().out


def test_a_verdict_names_the_commits(
    doubling_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "f00d")
    bundle = str(doubling_bundle())
    assert main(["gate", bundle, bundle, "--facts-only", "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert [verdict[side]["revision"] for side in ("candidate", "baseline")] == ["f00d"] * 2


def test_github_gets_annotations_and_a_summary(
    doubling_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    summary, more = tmp_path / "summary.md", doubling_bundle("fp16", error=0.0, costs=costs(2))
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    plain = doubling_bundle(costs=costs(1))
    assert main(["gate", str(more), str(plain), "--facts-only"]) == 1
    assert "::error title=double-fp16-cpu%3A macs::regressed" in capsys.readouterr().err
    assert summary.read_text().startswith("before\n### edgerestore gate: regressed")


def costs(macs: int) -> Costs:
    return Costs(
        params=0, macs=macs, activations=0, attention_score_bytes=0, not_counted={}, operators={}
    )


@pytest.mark.parametrize(
    ("spoilt", "check", "says", "untimed"),
    [
        ({"error": 0.5}, "parity", "the probe gives", "output is wrong"),
        ({"mode": "sharpest"}, "execution", "onnxruntime failed opening", "the candidate fails"),
    ],
)
def test_a_candidate_that_fails_or_is_wrong_has_regressed_in_every_file(
    doubling_bundle: Callable[..., Path], tmp_path: Path, capsys, spoilt, check, says, untimed
) -> None:
    wrong, right = doubling_bundle("fp16", **spoilt), doubling_bundle("fp32")
    files = [tmp_path / name for name in ("j.xml", "m.md", "h.jsonl")]
    options = zip(("--junit", "--markdown", "--history"), map(str, files), strict=True)
    written = [word for pair in options for word in pair]
    assert main(["gate", str(wrong), str(right), "--seconds", "1", *written]) == 1
    captured = capsys.readouterr()
    assert (captured.err, "regressed: candidate double-fp16-cpu" in captured.out) == ("", True)
    cases = {case.get("name"): case for case in ET.parse(files[0]).getroot()}
    said = cases[check].find("failure").get("message")
    assert said.startswith(f"regressed: candidate double-fp16-cpu: {says}")
    assert untimed in cases["latency"].find("skipped").get("message")
    assert said in files[1].read_text()
    assert json.loads(files[2].read_text())["answer"] == "regressed"


@pytest.mark.parametrize("spoilt", [{"error": 0.5}, {"mode": "sharpest"}])
def test_a_baseline_that_fails_or_is_wrong_is_an_error(
    doubling_bundle: Callable[..., Path], tmp_path: Path, capsys, spoilt
) -> None:
    wrong, right = doubling_bundle("fp16", **spoilt), doubling_bundle("fp32")
    path = tmp_path / "j.xml"
    assert main(["gate", str(right), str(wrong), "--seconds", "1", "--junit", str(path)]) == 3
    assert "baseline double-fp16-cpu" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "nowhere"], "nowhere: not a bundle"),
        (["HEAD:nowhere", "nowhere"], "HEAD:nowhere: git has no such folder"),
        (["a", "b", "--threshold", "-3%"], "--threshold -3%"),
        (["a", "b", "--threshold", "3%%"], "--threshold 3%%"),
        (["a", "b", "--threshold", "nan"], "--threshold nan"),
        (["a", "b", "--seconds", "0"], "--seconds"),
        (["a"], "'baseline'"),
    ],
)
def test_bad_input_is_one_line_and_code_3(
    arguments: list[str], says: str, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["gate", *arguments]) == 3
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert says in captured.err


def test_bundles_that_do_other_work_in_a_run_are_not_compared(
    doubling_bundle: Callable[..., Path], capsys
) -> None:
    plain = doubling_bundle()
    contract = msgspec.structs.replace(read_bundle(plain).manifest.contract, tile=24)
    larger = doubling_bundle("fp16", contract=contract)
    assert main(["gate", str(larger), str(plain), "--facts-only"]) == 3
    assert "has tile 24, the baseline 16" in capsys.readouterr().err


def test_why_a_latency_was_accepted_is_said(
    doubling_bundle: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    bundle, path = str(doubling_bundle()), tmp_path / "accepted.toml"
    path.write_text('[[accept]]\ncheck = "latency"\nchange = 0.0\nreason = "none"\n')
    main(["gate", bundle, bundle, "--seconds", "1", "--accepted", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["latency"]["reason"] == "none"


def test_an_unusable_file_of_accepted_differences_is_named(
    doubling_bundle: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    bundle, path = str(doubling_bundle()), tmp_path / "accepted.toml"
    path.write_text("accept = 3")
    assert main(["gate", bundle, bundle, "--facts-only", "--accepted", str(path)]) == 3
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("3%", 0.03), ("0.03", 0.03), (" 12.5 % ", 0.125)])
def test_a_threshold_is_a_fraction_or_per_cent(text: str, value: float) -> None:
    assert fraction_of(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "%", "3", "0", "100%", "inf", "3 %x", "1e400"])
def test_another_threshold_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--threshold"):
        fraction_of(text)
