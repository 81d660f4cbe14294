from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgerestore import metrics
from edgerestore.errors import InputError
from edgerestore.networks import find_model
from edgerestore.pictures import read_rgb
from edgerestore.recipe.pictures import Bicubic, Noise, Pictures
from edgerestore.train.data.degradations.bicubic import matlab_bicubic
from edgerestore.train.validation import ValidationSet, side_by_side, validation_set

DOUBLING = find_model("esrt_s_x2")
DERAINING = find_model("drt_s")
SEVERAL = find_model("ipt_s")
NOISY = Pictures(clean=("pictures",), degradation=Noise(sigma=(25, 25)))


class Repeat(nn.Module):
    """Repeats every pixel ``scale`` times and adds an error."""

    def __init__(self, scale: int, error: float = 0.0) -> None:
        super().__init__()
        self.scale, self.error = scale, error
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor, *task: int) -> torch.Tensor:
        self.seen.append((*x.shape[2:], *task))
        return nn.functional.interpolate(x, scale_factor=float(self.scale)) + self.error


def psnr_of(held_back: ValidationSet, network: nn.Module) -> float:
    return held_back.measure(network, torch.device("cpu")).figures.psnr_y_db


def test_pairs_are_read(pairs_folder: Path) -> None:
    held_back = validation_set(pairs_folder.parent, Pictures(pairs="pairs"), DOUBLING)
    assert held_back.name == "pairs"
    assert [pair.name for pair in held_back.pairs] == ["a", "b", "c"]
    assert held_back.task is None


def test_clean_pictures_are_shrunk_as_matlab_does(pictures: Path) -> None:
    wanted = Pictures(clean=("pictures",), degradation=Bicubic())
    pair = validation_set(pictures.parent, wanted, DOUBLING).pairs[0]
    np.testing.assert_array_equal(pair.high, read_rgb(pictures / "0.png"))
    np.testing.assert_array_equal(pair.low, matlab_bicubic(pair.high, 2))


def test_noise_is_seeded_by_the_pictures_name_alone(pictures: Path) -> None:
    first = validation_set(pictures.parent, NOISY, DERAINING).pairs
    assert float(np.std(first[1].low.astype(float) - first[1].high)) == pytest.approx(22, abs=4)
    (pictures / "0.png").unlink()
    again = validation_set(pictures.parent, NOISY, DERAINING).pairs
    np.testing.assert_array_equal(first[1].low, again[0].low)
    shutil.copy(pictures / "1.png", pictures / "other.png")
    renamed = validation_set(pictures.parent, NOISY, DERAINING).pairs[-1]
    np.testing.assert_array_equal(renamed.high, again[0].high)
    assert not np.array_equal(renamed.low, again[0].low)


def test_psnr_is_of_rounded_whole_images(pairs_folder: Path) -> None:
    held_back = validation_set(pairs_folder.parent, Pictures(pairs="pairs"), DOUBLING)
    exact = Repeat(2, error=0.4 / 255)
    assert psnr_of(held_back, exact) == float("inf")
    assert exact.seen == [(24, 30), (24, 31), (24, 32)]
    off = psnr_of(held_back, Repeat(2, error=0.6 / 255))
    by_hand = [
        metrics.psnr_y_db(np.minimum(pair.high, 254) + np.uint8(1), pair.high, border=2)
        for pair in held_back.pairs
    ]
    assert off == pytest.approx(float(np.mean(by_hand)))
    assert "whole image" in held_back.protocol()


def test_figures_agree_with_the_metrics_and_the_picture_shows_the_first_image(
    pairs_folder: Path,
) -> None:
    held_back = validation_set(pairs_folder.parent, Pictures(pairs="pairs"), DOUBLING)
    measured = held_back.measure(Repeat(2, error=20 / 255), torch.device("cpu"))
    off = [np.minimum(pair.high.astype(int) + 20, 255).astype(np.uint8) for pair in held_back.pairs]
    for name in ("psnr_y_db", "psnr_rgb_db", "ssim_y"):
        by_hand = [
            getattr(metrics, name)(image, pair.high, border=2)
            for image, pair in zip(off, held_back.pairs, strict=True)
        ]
        assert getattr(measured.figures, name) == pytest.approx(float(np.mean(by_hand)))
    given, restored, truth = np.split(measured.picture, 3, axis=1)
    np.testing.assert_array_equal(restored, off[0])
    np.testing.assert_array_equal(truth, held_back.pairs[0].high)
    before = metrics.psnr_y_db(given, truth, border=2)
    assert held_back.input_psnr_y_db == pytest.approx(before, abs=1)
    assert 10 < before < 40


def test_large_pictures_are_shown_by_their_middle() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    shown = side_by_side(image, image)
    assert shown.shape == (256, 512, 3)
    np.testing.assert_array_equal(shown[:, :256], image[22:278, 72:328])


def test_network_of_one_size_is_tiled_and_told_its_task(pictures: Path) -> None:
    wanted = Pictures(clean=("pictures",), degradation=Noise(sigma=(0, 0)), task="ipt_s_denoise30")
    held_back = validation_set(pictures.parent, wanted, SEVERAL)
    assert held_back.name == "ipt_s_denoise30 on pictures"
    assert held_back.spec is find_model("ipt_s_denoise30")
    network = Repeat(1)
    assert psnr_of(held_back, network) == float("inf")
    assert {(48, 48, 3)} == set(network.seen)
    assert "tiles of 48" in held_back.protocol()


def test_task_of_another_network_and_nothing_to_measure_are_named(pictures: Path) -> None:
    wanted = Pictures(clean=("pictures",), degradation=Bicubic(), task="ipt_s_x2")
    with pytest.raises(InputError, match="'esrt_s_x2' wants no task"):
        validation_set(pictures.parent, wanted, DOUBLING)
    nothing = Pictures(
        clean=("pictures",), degradation=Bicubic(), leave_out=tuple(f"{n}.png" for n in range(5))
    )
    with pytest.raises(InputError, match="no picture to validate on in pictures"):
        validation_set(pictures.parent, nothing, DOUBLING)
