from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Bundle, read_bundle
from edgerestore.errors import RecipeError
from edgerestore.graphs.facts import graph_facts
from edgerestore.measure.gate.accepted import Accept, read_accepted
from edgerestore.measure.gate.facts import Fact, compare_facts

Make = Callable[..., Path]

ORDER = [
    "macs", "operators", "precision placement", "weight bytes", "accuracy mean", "accuracy worst",
    "accuracy gate",
]  # fmt: skip


def facts_of(candidate: Path, baseline: Path, accepted: dict[str, Accept]) -> dict[str, Fact]:
    found = compare_facts(read_bundle(candidate), read_bundle(baseline), accepted)
    return {fact.check: fact for fact in found}


def accept(check: str, change: object, tolerance: float | None = None) -> dict[str, Accept]:
    entry = Accept(check=check, change=change, tolerance=tolerance, reason="a wider tail")
    return {check: entry}


def test_equal_bundles_are_the_same_in_every_check(make_bundle: Make) -> None:
    a, b = read_bundle(make_bundle("a")), read_bundle(make_bundle("b"))
    facts = compare_facts(a, b, {})
    assert [fact.check for fact in facts] == ORDER
    assert {fact.answer for fact in facts} == {"same"}


@pytest.mark.parametrize(
    ("check", "worse"),
    [
        ("macs", {"macs": 1001}),
        ("operators", {"pairs": 1}),
        ("weight bytes", {"values": 2}),
        ("accuracy mean", {"psnr_db": (36.985, 32.985)}),
        ("accuracy worst", {"psnr_db": (37.0, 32.97)}),
    ],
)
def test_each_check_sees_its_own_side_of_a_change(make_bundle: Make, check, worse) -> None:
    changed, plain = make_bundle("changed", **worse), make_bundle("plain")
    forth, back = facts_of(changed, plain, {})[check], facts_of(plain, changed, {})[check]
    assert (forth.answer, forth.reason) == ("regressed", None)
    if check == "accuracy worst":
        # The image that loses most loses nothing here, which is the same.
        assert back.answer == "same"
    else:
        assert back.answer == "improved"


def test_a_candidate_below_its_own_gate_has_regressed(make_bundle: Make) -> None:
    below = make_bundle("below", drop_db=0.2)
    fact = facts_of(below, make_bundle("plain"), {})["accuracy gate"]
    assert (fact.answer, "0.20 dB" in fact.said) == ("regressed", True)


def test_rounding_of_another_runtime_is_the_same(make_bundle: Make) -> None:
    found = facts_of(make_bundle("a", psnr_db=(36.995, 32.992)), make_bundle("b"), {})
    assert found["accuracy mean"].answer == found["accuracy worst"].answer == "same"


ACCURACY = ("accuracy mean", "accuracy worst")


@pytest.mark.parametrize("own", [{"psnr_db": None}, {"data": "Set14"}, {"psnr_db": (37.0,)}])
def test_not_evaluating_is_no_way_past_the_accuracy(make_bundle: Make, own) -> None:
    candidate, plain = make_bundle("a", **own), make_bundle("b")
    found = facts_of(candidate, plain, {})
    assert {found[check].answer for check in ACCURACY} == {"regressed"}
    assert found["accuracy mean"].said.endswith("the same --data")
    entries = accept("accuracy mean", "not compared") | accept("accuracy worst", 5.0)
    found = facts_of(candidate, plain, entries)
    assert [found[check].answer for check in ACCURACY] == ["accepted", "regressed"]
    assert found["accuracy mean"].reason == "a wider tail"


def test_an_outdated_not_compared_is_reported(make_bundle: Make) -> None:
    entry = accept("accuracy mean", "not compared")
    plain = make_bundle("b")
    assert facts_of(make_bundle("a"), plain, entry)["accuracy mean"].answer == "improved"
    worse = make_bundle("worse", psnr_db=(36.0, 32.0))
    assert facts_of(worse, plain, entry)["accuracy mean"].answer == "regressed"


@pytest.mark.parametrize(
    ("psnr_db", "why"), [(None, "neither was"), ((37.0, 33.0), "the baseline was not")]
)
def test_without_a_baselines_accuracy_none_is_compared(make_bundle: Make, psnr_db, why) -> None:
    found = facts_of(make_bundle("a", psnr_db=psnr_db), make_bundle("b", psnr_db=None), {})
    assert {found[check].answer for check in ACCURACY} == {"not compared"}
    assert found["accuracy mean"].said == f"{why} evaluated"


def test_accuracy_is_paired_by_image(make_bundle: Make) -> None:
    found = facts_of(make_bundle("a", psnr_db=(38.0, 32.0)), make_bundle("b"), {})
    assert found["accuracy mean"].answer == "same"
    assert found["accuracy worst"].change == pytest.approx(1.0)
    assert "image1" in found["accuracy worst"].said


def test_what_is_expected_is_accepted_and_says_why(make_bundle: Make) -> None:
    fact = facts_of(make_bundle("a", macs=1020), make_bundle("b"), accept("macs", 0.02))["macs"]
    assert (fact.answer, fact.reason) == ("accepted", "a wider tail")


@pytest.mark.parametrize(("macs", "answer"), [(1030, "regressed"), (1000, "improved")])
def test_an_acceptance_is_two_sided(make_bundle: Make, macs: int, answer: str) -> None:
    candidate = make_bundle("a", macs=macs)
    entry = accept("macs", 0.02, tolerance=0.005)
    assert facts_of(candidate, make_bundle("b"), entry)["macs"].answer == answer


def test_operators_are_those_of_the_bundles_own_graph(make_bundle: Make) -> None:
    quantized, plain = make_bundle("a", pairs=1), make_bundle("b")
    assert read_bundle(quantized).manifest.costs == read_bundle(plain).manifest.costs
    said = facts_of(quantized, plain, {})["operators"].said
    assert said == "DequantizeLinear +1, QuantizeLinear +1"


@pytest.mark.parametrize("name", ["engine.plan", "model.xml"])
def test_operators_of_an_engine_or_another_format_are_not_compared(
    make_bundle: Make, tmp_path: Path, name: str
) -> None:
    plain = read_bundle(make_bundle())
    (tmp_path / name).write_text("<net><layers/></net>")
    manifest = msgspec.structs.replace(plain.manifest, files={name: 1})
    found = compare_facts(Bundle(tmp_path, manifest), plain, {})
    assert {fact.check: fact.answer for fact in found}["operators"] == "not compared"


def test_operators_are_accepted_by_number(make_bundle: Make) -> None:
    candidate, plain = make_bundle("a", pairs=2), make_bundle("b")
    for number, answer in ((2, "accepted"), (3, "improved"), (1, "regressed")):
        entry = accept("operators", {"QuantizeLinear": number, "DequantizeLinear": number})
        assert facts_of(candidate, plain, entry)["operators"].answer == answer


def test_the_file_of_accepted_differences_is_read_by_candidate(tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(
        '[[accept]]\ncheck = "macs"\nchange = 0.02\nreason = "wider"\nbundle = "a"\n'
        '[[accept]]\ncheck = "operators"\nchange = { Conv = 2 }\nreason = "wider"\n'
    )
    assert set(read_accepted(path, "a")) == {"macs", "operators"}
    assert set(read_accepted(path, "b")) == {"operators"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('check = "macs"\nchange = 0.1', "reason"),
        ('check = "macs"\nchange = 0.1\nreason = ""', "reason"),
        ('check = "mac"\nchange = 0.1\nreason = "x"', "mac"),
        ('check = "macs"\nchange = 0.1\nreason = "x"\nwhy = 1', "unknown key 'why'"),
        ('check = "macs"\nchange = { Conv = 1 }\nreason = "x"', "must be a number"),
        ('check = "operators"\nchange = 0.1\nreason = "x"', "must be a table"),
        ('check = "accuracy mean"\nchange = { A = 1 }\nreason = "x"', "a number or"),
        ('check = "macs"\nchange = "not compared"\nreason = "x"', "must be a number"),
        ('check = "accuracy mean"\nchange = "equal"\nreason = "x"', "not compared"),
        ('check = "operators"\nchange = { A = 1 }\ntolerance = 1\nreason = "x"', "no tolerance"),
        ('check = "macs"\nchange = 0.1\ntolerance = -1\nreason = "x"', "tolerance"),
        ('check = "macs"\nchange = nan\nreason = "x"', "finite"),
        ('check = "latency"\nchange = -1.0\nreason = "x"', "above -1"),
        ('check = "latency"\nchange = 0.1\ntolerance = 0\nreason = "x"', "latency: tolerance"),
        ('check = "latency"\nchange = 0.1\ntolerance = 1\nreason = "x"', "latency: tolerance"),
        ('check = "latency"\nchange = 0.1\ntolerance = nan\nreason = "x"', "tolerance"),
        ('check = "macs"\nchange = 0.1\nreason = "x"\n[[accept]]\ncheck = "macs"\nchange = 0.2'
         '\nreason = "x"', "two entries"),
        ("check = ", "TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(f"[[accept]]\n{text}\n")
    with pytest.raises(RecipeError, match=says) as caught:
        read_accepted(path, "a")
    assert str(path) in str(caught.value)


def test_a_bundle_tells_its_products(make_bundle: Make) -> None:
    found = graph_facts(read_bundle(make_bundle(values=5)))
    assert found.operators == {"Conv": 1}
    assert (found.products, found.weight_bytes) == ({"Conv fp32": 1}, 4 * (3 + 5))
