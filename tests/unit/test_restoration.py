from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from edgerestore.errors import BackendError, ImageError, InputError
from edgerestore.imaging import read_picture
from edgerestore.restoration import Job, Settings, find_jobs, is_done, restore_file, restore_files

SETTINGS = Settings(tile=16, overlap=4, scale=2)


def nearest(tiles):
    return tiles.repeat(2, axis=2).repeat(2, axis=3)


def noise(*shape, dtype=np.uint8):
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def save(path: Path, samples=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(12, 20, 3) if samples is None else samples).save(path)
    return path


def names(jobs, root):
    return [(str(job.source.relative_to(root)), str(job.target.relative_to(root))) for job in jobs]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_depth_and_colours_are_kept(tmp_path, suffix, dtype, channels):
    samples = noise(25, 40, channels, dtype=dtype)
    source = tmp_path / "in.tif"
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(source, samples.squeeze(), photometric=photometric)
    target = tmp_path / f"out{suffix}"
    restore_file(Job(source, target), nearest, SETTINGS)
    restored = read_picture(target)
    assert restored.alpha is None
    np.testing.assert_array_equal(restored.colour, samples.repeat(2, 0).repeat(2, 1))


def test_sixteen_bits_become_eight_where_the_format_holds_no_more(tmp_path):
    samples = noise(20, 20, 4, dtype=np.uint16)
    source = tmp_path / "in.tif"
    tifffile.imwrite(source, samples, photometric="rgb", extrasamples=["unassalpha"])
    settings = Settings(tile=16, overlap=4, scale=2, quality=100)
    restore_file(Job(source, tmp_path / "out.webp"), nearest, settings)
    restored = read_picture(tmp_path / "out.webp")
    assert (restored.depth, restored.alpha.shape) == (8, (40, 40))
    expected = np.rint(samples[:, :, :3] / 257).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(restored.colour, expected, atol=1)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_resized_by_itself_and_kept(tmp_path, mode):
    samples = noise(21, 30, len(mode))
    source = save(tmp_path / "in.png", samples)
    restore_file(Job(source, tmp_path / "out.png"), nearest, SETTINGS)
    restored = read_picture(tmp_path / "out.png")
    expected = samples[:, :, :-1].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(restored.colour, expected)
    smooth = Image.fromarray(samples[:, :, -1].astype(np.float32)).resize(
        (60, 42), Image.Resampling.LANCZOS
    )
    difference = restored.alpha.astype(int) - np.clip(np.rint(np.asarray(smooth)), 0, 255)
    assert np.abs(difference).max() <= 1


def test_grey_is_the_mean_of_what_the_network_gives(tmp_path):
    source = save(tmp_path / "in.png", np.full((20, 20), 100, np.uint8))
    tint = np.array([0.2, 0.0, 0.1], np.float32).reshape(3, 1, 1)
    restore_file(Job(source, tmp_path / "out.png"), lambda t: nearest(t) + tint, SETTINGS)
    restored = read_picture(tmp_path / "out.png").colour
    assert restored.shape == (40, 40, 1)
    assert set(restored.ravel()) == {round(100 + 0.1 * 255)}


def test_values_beyond_white_and_black_are_clipped(tmp_path):
    source = save(tmp_path / "in.png", noise(20, 20, 3))
    restore_file(Job(source, tmp_path / "out.png"), lambda t: nearest(t) * 9 - 4, SETTINGS)
    restored = read_picture(tmp_path / "out.png").colour
    assert {0, 255} <= set(restored.ravel())


@pytest.mark.parametrize("overlap", [-1, 16])
def test_settings_refuse_an_overlap_out_of_range(overlap):
    with pytest.raises(InputError, match=f"--overlap {overlap}"):
        Settings(tile=16, overlap=overlap, scale=2)


@pytest.mark.parametrize("quality", [0, 101])
def test_settings_refuse_a_quality_out_of_range(quality):
    with pytest.raises(InputError, match=f"--quality {quality}: must be from 1 to 100"):
        Settings(tile=16, overlap=4, scale=2, quality=quality)


def test_one_file_goes_to_the_named_file_or_into_the_folder(tmp_path):
    source = save(tmp_path / "in.png")
    (tmp_path / "there").mkdir()
    assert find_jobs([str(source)], tmp_path / "new.jpg") == [Job(source, tmp_path / "new.jpg")]
    (job,) = find_jobs([str(source)], tmp_path / "there")
    assert job.target == tmp_path / "there" / "in.png"


def test_a_folder_keeps_its_structure_and_leaves_other_files(tmp_path):
    for name in ("b.png", "a/c.JPG", "a/d/e.tiff", ".hidden.png", ".git/f.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    (tmp_path / "in" / "folder.png").mkdir()
    jobs = find_jobs([str(tmp_path / "in")], tmp_path / "out")
    assert names(jobs, tmp_path) == [
        ("in/a/c.JPG", "out/a/c.JPG"),
        ("in/a/d/e.tiff", "out/a/d/e.tiff"),
        ("in/b.png", "out/b.png"),
    ]


def test_an_output_folder_inside_the_input_is_not_input(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "out" / "a.png")
    assert names(find_jobs([str(tmp_path)], tmp_path / "out"), tmp_path) == [("a.png", "out/a.png")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.png", [("in/b.png", "out/b.png")]),
        ("in/**/*.png", [("in/a/c.png", "out/a/c.png"), ("in/b.png", "out/b.png")]),
        ("in/[ab]/c.*", [("in/a/c.png", "out/a/c.png")]),
        ("*/b.png", [("in/b.png", "out/in/b.png")]),
    ],
)
def test_a_pattern_keeps_the_structure_behind_its_fixed_part(
    tmp_path, monkeypatch, pattern, expected
):
    save(tmp_path / "in" / "b.png")
    save(tmp_path / "in" / "a" / "c.png")
    (tmp_path / "in" / "a" / "c.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    jobs = find_jobs([pattern], Path("out"))
    assert [(str(job.source), str(job.target)) for job in jobs] == expected
    absolute = find_jobs([str(tmp_path / pattern)], tmp_path / "out")
    assert names(absolute, tmp_path) == expected


def test_a_name_with_brackets_that_exists_is_a_name(tmp_path):
    source = save(tmp_path / "a[1].png")
    assert find_jobs([str(source)], tmp_path / "out.png")[0].source == source


def test_several_files_go_into_a_folder(tmp_path):
    first, second = save(tmp_path / "x" / "a.png"), save(tmp_path / "y" / "b.png")
    jobs = find_jobs([str(first), str(second), str(first)], tmp_path / "out")
    assert [job.target for job in jobs] == [tmp_path / "out" / "a.png", tmp_path / "out" / "b.png"]


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["absent.png"], "out.png", r"absent\.png: no such file or folder"),
        (["empty"], "out", r"empty: no PNG, JPEG, TIFF or WebP files there"),
        (["*.webp"], "out", r"\*\.webp: no PNG, JPEG, TIFF or WebP files there"),
        (["a.png"], "a.png", r"a\.png: would overwrite an input"),
        (["a.png"], "link.png", r"link\.png: would overwrite an input"),
        (["."], ".", r"would overwrite an input"),
        (["a.png"], ".", r"would overwrite an input"),
        (["a.png", "x/a.png"], "out", r"both .*a\.png and x/a\.png would be written there"),
        (["a.png", "x/b.png"], "a.png", r"a\.png: is a file; several results need a folder"),
        (["a.png"], "out.gif", r"'\.gif' names no image format"),
        (["a.png"], "out", r"'' names no image format"),
    ],
)
def test_inputs_and_outputs_that_do_not_go_together(tmp_path, monkeypatch, inputs, out, message):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "x/a.png", "x/b.png"):
        save(Path(name))
    Path("empty").mkdir()
    Path("link.png").symlink_to("a.png")
    with pytest.raises(InputError, match=message):
        find_jobs(inputs, Path(out))


def test_done_means_newer_and_of_the_right_size(tmp_path):
    job = Job(save(tmp_path / "in.png"), tmp_path / "out.png")
    assert not is_done(job, 2, 0)
    restore_file(job, nearest, SETTINGS)
    later = job.source.stat().st_mtime_ns + 10**9
    os.utime(job.target, ns=(later, later))
    assert is_done(job, 2, 0)
    assert is_done(job, 2, later)
    assert not is_done(job, 2, later + 1)
    assert not is_done(job, 3, 0)
    os.utime(job.source, ns=(later + 1, later + 1))
    assert not is_done(job, 2, 0)
    os.utime(job.source, ns=(later, later))
    job.target.write_bytes(b"not an image")
    assert not is_done(job, 2, 0)


def test_files_go_on_past_a_damaged_one_and_are_not_done_twice(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes(b"damaged")
    jobs = find_jobs([str(tmp_path / "in")], tmp_path / "out")
    first = list(restore_files(jobs, nearest, SETTINGS, since_ns=0))
    assert [outcome.status for outcome in first] == ["restored", "failed", "restored"]
    assert "b.png: not a PNG" in first[1].reason
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    second = list(restore_files(jobs, nearest, SETTINGS, since_ns=0))
    assert [outcome.status for outcome in second] == ["skipped", "failed", "skipped"]
    forced = list(restore_files(jobs, nearest, SETTINGS))
    assert [outcome.status for outcome in forced] == ["restored", "failed", "restored"]


def test_a_failing_runtime_stops_everything_and_leaves_nothing(tmp_path):
    jobs = find_jobs([str(save(tmp_path / "in" / "a.png").parent)], tmp_path / "out")
    with pytest.raises(BackendError):
        list(restore_files(jobs, lambda tiles: tiles, SETTINGS))
    assert list((tmp_path / "out").iterdir()) == []


def test_alpha_into_jpeg_is_refused_before_the_network_runs(tmp_path):
    source = save(tmp_path / "in.png", noise(20, 20, 4))
    with pytest.raises(ImageError, match="JPEG cannot hold the alpha"):
        restore_file(
            Job(source, tmp_path / "out.jpg"), lambda tiles: pytest.fail("it ran"), SETTINGS
        )
