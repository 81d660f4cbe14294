"""Times that compare: files of the first versions hold ratios of unequal work."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from edgerestore.measure.bench.results import Ratio, Results
from edgerestore.measure.report.work import per_pixel, with_work_divided, work_of

MakeResults = Callable[..., Results]


@pytest.fixture
def old(make_results: MakeResults) -> Results:
    """The second bundle gives four times the pixels of the first, in thrice its time."""
    results = make_results()
    first, second = results.bundles[:2]
    assert second.megapixels_per_s
    four = msgspec.structs.replace(second, megapixels_per_s=4 * second.megapixels_per_s)
    ratio = Ratio(name=four.name, against=first.name, median=3.0, low=2.8, high=None, rounds=9)
    return msgspec.structs.replace(
        results, bundles=[first, four, *results.bundles[2:]], ratios=[ratio, *results.ratios[1:]]
    )


def test_old_ratios_of_unequal_work_become_those_of_a_pixel(old: Results) -> None:
    session = with_work_divided(old)
    ratio, *others = session.ratios
    assert (ratio.median, ratio.low, ratio.high) == (pytest.approx(0.75), pytest.approx(0.7), None)
    assert per_pixel(session)
    assert others == old.ratios[1:]
    assert with_work_divided(session) == session
    assert [work_of(session, row) for row in session.bundles[:2]] == [0.009216, 0.036864]


def test_ratios_of_equal_work_stay_as_they_are(make_results: MakeResults) -> None:
    results = make_results()
    assert with_work_divided(results) == results
    assert work_of(results, results.bundles[0]) == 1.0


def test_what_does_not_tell_its_output_stays_as_it_is(old: Results) -> None:
    silent = [msgspec.structs.replace(row, megapixels_per_s=None) for row in old.bundles]
    unknown = msgspec.structs.replace(old, bundles=silent)
    assert with_work_divided(unknown) == unknown
