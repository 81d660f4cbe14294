from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore import evaluation
from edgerestore.errors import ImageError, InputError, MissingPartError
from edgerestore.evaluation import (
    ImagePair,
    data_label,
    evaluate,
    is_same_data,
    pairs_digest,
    protocol,
    read_pairs,
)


def save(path: Path, height: int, width: int, value: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, 2 * value, 3 * value)).save(path)


def doubled(tiles: np.ndarray) -> np.ndarray:
    return tiles.repeat(2, 2).repeat(2, 3)


def test_reads_high_and_low_resolution(pairs_folder: Path) -> None:
    pairs = read_pairs(pairs_folder, 2)
    assert [pair.name for pair in pairs] == ["a", "b", "c"]
    assert pairs[1].low.shape == (24, 31, 3)
    assert pairs[1].high.shape == (48, 62, 3)


def test_low_resolution_names_may_be_plain_and_truth_is_cut(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "x.png", 21, 23)
    save(tmp_path / "LR_bicubic" / "X2" / "x.png", 10, 11)
    (pair,) = read_pairs(tmp_path, 2)
    assert pair.high.shape == (20, 22, 3)


def test_scale_folder_can_be_named(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "x.png", 20, 20)
    save(tmp_path / "LR_bicubic" / "X2b" / "xx2b.png", 10, 10)
    assert len(read_pairs(tmp_path, 2, "X2b")) == 1
    with pytest.raises(InputError, match="expected LR_bicubic/X2/ and HR/; input/ and target/"):
        read_pairs(tmp_path, 2)


@pytest.mark.parametrize(
    ("degraded", "truth"),
    [
        ("input/1.png", "target/1.png"),
        ("input/1.jpg", "target/1.png"),
        ("rainL/rain-001.png", "norain/norain-001.png"),
        ("rainL/1.png", "norain/1.png"),
        ("rain/rain-12.png", "norain/norain-12.png"),
        ("rainH/rain-001.png", "norain/norain-001.png"),
        ("synthetic/beautiful_smile_00003.jpg", "gt/beautiful_smile_00003.jpg"),  # Snow100K
    ],
)
def test_reads_the_layouts_of_same_size_pairs(degraded: str, truth: str, tmp_path: Path) -> None:
    save(tmp_path / degraded, 10, 12, 3)
    save(tmp_path / truth, 10, 12, 5)
    (pair,) = read_pairs(tmp_path, 1)
    assert pair.name == Path(truth).stem
    # JPEG may be a level off.
    assert pair.low[0, 0, 0] in (2, 3)
    assert pair.high[0, 0, 0] in (4, 5)


def test_degraded_folder_is_the_first_known_one_or_the_one_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "norain" / "norain-1.png", 10, 12, 5)
    save(tmp_path / "rainH" / "rain-1.png", 10, 12, 7)
    save(tmp_path / "rainL" / "rain-1.png", 10, 12, 6)
    assert read_pairs(tmp_path, 1)[0].low[0, 0, 0] == 6
    assert read_pairs(tmp_path, 1, degraded="rainH")[0].low[0, 0, 0] == 7
    with pytest.raises(InputError, match=r"holds no pairs; expected rain/ and norain/$"):
        read_pairs(tmp_path, 1, degraded="rain")
    with pytest.raises(InputError, match="holds no pairs; expected another layout"):
        read_pairs(tmp_path, 1, degraded="drizzle")


def test_pairs_are_picked_by_the_file_name_of_their_truth(pairs_folder: Path) -> None:
    asked = []

    def takes(name: str) -> bool:
        asked.append(name)
        return name != "b.png"

    assert [pair.name for pair in read_pairs(pairs_folder, 2, takes=takes)] == ["a", "c"]
    assert sorted(asked) == ["a.png", "b.png", "c.png"]


def test_where_pairs_are_picked_a_truth_may_lack_its_partner(pairs_folder: Path) -> None:
    (pairs_folder / "LR_bicubic" / "X2" / "bx2.png").unlink()
    assert len(read_pairs(pairs_folder, 2, takes=lambda name: True)) == 2
    (pairs_folder / "HR" / "c.png").unlink()
    with pytest.raises(InputError, match=r"HR: no partner for cx2\.png"):
        read_pairs(pairs_folder, 2, takes=lambda name: True)


def test_image_without_partner_is_named(pairs_folder: Path) -> None:
    (pairs_folder / "HR" / "b.png").unlink()
    with pytest.raises(InputError, match=r"HR: no partner for bx2\.png"):
        read_pairs(pairs_folder, 2)
    (pairs_folder / "LR_bicubic" / "X2" / "bx2.png").unlink()
    (pairs_folder / "LR_bicubic" / "X2" / "cx2.png").unlink()
    with pytest.raises(InputError, match=r"X2: no partner for c\.png"):
        read_pairs(pairs_folder, 2)


def test_many_images_without_partner_are_counted(pairs_folder: Path) -> None:
    for number in range(9):
        save(pairs_folder / "HR" / f"n{number}.png", 48, 60)
    with pytest.raises(InputError, match=r"n0\.png, n1\.png, n2\.png, n3\.png and 5 more"):
        read_pairs(pairs_folder, 2)


def test_two_files_of_one_name_are_refused(pairs_folder: Path) -> None:
    save(pairs_folder / "HR" / "a.jpg", 48, 60)
    with pytest.raises(InputError, match=r"a\.jpg and a\.png stand for one image"):
        read_pairs(pairs_folder, 2)


@pytest.mark.parametrize(("height", "width"), [(50, 60), (47, 60), (48, 62)])
def test_sizes_that_do_not_correspond_are_refused(
    height: int, width: int, pairs_folder: Path
) -> None:
    save(pairs_folder / "HR" / "a.png", height, width)
    with pytest.raises(InputError, match=rf"a\.png: is {width} x {height}, but 2 times .* 60 x 48"):
        read_pairs(pairs_folder, 2)


def test_damaged_and_absent_data_are_named(pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "HR" / "a.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"HR/a\.png: cannot be read"):
        read_pairs(pairs_folder, 2)
    with pytest.raises(InputError, match="absent: no such folder"):
        read_pairs(tmp_path / "absent", 2)


def test_exact_restoration_scores_infinite_and_one(pairs_folder: Path) -> None:
    told = []
    scores = evaluate(
        doubled,
        read_pairs(pairs_folder, 2),
        tile=16,
        overlap=4,
        scale=2,
        border=2,
        report=told.append,
    )
    assert [score.name for score in scores] == told == ["a", "b", "c"]
    assert all(score.psnr_y_db > 300 for score in scores)
    assert all(score.ssim_y == pytest.approx(1) for score in scores)


def test_score_is_of_rounded_and_clipped_values() -> None:
    low = np.full((20, 20, 3), 255, np.uint8)
    pair = ImagePair("white", low, low)
    (above,) = evaluate(lambda t: t + 0.5, [pair], tile=16, overlap=2, scale=1, border=0)
    assert above.psnr_y_db > 300
    (near,) = evaluate(lambda t: t - 0.4 / 255, [pair], tile=16, overlap=2, scale=1, border=0)
    assert near.psnr_y_db > 300
    (off,) = evaluate(lambda t: t - 10 / 255, [pair], tile=16, overlap=2, scale=1, border=0)
    # Ten grey levels are 10 * 219 / 255 levels of luma.
    assert off.psnr_y_db == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=0.01)


def test_border_is_cut_before_scoring(pairs_folder: Path) -> None:
    (pair, *_) = read_pairs(pairs_folder, 2)
    high = pair.high.copy()
    high[:2], high[-2:], high[:, :2], high[:, -2:] = 0, 0, 0, 0
    framed = [ImagePair("framed", pair.low, high)]
    cut, whole = (
        evaluate(doubled, framed, tile=16, overlap=4, scale=2, border=border)[0]
        for border in (2, 0)
    )
    assert cut.psnr_y_db > 300
    assert whole.psnr_y_db < 40


def test_batch_is_handed_to_the_runtime(pairs_folder: Path) -> None:
    seen = set()

    def run(tiles: np.ndarray) -> np.ndarray:
        seen.add(tiles.shape)
        return doubled(tiles)

    evaluate(run, read_pairs(pairs_folder, 2), tile=16, overlap=4, scale=2, border=2, batch=3)
    assert seen == {(3, 3, 16, 16)}


def test_ssim_is_unknown_without_its_package(pairs_folder: Path, monkeypatch) -> None:
    def absent(*arguments: object, **options: object) -> float:
        raise MissingPartError("pip install")

    monkeypatch.setattr(evaluation.metrics, "ssim_y", absent)
    pairs = read_pairs(pairs_folder, 2)
    scores = evaluate(doubled, pairs, tile=16, overlap=4, scale=2, border=2)
    assert {score.ssim_y for score in scores} == {None}


def test_digest_and_label_tell_the_data(pairs_folder: Path) -> None:
    pairs = read_pairs(pairs_folder, 2)
    label = data_label(pairs_folder, pairs)
    assert label == f"pairs: 3 images, sha256 {pairs_digest(pairs)[:12]}"
    assert is_same_data(label, pairs)
    assert not is_same_data(label, pairs[:2])
    pairs[0].high[0, 0, 0] ^= 1
    assert not is_same_data(label, pairs)


def test_protocol_states_peak_channel_border_and_tiles() -> None:
    text = protocol(border=3, tile=48, overlap=8)
    for part in ("luma", "8 bits", "peak 255", "3 pixels", "48 x 48 with 8 shared"):
        assert part in text
