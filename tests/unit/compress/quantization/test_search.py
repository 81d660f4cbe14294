from __future__ import annotations

import pytest

from edgerestore.compress.quantization.search import fewest_in_float

RANKED = [f"m{number}" for number in range(20)]


@pytest.mark.parametrize("needed", [0, 1, 2, 3, 7, 8, 13, 20])
def test_smallest_number_that_holds_is_found_and_was_tried(needed: int) -> None:
    seen: list[tuple[str, ...]] = []

    def measure(modules: tuple[str, ...]) -> int:
        seen.append(modules)
        return len(modules)

    found = fewest_in_float(RANKED, measure, lambda count: count >= needed)
    assert found.modules == tuple(RANKED[:needed])
    assert tuple(RANKED[:needed]) in seen
    assert len(seen) == len(set(seen)) <= 10
    assert [count for count, _ in found.tried] == [len(modules) for modules in seen]


def test_nothing_is_found_where_not_even_all_are_enough() -> None:
    found = fewest_in_float(RANKED[:3], len, lambda count: False)
    assert found.modules is None
    assert [count for count, _ in found.tried] == [0, 1, 2, 3]
