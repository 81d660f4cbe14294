from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.train.data.degradations.bicubic import crop_to_multiple, matlab_bicubic

GOLDEN = Path(__file__).parents[4] / "golden" / "bicubic.json"


def generated() -> np.ndarray:
    """97 x 83 x 3 from integer arithmetic alone: the same on every machine."""
    y, x, c = np.mgrid[:97, :83, :3]
    return ((x * x * 7 + y * x * 3 + y * 11 + c * 50) % 251 + (x > 40) * 4).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_has_the_verified_checksum(scale: int) -> None:
    reduced = matlab_bicubic(crop_to_multiple(generated(), scale), scale)
    expected = json.loads(GOLDEN.read_text())[f"x{scale}"]
    assert list(reduced.shape) == expected["shape"]
    assert hashlib.sha256(reduced.tobytes()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_constant_stays_constant(scale: int) -> None:
    image = np.full((24, 36, 3), 137, np.uint8)
    assert (matlab_bicubic(image, scale) == 137).all()


def test_kernel_is_symmetric_and_channels_are_apart() -> None:
    image = crop_to_multiple(generated(), 2)
    mirrored = matlab_bicubic(image[:, ::-1], 2)
    np.testing.assert_array_equal(mirrored, matlab_bicubic(image, 2)[:, ::-1])
    np.testing.assert_array_equal(
        matlab_bicubic(image[..., 1], 2), matlab_bicubic(image, 2)[..., 1]
    )


def test_crop_cuts_bottom_and_right_only() -> None:
    image = generated()
    cut = crop_to_multiple(image, 4)
    assert cut.shape == (96, 80, 3)
    np.testing.assert_array_equal(cut, image[:96, :80])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_published_low_resolution_images_are_met_bit_for_bit(shared: Path, scale: int) -> None:
    root = shared / "data" / "sr" / "Set5"
    files = sorted((root / "HR").glob("*.png"))
    assert len(files) == 5
    for path in files:
        (published,) = (root / "LR_bicubic" / f"X{scale}").glob(f"{path.stem}*.png")
        high = crop_to_multiple(np.asarray(Image.open(path).convert("RGB")), scale)
        low = np.asarray(Image.open(published).convert("RGB"))
        np.testing.assert_array_equal(matlab_bicubic(high, scale), low)
