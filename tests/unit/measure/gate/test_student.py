from __future__ import annotations

import pytest

from edgerestore.measure.gate.student import student_cdf, student_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),
    [(0.975, 1, 12.706), (0.995, 2, 9.925), (0.999, 3, 10.215), (0.995, 4, 4.604),
     (0.9995, 9, 4.781), (0.975, 30, 2.042), (0.975, 1000, 1.962)],
)  # fmt: skip
def test_quantiles_are_those_of_the_printed_tables(probability, degrees, value) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(value, abs=6e-4)
    assert student_cdf(student_quantile(probability, degrees), degrees) == pytest.approx(
        probability
    )


@pytest.mark.parametrize("degrees", [1, 2, 3, 8])
def test_the_distribution_is_symmetric(degrees: int) -> None:
    assert student_cdf(0.0, degrees) == pytest.approx(0.5)
    assert student_cdf(1.3, degrees) + student_cdf(-1.3, degrees) == pytest.approx(1.0)
