from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Bundle, Manifest


@pytest.fixture(scope="session")
def opened(small_manifest: Callable[..., Manifest]) -> Callable[..., Bundle]:
    """A bundle around a model file alone, unverified; ``options`` are its target's."""

    def make(path: Path, options: dict[str, str] | None = None) -> Bundle:
        made = small_manifest(path, name="tiny", scale=1, tile=8)
        target = msgspec.structs.replace(made.target, options=options or {})
        return Bundle(path.parent, msgspec.structs.replace(made, target=target))

    return make
