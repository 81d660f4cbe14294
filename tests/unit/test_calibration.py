from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.calibration import CalibrationSet, crops, digest_of, read_set
from edgerestore.errors import ImageError, InputError, RecipeError, UnknownNameError
from edgerestore.evaluation import read_pairs
from edgerestore.recipe import read_toml
from edgerestore.shipped import shipped_folder

SHIPPED = shipped_folder("calibration")
MAX_SHIPPED_BYTES = 6_000_000


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped set's manifest in a folder that a test may damage."""
    shutil.copytree(SHIPPED / "sets", tmp_path / "sets")
    shutil.copytree(SHIPPED / "photos", tmp_path / "photos")
    return tmp_path / "sets" / "photos.toml"


def test_shipped_set_verifies_and_serves_tiles_up_to_64() -> None:
    photos = read_set("photos")
    assert photos.name == "photos"
    assert len(photos.images) >= 64
    assert {image.shape for image in photos.images} == {(64, 64, 3)}
    assert crops(photos.images, 64).shape == (len(photos.images), 3, 64, 64)
    assert crops(photos.images, 48).shape == (len(photos.images), 3, 48, 48)
    assert read_set(SHIPPED / "sets" / "photos.toml").sha256 == photos.sha256


@pytest.mark.parametrize("name", ["rain", "noise30", "noise50"])
def test_shipped_degraded_sets_verify_and_have_pairs_of_other_photographs(name: str) -> None:
    images = read_set(name).images
    assert {image.shape for image in images} == {(64, 64, 3)}
    assert len(images) >= 24
    pairs = read_pairs(SHIPPED / "evaluation" / name, 1)
    assert len(pairs) == 8
    manifest = read_toml(SHIPPED / "sets" / f"{name}.toml", CalibrationSet)
    assert {pair.name.split("-")[0] for pair in pairs}.isdisjoint(manifest.sources)
    for pair in pairs:
        difference = pair.low.astype(float) - pair.high
        assert difference.std() > 2
        if name == "rain":
            assert difference.min() >= 0


def test_shipped_set_holds_flat_dark_and_textured_pictures() -> None:
    images = [image.astype(float) for image in read_set("photos").images]
    assert sum(image.std(axis=(0, 1)).max() < 4 for image in images) >= 3
    assert sum(image.mean() < 40 for image in images) >= 8
    assert sum(image.std() > 50 for image in images) >= 8


def test_shipped_sum_is_what_sha256sum_prints() -> None:
    lines = ""
    for path in sorted((SHIPPED / "photos").glob("*.png")):
        lines += f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    assert read_set("photos").sha256 == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shipped_evaluation_pairs_are_of_other_photographs(scale: int) -> None:
    pairs = read_pairs(SHIPPED / "evaluation" / "photos", scale)
    assert len(pairs) == 8
    assert {pair.high.shape for pair in pairs} == {(288, 288, 3)}
    manifest = read_toml(SHIPPED / "sets" / "photos.toml", CalibrationSet)
    assert {pair.name.split("-")[0] for pair in pairs}.isdisjoint(manifest.sources)


def test_shipped_demo_is_one_pair_and_everything_is_small() -> None:
    (pair,) = read_pairs(SHIPPED / "demo", 2)
    assert pair.name == "friends"
    assert pair.low.shape == (456, 336, 3)
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_SHIPPED_BYTES


def test_readme_names_every_author_and_source() -> None:
    readme = (SHIPPED / "README.md").read_text()
    sources = (SHIPPED / "sources.toml").read_text()
    for key in ("name", "author"):
        values = re.findall(rf'^{key} = "(.*)"$', sources, flags=re.MULTILINE)
        assert values
        missing = [value for value in values if value != "photos" and value not in readme]
        assert not missing


def test_damaged_picture_is_named(copied: Path) -> None:
    file = copied.parent.parent / "photos" / "coffee-03.png"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"coffee-03\.png: damaged"):
        read_set(copied)
    file.unlink()
    with pytest.raises(InputError, match=r"coffee-03\.png: missing"):
        read_set(copied)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('file = "brick-00.png"', 'file = "../photos/brick-00.png"', "is no plain file name"),
        ('file = "brick-00.png"', 'file = "brick-01.png"', "each once"),
        ('source = "brick"', 'source = "stone"', "names the unknown 'stone'"),
        ('\nsha256 = "', '\nsha256 = "0', "damaged: 'sha256'"),
        ("\ntask = ", "\ntasks = ", "unknown key 'tasks'"),
    ],
    ids=["path", "twice", "source", "sum", "key"],
)
def test_wrong_manifest_is_refused(copied: Path, old: str, new: str, expected: str) -> None:
    copied.write_text(copied.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=expected):
        read_set(copied)


def test_folder_of_own_pictures_is_a_set(pictures: Path) -> None:
    own = read_set(pictures)
    assert own.name == "pictures"
    assert len(own.images) == 5
    assert own.sha256 != read_set("photos").sha256
    (pictures / "9.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"9\.png"):
        read_set(pictures)


def test_unknown_and_unusable_names(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'photos'"):
        read_set("photo")
    with pytest.raises(InputError, match="no folder of pictures"):
        read_set("./nowhere/at/all")
    with pytest.raises(InputError, match="holds no picture"):
        read_set(tmp_path)
    # A folder that happens to lie there must not change what a recipe's "photos" means.
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(read_set("photos").images) >= 64


def test_crops_are_spread_equal_each_time_and_never_overlap() -> None:
    y, x = np.mgrid[:100, :130]
    image = np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)
    cut = crops([image], 32)
    np.testing.assert_array_equal(cut, crops([image], 32))
    assert cut.dtype == np.float32
    corners = [(round(c[0, 0, 0] * 255), round(c[1, 0, 0] * 255)) for c in cut]
    assert len(set(corners)) == 4
    for i, (top, left) in enumerate(corners):
        for other_top, other_left in corners[:i]:
            assert abs(top - other_top) >= 32 or abs(left - other_left) >= 32


def test_single_crop_is_the_middle_of_a_small_picture() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:56, 8:56] = 255
    assert crops([image], 48).min() == 1


def test_picture_smaller_than_the_tile_is_refused() -> None:
    large, small = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 40, 3), np.uint8)
    with pytest.raises(InputError, match="picture 2 of 2 is 40 x 64, smaller than the tile"):
        crops([large, small], 48)
    with pytest.raises(InputError, match="holds no picture"):
        crops([], 48)


def test_digest_does_not_depend_on_order() -> None:
    sums = [("b.png", "1"), ("a.png", "2")]
    assert digest_of(sums) == digest_of(reversed(sums))


def test_gray_and_alpha_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 7).save(tmp_path / "gray.png")
    Image.new("RGBA", (64, 64), (7, 7, 7, 0)).save(tmp_path / "alpha.png")
    assert all((image == 7).all() for image in read_set(tmp_path).images)
