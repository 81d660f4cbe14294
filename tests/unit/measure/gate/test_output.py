from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgerestore.errors import InputError
from edgerestore.measure.gate.facts import Fact
from edgerestore.measure.gate.latency import Latency
from edgerestore.measure.gate.output import append_history, github_annotations, junit, markdown
from edgerestore.measure.gate.verdict import Verdict
from edgerestore.measure.gate.words import headline, latency_words, more_words

Timed = Callable[..., Latency]
Concluded = Callable[..., Verdict]

WORSE = Fact(check="macs", answer="regressed", said="2 against 1: +100.00%", change=1.0)
BETTER = Fact(check="weight bytes", answer="improved", said="1 against 2: -50.00%", change=-0.5)
UNKNOWN = Fact(check="accuracy mean", answer="not compared", said="no data", reason="no data")
SAME = Fact(check="operators", answer="same", said="no difference", change={})


@pytest.mark.parametrize(
    ("answer", "facts", "overall", "code"),
    [
        ("pass", [SAME, UNKNOWN], "pass", 0),
        ("improved", [BETTER], "improved", 0),
        ("pass", [BETTER], "pass", 0),
        ("pass", [WORSE], "regressed", 1),
        ("inconclusive", [WORSE], "regressed", 1),
        ("regressed", [SAME], "regressed", 1),
        ("inconclusive", [SAME], "inconclusive", 2),
        (None, [SAME], "pass", 0),
    ],
)
def test_the_whole_answer_and_its_exit_code(
    timed: Timed, concluded: Concluded, answer, facts, overall, code
) -> None:
    verdict = concluded(timed(answer) if answer else None, *facts)
    assert (verdict.answer, verdict.exit_code) == (overall, code)
    assert headline(verdict).startswith(f"{overall}: bundles/new against main:bundles/old")


def test_words_say_ratio_interval_threshold_and_what_it_rests_on(timed: Timed) -> None:
    words = latency_words(timed("regressed", ratio=1.052, low=1.021, high=1.084))
    for part in ("1.052 times", "1.021 to 1.084", "99%", "3 % that matter", "7 pairs"):
        assert part in words
    assert "surely slower, and likely by more than the 3 %" in words
    assert more_words(timed("regressed")) is None


def test_words_say_what_would_decide(timed: Timed) -> None:
    more = more_words(timed("inconclusive", more_pairs=9, more_seconds=40.0))
    assert "9 more pairs" in more
    assert "--seconds 81" in more
    assert "too few" not in more
    assert "no reasonable time" in more_words(timed("inconclusive"))
    assert "4 are needed" in more_words(timed("inconclusive", pairs=2, low=None, high=None))


def test_an_accepted_ratio_is_named(timed: Timed) -> None:
    assert "than the accepted 1.100" in latency_words(timed("pass", expected=1.1))


def test_latency_is_explained_as_facts_are(timed: Timed, concluded: Concluded) -> None:
    assert latency_words(timed("improved")).endswith("; unexplained until it is accepted")
    accepted = timed("pass", expected=1.1, reason="a wider tail")
    assert latency_words(accepted).endswith("31 s) (a wider tail)")
    verdict = concluded(accepted, SAME)
    assert all("(a wider tail)" in text for text in (markdown(verdict), junit(verdict).decode()))


def test_junit_is_xml_with_one_case_for_each_check(timed: Timed, concluded: Concluded) -> None:
    suite = ET.fromstring(junit(concluded(timed("inconclusive"), WORSE, BETTER, UNKNOWN)))
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "4", "1")
    assert (suite.get("errors"), suite.get("skipped")) == ("1", "1")
    kinds = {case.get("name"): case[0].tag for case in suite}
    assert kinds == {
        "latency": "error",
        "macs": "failure",
        "weight bytes": "system-out",
        "accuracy mean": "skipped",
    }
    assert "unexplained" in suite.find("testcase[@name='weight bytes']/system-out").text


def test_junit_and_markdown_stand_hostile_names(timed: Timed, concluded: Concluded) -> None:
    hostile = 'a"]]>&\x00\x1b[31m<script>|\n|x\ud800'.encode("utf-8", "replace").decode()
    said = Fact(check="operators", answer="regressed", said=hostile)
    verdict = concluded(timed(), said, name=hostile)
    assert ET.fromstring(junit(verdict)).get("tests") == "2"
    row = next(x for x in markdown(verdict).splitlines() if x.startswith("| operators"))
    assert "<script>" not in row
    assert row.replace("\\|", "").count("|") == 3


def test_annotations_are_one_escaped_line_each(timed: Timed, concluded: Concluded) -> None:
    said = Fact(check="operators", answer="regressed", said="50 %\n::error::forged")
    lines = github_annotations(concluded(timed("inconclusive"), said, BETTER, SAME, name="a,b:c"))
    assert [line.split(" ", 1)[0] for line in lines] == ["::warning", "::error", "::warning"]
    assert lines[1].startswith("::error title=a%2Cb%3Ac%3A operators::regressed: 50 %25%0A::error")
    assert not any("\n" in line for line in lines)


def test_a_faster_candidate_is_not_warned_of(timed: Timed, concluded: Concluded) -> None:
    assert github_annotations(concluded(timed("improved"), SAME)) == []


def test_history_grows_by_whole_lines(timed: Timed, concluded: Concluded, tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    verdict = concluded(timed(), SAME)
    threads = [threading.Thread(target=append_history, args=(path, verdict)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 8
    assert {json.loads(line)["answer"] for line in lines} == {"pass"}
    assert msgspec.json.decode(lines[0], type=Verdict) == verdict


def test_a_history_from_before_revisions_is_read(concluded: Concluded) -> None:
    verdict = concluded(None, SAME)
    document = msgspec.to_builtins(verdict)
    for side in ("candidate", "baseline"):
        del document[side]["revision"]
    assert msgspec.convert(document, Verdict) == verdict


def test_a_torn_history_is_mended_not_continued(concluded: Concluded, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"answer": "pa')
    append_history(path, concluded(None, SAME))
    torn, whole = path.read_text().splitlines()
    assert torn == '{"answer": "pa'
    assert json.loads(whole)["answer"] == "pass"


def test_a_history_that_cannot_be_written_is_one_line(concluded: Concluded, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        append_history(tmp_path, concluded(None, SAME))
