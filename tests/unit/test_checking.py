"""What ``check`` holds a bundle to that nobody has executed yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore import checking
from edgerestore.backends import find_backend
from edgerestore.bundle import Parity, PassFacts, TargetFacts
from edgerestore.checking import check_bundle
from edgerestore.errors import CheckFailedError, MissingPartError

EMULATED = Parity(status="not compiled, not executed", runtime="none", floor_db=40.0)
"""The floor that a build leaves where it could only emulate."""


@pytest.mark.needs_backend("onnxruntime")
def test_device_that_computes_something_else_is_refused(
    doubling_bundle: Callable[..., Path],
) -> None:
    right = check_bundle(doubling_bundle(error=1e-3, parity=EMULATED))
    assert right.status == "verified"
    assert right.psnr_db > 40
    with pytest.raises(CheckFailedError, match=r"below the floor of 40\.0 dB"):
        check_bundle(doubling_bundle(error=0.1, parity=EMULATED))


@pytest.mark.needs_backend("onnxruntime")
@pytest.mark.parametrize("vnni", [False, True])
@pytest.mark.parametrize("room", [False, True])
def test_int8_without_room_for_sums_is_refused_where_they_are_cut(
    room: bool,
    vnni: bool,
    doubling_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = ["INT8 by AVX2", *(["INT8 at full rate"] if vnni else [])]
    monkeypatch.setattr(checking.cpu, "vector_units", lambda: units)
    settings = {"int16_pairs": True} if room else {}
    path = doubling_bundle("int8", passes=(PassFacts(name="int8", settings=settings),))
    if room or vnni:
        assert check_bundle(path).status == "verified"
    else:
        with pytest.raises(CheckFailedError, match="build it anew for cpu"):
            check_bundle(path)


@pytest.mark.needs_backend("openvino")
def test_absent_device_is_told_with_its_cure(doubling_bundle: Callable[..., Path]) -> None:
    if find_backend("openvino").why_not("NPU") is None:
        pytest.skip("there is an NPU here")
    npu = TargetFacts(name="npu", backend="openvino", device="NPU", options={})
    with pytest.raises(MissingPartError, match=r"sees no NPU here, only CPU; install Intel's NPU"):
        check_bundle(doubling_bundle(target=npu, parity=EMULATED))


UNSTATED = Parity(status="verified", runtime="test")
"""What an older bundle holds that states no floor."""


@pytest.mark.needs_backend("onnxruntime")
@pytest.mark.parametrize(
    ("error", "message"),
    [(float("nan"), "holds NaN or infinity"), (0.9, r"what any bundle must reach, 30\.0 dB")],
)
def test_wrong_output_is_refused_where_no_floor_is_stated(
    doubling_bundle: Callable[..., Path], error: float, message: str
) -> None:
    with pytest.raises(CheckFailedError, match=message):
        check_bundle(doubling_bundle(error=error, parity=UNSTATED))
