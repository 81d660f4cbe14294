from __future__ import annotations

import pytest

from edgerestore.recipe.patterns import names_module


@pytest.mark.parametrize(
    ("pattern", "module", "named"),
    [
        ("tail", "tail", True),
        ("tail", "tail.whole", True),
        ("tail", "tail_up.0", False),
        ("tail", "body.tail", False),
        ("*.fc?", "layers.0.fc1", True),
        ("layers.2.*", "layers.2.block1.fc2", True),
        ("layers.2", "layers.21.fc2", False),
        ("*.matmul", "blocks.0.attention.matmul", True),
        ("blocks.0.attention", "blocks.0.attention.matmul", True),
        ("*.matmul", "blocks.0.attention.qkv", False),
    ],
)
def test_a_pattern_names_a_module_and_what_is_part_of_it(
    pattern: str, module: str, named: bool
) -> None:
    assert names_module(pattern, module) is named
