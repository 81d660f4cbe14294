from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from edgerestore.cli import main
from edgerestore.errors import InputError
from edgerestore.measure.bench.results import Results
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.reading import KINDS, Read, read_files

MakeResults = Callable[..., Results]


def write(path: Path, document: Any) -> Path:
    path.write_bytes(msgspec.json.encode(document))
    return path


@pytest.fixture
def files(make_results: MakeResults, some_further: Further, tmp_path: Path) -> list[Path]:
    """One of each kind, the history with two verdicts, the newer one first."""
    history = tmp_path / "history.jsonl"
    lines = [msgspec.json.encode(verdict) for verdict in reversed(list(some_further.verdicts))]
    history.write_bytes(b"\n".join(lines) + b"\n\n")
    return [
        write(tmp_path / "bench.json", make_results()),
        write(tmp_path / "evaluate.json", {"bundles": some_further.evaluations}),
        write(
            tmp_path / "profile.json",
            {
                "bundles": some_further.profiles,
                "environment": make_results().environment,
                "roofline": next(iter(some_further.rooflines)),
            },
        ),
        write(tmp_path / "gate.json", next(iter(some_further.verdicts))),
        history,
    ]


def read(*paths: Path) -> Read:
    return read_files(paths, KINDS)


def test_any_mixture_is_read_whatever_the_names(files: list[Path]) -> None:
    found = read(*files)
    assert [len(kind) for kind in (found.sessions, found.evaluations, found.profiles)] == [1, 2, 2]
    assert [place for place, _ in found.places] == [str(files[0]), str(files[2])]
    ratios = [v.latency.ratio for v in found.further().verdicts if v.latency]
    assert ratios == [1.002, 1.002, 1.08], "the oldest first"


def test_several_sessions_in_one_file_are_read(make_results: MakeResults, tmp_path: Path) -> None:
    both = write(tmp_path / "two.json", {"one": make_results(), "other": make_results()})
    assert len(read(both).sessions) == 2


def test_psnr_of_an_exact_result_is_null_in_the_file(some_further: Further, tmp_path: Path) -> None:
    exact = msgspec.to_builtins(list(some_further.evaluations))
    exact[0]["images"][0]["psnr_y_db"] = None
    exact[0]["psnr_y_db"]["mean"] = None
    (image, *_) = read(write(tmp_path / "e.json", {"bundles": exact})).evaluations[0].images
    assert image.psnr_y_db == float("inf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "not results of bench"),
        ("{}", "not results of bench"),
        ('{"bundles": 3}', "not results of bench"),
        ('{"bundles": [7]}', "not results of bench"),
        ('{"ratios": NaN}', "NaN is not a number of JSON"),
        ('{"ratios": [1e999]}', "out of range"),
        ('{"ratios": ' + 40 * "[" + 40 * "]" + "}", "nested too deeply"),
        ('{"ratios": ' + 100_000 * "[", "nested too deeply"),
        (100_000 * "[", "nested too deeply"),
        ('{"ratios": [], "bundles": []}', "schema None, but this edgerestore reads 1"),
        ('{"ratios": [], "schema": 1}', "missing required field `bundles`"),
        ('{"facts": [], "answer": "pass", "schema": 1}', "missing required field `candidate`"),
        ('{"bundles": [{"operators": 1}]}', r"not results of 'edgerestore profile'.*\[0\]"),
        ('{"bundles": [{"images": 1}]}', r"not results of 'edgerestore evaluate'.*\[0\]"),
        ("\udcff", "not results of bench"),
    ],
)
def test_another_file_is_refused_by_name(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=said) as refused:
        read(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("bundles", 0, "latency_ms", "p50"), -1.0, "latency must be more than 0"),
        (("bundles", 0, "turns_ns", 0, 0), 0, "sample must be more than 0 ns"),
        (("ratios", 0, "median"), 0.0, "ratio of latencies must be more than 0"),
        (("bundles", 0, "macs"), "many", r"Expected `int \| null`, got `str` - at `\$.bundles"),
    ],
)
def test_values_that_no_clock_gives_are_refused(
    make_results: MakeResults, tmp_path: Path, place: tuple[Any, ...], value: object, said: str
) -> None:
    document = json.loads(msgspec.json.encode(make_results()))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(InputError, match=said):
        read(write(tmp_path / "r.json", document))


def test_the_verb_shows_all_of_it_and_pictures(files: list[Path], tmp_path: Path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{name}.png")
    pictures = [f"--picture={name.upper()}={tmp_path / name}.png" for name in "ab"]
    out = tmp_path / "report.html"
    assert main(["report", *map(str, files), *pictures, "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    for key in ("pictures", "accuracy", "evaluation", "speed", "operators", "size", "gate"):
        assert f'<section id="{key}"' in text
    assert "A against B: 255.00 grey levels of 255 in the mean" in text


@pytest.mark.parametrize("given", ["a.png", "=a.png", "A="])
def test_a_picture_needs_label_and_file(
    files: list[Path], given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.html"
    assert main(["report", str(files[0]), "--picture", given, "--out", str(out)]) == 3
    assert capsys.readouterr().err == f"edgerestore: --picture {given}: give LABEL=FILE\n"
    assert not out.exists()


def test_a_roofline_that_no_machine_has_is_refused(files: list[Path], tmp_path: Path) -> None:
    document = json.loads(files[2].read_bytes())
    document["roofline"]["gb_per_s"] = 1e-17
    with pytest.raises(InputError, match="roofline: rates must be from 1e-06 to 1e"):
        read(write(tmp_path / "r.json", document))
