from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.errors import InputError
from edgerestore.evaluation import ImagePair
from edgerestore.pictures import picture_files, read_rgb
from edgerestore.recipe.pictures import Noise, Pictures
from edgerestore.train.data.leaks import check_leaks, find_leaks
from edgerestore.train.data.pictures import Picture, read_pictures


@pytest.fixture(scope="module")
def photographs(evaluation_folder: Path) -> list[Picture]:
    return [Picture(p.stem, read_rgb(p)) for p in picture_files(evaluation_folder / "HR")]


def held(pictures: list[Picture]) -> list[ImagePair]:
    return [ImagePair(picture.name, picture.high, picture.high) for picture in pictures]


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


CHANGES = {
    "same": lambda image: image,
    "smaller": lambda image: resized(image, 96, 96),
    "larger": lambda image: resized(image, 500, 500),
    "stretched": lambda image: resized(image, 300, 290),
    "recompressed": recompressed,
    "mirrored": lambda image: image[:, ::-1],
    "turned": lambda image: np.rot90(image),
    "turned and mirrored": lambda image: np.rot90(image, 3)[:, ::-1],
    "brighter": lambda image: (image // 2 + 90).astype(np.uint8),
    "cut": lambda image: image[:270, :284],
    "corner": lambda image: image[140:, 130:],
    "cut, turned, reduced and recompressed": lambda image: recompressed(
        resized(np.rot90(image[40:220, 60:], 2), 108, 86)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_picture_is_found_whatever_was_done_to_it(change: str, photographs: list[Picture]) -> None:
    changed = [
        Picture(f"mine-{item.name}", np.ascontiguousarray(CHANGES[change](item.high)))
        for item in photographs[2::4]
    ]
    wanted = [(f"mine-{item.name}", item.name) for item in photographs[2::4]]
    leaks = find_leaks(changed, held(photographs[::2]))
    assert [(leak.training, leak.held_back) for leak in leaks] == wanted
    assert all(0.9 < leak.likeness <= 1 for leak in leaks)
    # The other way round: the held-back picture is the changed one.
    leaks = find_leaks(photographs[::2], held(changed))
    assert [(leak.held_back, leak.training) for leak in leaks] == wanted


def test_other_pictures_are_no_leak(photographs: list[Picture]) -> None:
    others = [
        *(Picture(f"flat {level}", np.full((60, 80, 3), level, np.uint8)) for level in (0, 90)),
        Picture("noise", np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)),
        Picture("ramp", np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 150, 3))),
        Picture("tiny", photographs[0].high[:12, :12]),
    ]
    told = []
    assert find_leaks([*photographs[::2], *others], held(photographs[1::2]), told.append) == []
    assert told == [*(item.name for item in photographs[::2]), *(item.name for item in others)]
    assert find_leaks(photographs, []) == []


def test_picture_that_several_tasks_cut_is_told_once(photographs: list[Picture]) -> None:
    image = photographs[0].high[:287, :286]
    cut = [Picture("mine", image[: 287 - 287 % s, : 286 - 286 % s]) for s in (1, 2, 3, 4)]
    assert len(find_leaks(cut, held(photographs[:1]))) == 1
    backs = [ImagePair("theirs", item.high, item.high) for item in cut]
    assert len(find_leaks(cut[:1], backs)) == 1


def test_leaks_stop_a_run_in_one_line(photographs: list[Picture]) -> None:
    check_leaks(photographs[:4], held(photographs[4:]))
    one = "^1 training picture shows what validation holds back: astronaut-face shows "
    with pytest.raises(InputError, match=f"{one}astronaut-face; name their files in leave_out"):
        check_leaks(photographs[:1], held(photographs))
    with pytest.raises(InputError, match=r"^6 training pictures show .* and 2 more; name"):
        check_leaks(photographs[:6], held(photographs))


def test_shared_pictures_leak_where_they_are_known_to(shared: Path) -> None:
    root = shared / "data"
    still = Noise(sigma=(0, 0))
    woman = root / "sr" / "Set5" / "HR" / "woman.png"
    set5 = [ImagePair(p.stem, read_rgb(p), read_rgb(p)) for p in picture_files(woman.parent)]
    rain = [
        ImagePair(picture.name, picture.high, picture.high)
        for picture in read_pictures(
            root,
            Pictures(
                pairs="derain/Rain100", degraded="rainL", only="derain/Rain100/validation.txt"
            ),
            1,
        )
    ]
    training = read_pictures(
        root, Pictures(clean=("train/BSDS500/train", "train/T91"), degradation=still), 1
    )
    leaks = find_leaks(training, [*set5, *rain])
    assert {leak.held_back for leak in leaks} == {"woman", *(pair.name for pair in rain)}
    assert ("302003", "woman") in {(leak.training, leak.held_back) for leak in leaks}
    assert len(leaks) == 17
