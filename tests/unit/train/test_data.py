from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgerestore.errors import ImageError, InputError
from edgerestore.train.data import SuperResolutionData
from edgerestore.train.degradations.bicubic import matlab_bicubic


def test_batch_depends_on_seed_and_step_alone(pictures: Path) -> None:
    data = SuperResolutionData(pictures.parent, ("pictures",), 2, 16)
    again = SuperResolutionData(pictures.parent, ("pictures",), 2, 16)
    data.batch(0, 1, 4)
    for ours, theirs in zip(data.batch(7, 5, 4), again.batch(7, 5, 4), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(data.batch(7, 5, 4)[0], data.batch(7, 6, 4)[0])
    assert not torch.equal(data.batch(7, 5, 4)[0], data.batch(8, 5, 4)[0])


def test_crops_correspond(pictures: Path) -> None:
    data = SuperResolutionData(pictures.parent, ("pictures",), 2, 16)
    low, high = data.batch(0, 0, 8)
    assert low.shape == (8, 3, 16, 16)
    assert high.shape == (8, 3, 32, 32)
    assert float(low.min()) >= 0
    assert float(low.max()) <= 1
    for small, large in zip(low, high, strict=True):
        image = np.rint(large.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        reduced = matlab_bicubic(image, 2)[3:-3, 3:-3]
        expected = np.rint(small.permute(1, 2, 0).numpy() * 255)[3:-3, 3:-3]
        # Rows are reduced first and rounded, so that a turned crop may differ by one level.
        assert np.abs(reduced - expected).max() <= 1


def test_digest_tells_other_pictures(pictures: Path) -> None:
    before = SuperResolutionData(pictures.parent, ("pictures",), 2, 16).digest()
    assert before == SuperResolutionData(pictures.parent, ("pictures",), 2, 16).digest()
    (pictures / "4.png").unlink()
    assert before != SuperResolutionData(pictures.parent, ("pictures",), 2, 16).digest()


def test_damaged_picture_is_named(pictures: Path) -> None:
    (pictures / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(ImageError, match=r"2\.png"):
        SuperResolutionData(pictures.parent, ("pictures",), 2, 16)


def test_missing_folder_and_small_pictures_are_errors(pictures: Path) -> None:
    with pytest.raises(InputError, match="no such folder of pictures"):
        SuperResolutionData(pictures.parent, ("photos",), 2, 16)
    with pytest.raises(InputError, match="at least 400 pixels"):
        SuperResolutionData(pictures.parent, ("pictures",), 2, 200)
