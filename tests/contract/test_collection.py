"""Every test is one that pytest finds."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_of_tests_is_passed_by(pytestconfig: pytest.Config) -> None:
    """Pytest's own list of folders to leave out holds names, 'build' for one, that ours bear."""
    passed_by = pytestconfig.getini("norecursedirs")
    folders = {path.parent for path in TESTS.rglob("test_*.py")}
    assert len(folders) > 10
    for folder in folders:
        for part in folder.relative_to(TESTS).parts:
            assert not any(fnmatch(part, pattern) for pattern in passed_by), folder
