from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

# The pattern's star crosses folders.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*test_*.py"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Several threads on a busy machine wait for each other longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
