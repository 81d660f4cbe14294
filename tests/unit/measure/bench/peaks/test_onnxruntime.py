from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgerestore.measure.bench.peaks import onnxruntime as peaks
from edgerestore.measure.bench.peaks.sizes import SIDE, VALUES

pytestmark = pytest.mark.needs_backend("onnxruntime")


def ran(model: bytes, given: np.ndarray, folder: Path) -> tuple[list[str], np.ndarray]:
    """Types of the operators that were executed, and the output."""
    session = peaks.session_of(
        model, 1, enable_profiling=True, profile_file_prefix=str(folder / "profile")
    )
    (output,) = session.run(["output"], {"input": given})
    events = json.loads(Path(session.end_profiling()).read_text())
    return [e["args"]["op_name"] for e in events if e["name"].endswith("_kernel_time")], output


@pytest.mark.parametrize(
    ("precision", "types", "close"),
    [("fp32", ["MatMul"], 1e-3), ("int8", ["QuantizeLinear", "MatMulIntegerToFloat"], 2.0)],
)
def test_the_product_is_of_the_precision_that_it_names(
    tmp_path: Path, precision: str, types: list[str], close: float
) -> None:
    given = np.random.default_rng(2).uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    executed, output = ran(peaks.product(precision), given, tmp_path)
    assert executed == types
    weights = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    assert np.abs(output - given @ weights).max() < close


def test_the_scaling_is_one_kernel_over_the_whole_array(tmp_path: Path) -> None:
    executed, output = ran(peaks.scaling(), np.ones(VALUES, np.float32), tmp_path)
    assert executed == ["Mul"]
    assert output.shape == (VALUES,)
    assert (output == 3).all()
