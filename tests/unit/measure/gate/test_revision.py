from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bundle import read_bundle
from edgerestore.errors import BundleError, InputError, MissingPartError
from edgerestore.measure.gate.revision import CI_COMMITS, bundle_folder, revision_of

Make = Callable[..., Path]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI_COMMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repository(make_bundle: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the bundle ``kept/tiny`` in its first commit and none in its second."""
    folder = tmp_path / "repository"
    (folder / "kept").mkdir(parents=True)
    make_bundle("tiny").rename(folder / "kept" / "tiny")
    (folder / "kept" / "tiny" / "compiled").mkdir()
    (folder / "kept" / "tiny" / "compiled" / "engine").write_text("made on a device")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Add a bundle")
    git(folder, "rm", "--quiet", "-r", "kept")
    git(folder, "commit", "--quiet", "--message", "Remove it")
    monkeypatch.chdir(folder)
    return folder


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    with bundle_folder(str(tmp_path)) as folder:
        assert folder == tmp_path
    odd = tmp_path / "a:b"
    odd.mkdir()
    with bundle_folder(str(odd)) as folder:
        assert folder == odd


def test_a_revision_gives_its_bundle_and_leaves_nothing(repository: Path) -> None:
    with bundle_folder("HEAD~1:kept/tiny") as folder:
        assert read_bundle(folder).name == "tiny-fp32-ort-cpu"
        assert not (folder / "compiled").exists()
    assert not folder.exists()


def test_the_commit_is_the_revisions_or_that_of_the_folders_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = git(repository, "rev-parse", "HEAD~1", "HEAD").split()
    git(repository, "tag", "--annotate", "v1", "HEAD~1", "--message", "v1")
    assert revision_of("HEAD~1:kept/tiny") == revision_of("v1:kept/tiny") == first
    assert revision_of("nothing:kept/tiny") is None
    monkeypatch.chdir(tmp_path)
    assert revision_of(str(repository)) == second
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision_of(str(tmp_path)) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision_of(str(repository)) is None


@pytest.mark.parametrize("name", CI_COMMITS)
def test_a_folder_in_ci_is_of_the_jobs_commit(
    repository: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "f00d")
    assert revision_of(str(repository)) == "f00d"
    assert revision_of("HEAD:kept") == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "given",
    ["HEAD:kept/tiny", "nothing:kept/tiny", "HEAD~1:kept/../../tiny", "HEAD~1:", ":kept",
     "--output=/tmp/x:kept", "HEAD~1:kept/tiny/bundle.json"],
)  # fmt: skip
def test_what_git_does_not_have_is_one_line(repository: Path, given: str) -> None:
    with pytest.raises(InputError) as caught, bundle_folder(given):
        pass
    assert str(caught.value).startswith(given)
    assert "\n" not in str(caught.value)


def test_damage_is_found_as_in_any_bundle(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "HEAD~1")
    (repository / "kept" / "tiny" / "model.onnx").write_bytes(b"damaged")
    git(repository, "commit", "--quiet", "--all", "--message", "Damage it")
    with bundle_folder("HEAD:kept/tiny") as folder, pytest.raises(BundleError, match="damaged"):
        read_bundle(folder)


def test_a_link_in_a_revision_is_refused(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "HEAD~1")
    (repository / "kept" / "tiny" / "secret").symlink_to("/etc/passwd")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Link")
    with (
        pytest.raises(BundleError, match="'secret' is not a plain file"),
        bundle_folder("HEAD:kept/tiny"),
    ):
        pass


def test_more_files_than_a_bundle_holds_are_refused(repository: Path) -> None:
    many = repository / "many"
    many.mkdir()
    for number in range(70):
        (many / str(number)).write_text("")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Many")
    with pytest.raises(BundleError, match="more than a bundle holds"), bundle_folder("HEAD:many"):
        pass


def test_without_a_repository_or_git_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="not a git repository"), bundle_folder("HEAD:a"):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPartError, match="needs git"), bundle_folder("HEAD:a"):
        pass
