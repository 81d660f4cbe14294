from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgerestore.errors import ImageError, InputError
from edgerestore.evaluation import ImagePair
from edgerestore.networks import find_model
from edgerestore.pictures import read_rgb
from edgerestore.recipe.pictures import Bicubic, Noise, Source
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.data.degradations.bicubic import matlab_bicubic
from edgerestore.train.data.leaks import find_leaks
from edgerestore.train.data.shards import OPEN_SHARDS, Shards, expanded, members, write_shards

NAME = "packed/shard-{000000..000004}.tar"


@pytest.fixture
def root(pictures: Path) -> Path:
    """Five shards of one picture each, in ``packed`` beside the pictures."""
    write_shards([pictures], pictures.parent / "packed", 1, lambda name: None)
    return pictures.parent


def read(root: Path, model: str = "esrt_s_x2", patch: int = 16, **fields: object) -> TrainingData:
    fields = {"shards": NAME, "degradation": Bicubic(), "steps_per_shard": 3, **fields}
    return TrainingData(root, [Source(**fields)], find_model(model), patch)


def packed(path: Path, *held: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in held:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_shards_hold_every_picture_once_as_it_is(root: Path) -> None:
    held = [data for path in sorted((root / "packed").iterdir()) for _, data in members(path)]
    assert sorted(held) == sorted(path.read_bytes() for path in (root / "pictures").iterdir())


def test_leaks_are_found_in_shards(root: Path) -> None:
    data = read(root)
    assert (data.count, [len(item.paths) for item in data.shards()]) == (0, [5])
    pictures = [picture for item in data.shards() for picture in item.pictures()]
    assert len(pictures) == 5
    image = read_rgb(root / "pictures" / "3.png")
    (leak,) = find_leaks(pictures, [ImagePair("theirs", image, image)])
    assert re.fullmatch(r".*/packed/shard-00000\d\.tar: 00000003\.png", leak.training)


def test_crops_are_a_function_of_seed_step_and_place(root: Path) -> None:
    whole, resumed = read(root), read(root)
    for step in range(7):
        whole.batch(5, step, range(4))
    late = [resumed.batch(5, 7, places) for places in (range(2), range(2, 4))]
    batch = whole.batch(5, 7, range(4))
    assert torch.equal(batch.low, torch.cat([part.low for part in late]))
    assert torch.equal(batch.high, torch.cat([part.high for part in late]))
    assert not torch.equal(batch.high, whole.batch(6, 7, range(4)).high)


def test_reduced_crop_is_that_of_the_whole_picture(root: Path) -> None:
    wholes = [read_rgb(path)[:64, :72] for path in sorted((root / "pictures").glob("0.png"))]
    (root / "pictures" / "0.png").rename(root / "0.png")
    packed(root / "one.tar", ("a.png", (root / "0.png").read_bytes()))
    low = matlab_bicubic(wholes[0], 2)
    known = {
        np.ascontiguousarray(way[:, ::-1] if mirrored else way).tobytes()
        for top in range(32 - 16 + 1)
        for left in range(36 - 16 + 1)
        for mirrored in (False, True)
        for way in (low[top : top + 16, left : left + 16],)
    }
    batch = read(root, shards="one.tar", turn=False).batch(0, 0, range(40))
    crops = np.rint(batch.low.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    assert all(crop.tobytes() in known for crop in crops)


def test_every_shard_is_open_in_its_turn(root: Path) -> None:
    shards = Shards(root, NAME, 3, 16)
    turns = [tuple(shards.open_at(0, step)) for step in range(0, 15, 3)]
    assert {turn[0] for turn in turns} == set(range(5))
    assert shards.open_at(0, 0) == shards.open_at(0, 2)
    assert shards.open_at(0, 3)[:-1] == shards.open_at(0, 0)[1:]
    assert len(shards.open_at(0, 0)) == OPEN_SHARDS
    orders = {tuple(shards.open_at(seed, 0)) for seed in range(8)}
    assert len(orders) > 1


def test_digest_is_of_names_and_sizes(root: Path) -> None:
    before = read(root).digest
    assert before == read(root).digest
    assert before != read(root, shards="packed/shard-{000000..000003}.tar").digest


def test_shards_are_degraded_as_clean_folders_are(root: Path) -> None:
    data = read(root, "drt_s", degradation=Noise(sigma=(0, 0)))
    batch = data.batch(0, 0, range(2))
    assert torch.equal(batch.low, batch.high)


def test_hostile_and_damaged_shards_are_named(root: Path, tmp_path: Path, monkeypatch) -> None:
    good = (root / "pictures" / "0.png").read_bytes()
    bad = packed(root / "bad.tar", ("../../x.png", b"rubbish"))
    with pytest.raises(ImageError, match=r"bad\.tar: \.\./\.\./x\.png: cannot be read"):
        read(root, shards="bad.tar").batch(0, 0, range(1))
    assert not (root.parent / "x.png").exists()
    with pytest.raises(InputError, match=r"none\.tar: holds no picture"):
        members(packed(root / "none.tar", ("a.txt", b"hello")))
    cut = packed(root / "cut.tar", ("a.png", good))
    cut.write_bytes(cut.read_bytes()[:1024])
    with pytest.raises(InputError, match=r"cut\.tar"):
        members(cut)
    bad.write_bytes(b"not a tar at all" * 99)
    with pytest.raises(InputError, match=r"bad\.tar: cannot be read as a shard"):
        members(bad)
    monkeypatch.setattr("edgerestore.train.data.shards.MAX_PICTURE_BYTES", 10)
    with pytest.raises(InputError, match=r"a\.png: larger than 10 bytes"):
        members(packed(root / "large.tar", ("a.png", good)))


def test_absent_shards_and_small_pictures_are_errors(root: Path) -> None:
    with pytest.raises(InputError, match=r"shard-000005\.tar: no such shard"):
        read(root, shards="packed/shard-{000000..000005}.tar")
    with pytest.raises(InputError, match="no picture of at least 400 pixels a side"):
        read(root, patch=200).batch(0, 0, range(1))


def test_names_expand() -> None:
    assert expanded("a/b-{08..11}.tar") == ["a/b-08.tar", "a/b-09.tar", "a/b-10.tar", "a/b-11.tar"]
    assert expanded("a.tar") == ["a.tar"]
    with pytest.raises(InputError, match="range must grow"):
        expanded("a-{5..2}.tar")
