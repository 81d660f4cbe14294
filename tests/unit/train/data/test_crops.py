from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgerestore.errors import ImageError, InputError
from edgerestore.networks import find_model
from edgerestore.pictures import read_rgb
from edgerestore.recipe.pictures import Bicubic, Noise, RainLayers, Source
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.data.degradations.bicubic import matlab_bicubic

DOUBLING = find_model("esrt_s_x2")
DERAINING = find_model("drt_s")
SEVERAL = find_model("ipt_s")
SHRUNK = Source(clean=("pictures",), degradation=Bicubic())
NOISY = Source(clean=("pictures",), degradation=Noise(sigma=(5, 25)))


def read(pictures: Path, *sources: Source, spec=DOUBLING, patch: int = 16) -> TrainingData:
    return TrainingData(pictures.parent, sources, spec, patch)


def pixels(side: torch.Tensor) -> np.ndarray:
    """N x H x W x 3 uint8."""
    return np.rint(side.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)


def same(ours: Batch, theirs: Batch) -> bool:
    sides = (torch.equal(ours.low, theirs.low), torch.equal(ours.high, theirs.high))
    return all(sides) and ours.task == theirs.task


@pytest.mark.parametrize(("spec", "source"), [(DOUBLING, SHRUNK), (DERAINING, NOISY)])
def test_batch_depends_on_seed_and_step_alone(spec, source: Source, pictures: Path) -> None:
    data, again = (read(pictures, source, spec=spec) for _ in range(2))
    data.batch(0, 1, range(4))
    assert same(data.batch(7, 5, range(4)), again.batch(7, 5, range(4)))
    assert not same(data.batch(7, 5, range(4)), data.batch(7, 6, range(4)))
    assert not same(data.batch(7, 5, range(4)), data.batch(8, 5, range(4)))


def test_shared_out_places_make_up_the_whole_batch(pictures: Path) -> None:
    data = read(pictures, NOISY, spec=DERAINING)
    whole = data.batch(7, 5, range(4))
    parts = [data.batch(7, 5, places) for places in (range(2), range(2, 4))]
    assert torch.equal(whole.low, torch.cat([part.low for part in parts]))
    assert torch.equal(whole.high, torch.cat([part.high for part in parts]))


def test_reduced_crops_correspond(pictures: Path) -> None:
    batch = read(pictures, SHRUNK).batch(0, 0, range(8))
    assert batch.low.shape == (8, 3, 16, 16)
    assert batch.high.shape == (8, 3, 32, 32)
    assert batch.task is None
    for low, high in zip(pixels(batch.low), pixels(batch.high), strict=True):
        # Rows are reduced first and rounded, so that a turned crop may differ by one level.
        inner = np.s_[3:-3, 3:-3]
        difference = matlab_bicubic(high, 2)[inner].astype(int) - low[inner]
        assert np.abs(difference).max() <= 1


def test_noise_is_of_the_crop_that_it_is_paired_with(pictures: Path) -> None:
    source = Source(clean=("pictures",), degradation=Noise(sigma=(4, 4)))
    batch = read(pictures, source, spec=DERAINING, patch=48).batch(0, 0, range(8))
    low, high = pixels(batch.low), pixels(batch.high)
    noise = (low.astype(int) - high)[(high > 20) & (high < 235)]
    assert noise.std() == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("turn", "ways"), [(True, set(range(8))), (False, {0, 4})])
def test_crops_are_mirrored_and_turned_as_the_source_says(
    turn: bool, ways: set[int], pictures: Path
) -> None:
    (pictures.parent / "list.txt").write_text("0.png\n")
    still = Noise(sigma=(0, 0))
    source = Source(clean=("pictures",), degradation=still, only="list.txt", turn=turn)
    whole = read_rgb(pictures / "0.png")
    # A crop as high as the picture lies in one of 72 - 64 + 1 places and eight ways.
    known = {}
    for left in range(whole.shape[1] - 64 + 1):
        cut = whole[:, left : left + 64]
        for way in range(8):
            turned = np.rot90(cut, way % 4)
            known[(turned[:, ::-1] if way >= 4 else turned).tobytes()] = way
    batch = read(pictures, source, spec=DERAINING, patch=64).batch(0, 0, range(60))
    assert {known[crop.tobytes()] for crop in pixels(batch.high)} == ways


def test_lists_and_names_pick_pictures(pictures: Path) -> None:
    lists = pictures.parent
    (lists / "some.txt").write_text("0.png\n1.png\n2.png\n")
    (lists / "held.txt").write_text("1.png\n")

    def taken(**chosen: object) -> int:
        source = Source(clean=("pictures",), degradation=Bicubic(), **chosen)
        return read(pictures, source).count

    assert taken() == 5
    assert taken(only="some.txt") == 3
    assert taken(only="some.txt", leave_out=("held.txt", "2.png")) == 1
    assert taken(leave_out=("held.txt",)) == 4
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read as a list of names"):
        taken(only="absent.txt")


def test_rain_of_pairs_is_laid_over_other_pictures(pictures: Path) -> None:
    write_rainy_pairs(pictures)
    laid = RainLayers(pairs="rain", gain=(1.0, 1.0))
    data = read(pictures, Source(clean=("pictures",), degradation=laid), spec=DERAINING)
    batch = data.batch(0, 0, range(4))
    low, high = pixels(batch.low).astype(int), pixels(batch.high).astype(int)
    assert (low == np.minimum(high + 40, 255)).all()
    everything = RainLayers(pairs="rain", leave_out=("0.png", "1.png"))
    with pytest.raises(InputError, match="rain: no pair is left to take rain from"):
        read(pictures, Source(clean=("pictures",), degradation=everything), spec=DERAINING)


def test_pairs_are_taken_as_they_lie(pictures: Path) -> None:
    write_rainy_pairs(pictures)
    data = read(pictures, Source(pairs="rain"), spec=DERAINING)
    assert data.count == 2
    batch = data.batch(0, 0, range(4))
    assert (pixels(batch.low).astype(int) == pixels(batch.high) + 40).all()


def test_sources_are_drawn_by_their_weights(pictures: Path) -> None:
    write_rainy_pairs(pictures)
    still = Source(clean=("pictures",), degradation=Noise(sigma=(0, 0)), weight=3)
    data = read(pictures, Source(pairs="rain"), still, spec=DERAINING)
    batch = data.batch(0, 0, range(400))
    rainy = (batch.low != batch.high).flatten(1).any(1)
    # A quarter of 400 crops, within four standard deviations of a binomial.
    assert abs(int(rainy.sum()) - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5


def test_a_batch_is_of_one_task_and_its_scale(pictures: Path) -> None:
    sources = (
        Source(clean=("pictures",), degradation=Bicubic(), task="ipt_s_x3"),
        Source(clean=("pictures",), degradation=Noise(sigma=(30, 30)), task="ipt_s_denoise30"),
        Source(clean=("pictures",), degradation=Bicubic(), task="ipt_s_x3"),
    )
    data = read(pictures, *sources, spec=SEVERAL)
    assert data.tasks == [1, 3]
    batches = [data.batch(0, step, range(2)) for step in range(12)]
    assert {batch.task for batch in batches} == {1, 3}
    for batch in batches:
        scale = 3 if batch.task == 1 else 1
        assert batch.low.shape == (2, 3, 16, 16)
        assert batch.high.shape == (2, 3, 16 * scale, 16 * scale)


def test_digest_tells_other_pictures_and_crops(pictures: Path) -> None:
    before = read(pictures, SHRUNK).digest
    assert before == read(pictures, SHRUNK).digest
    assert before != read(pictures, SHRUNK, patch=20).digest
    (pictures / "4.png").unlink()
    assert before != read(pictures, SHRUNK).digest


def test_digest_tells_degraded_pixels(pictures: Path) -> None:
    write_rainy_pairs(pictures)
    before = read(pictures, Source(pairs="rain"), spec=DERAINING).digest
    path = pictures.parent / "rain" / "input" / "0.png"
    image = read_rgb(path)
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(path)
    assert read(pictures, Source(pairs="rain"), spec=DERAINING).digest != before


def test_damaged_picture_is_named(pictures: Path) -> None:
    (pictures / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(ImageError, match=r"2\.png"):
        read(pictures, SHRUNK)


def test_missing_folder_and_small_pictures_are_errors(pictures: Path) -> None:
    with pytest.raises(InputError, match="photos: no such folder of pictures"):
        read(pictures, Source(clean=("photos",), degradation=Bicubic()))
    with pytest.raises(InputError, match="at least 400 pixels a side in pictures"):
        read(pictures, SHRUNK, patch=200)


def test_too_small_pictures_are_passed_over(pictures: Path) -> None:
    assert read(pictures, NOISY, spec=DERAINING, patch=72).count == 3


def test_tasks_are_of_the_network(pictures: Path) -> None:
    with pytest.raises(InputError, match=r"task 'None': 'ipt_s' wants one of ipt_s_x2, ipt_s_x3"):
        read(pictures, SHRUNK, spec=SEVERAL)
    other = Source(clean=("pictures",), degradation=Bicubic(), task="ipt_s_x2")
    with pytest.raises(InputError, match="'esrt_s_x2' wants no task: it has only one"):
        read(pictures, other)


@pytest.mark.parametrize(("spec", "source"), [(DOUBLING, NOISY), (DERAINING, SHRUNK)])
def test_degradation_must_fit_the_scale(spec, source: Source, pictures: Path) -> None:
    with pytest.raises(InputError, match=rf"but the task's scale is {spec.scale}"):
        read(pictures, source, spec=spec)


def write_rainy_pairs(pictures: Path) -> None:
    """``rain/input`` and ``rain/target`` beside the pictures: two of them, and 40 levels more."""
    for name, rain in (("input", 40), ("target", 0)):
        folder = pictures.parent / "rain" / name
        folder.mkdir(parents=True)
        for path in pictures.glob("[01].png"):
            Image.fromarray(read_rgb(path) // 2 + np.uint8(rain)).save(folder / path.name)
