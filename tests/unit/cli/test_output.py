from __future__ import annotations

import pytest

from edgerestore.cli.output import console, table


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
