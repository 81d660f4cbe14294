from __future__ import annotations

import pytest

from edgerestore.cli.output import console, count, table


def test_a_narrow_terminal_breaks_headings_and_no_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    made = table("Bundles", "bundle", "mean drop", "worst drop", "the size", "why")
    made.add_row("esrt_x3-int8", "0.012", "12.345", "1234567", "it ran on another machine")
    console().print(made)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 60
    assert all(number in printed.split() for number in ("0.012", "12.345", "1234567"))
    assert "another" in printed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999.4, "999"),
        (999.6, "1k"),
        (999_600, "1M"),
        (999_499, "999k"),
        (999_999_999, "1G"),
        (1.5e12, "1.5T"),
    ],
)
def test_counts_have_three_digits_and_no_exponent(value: float | None, text: str) -> None:
    assert count(value) == text
