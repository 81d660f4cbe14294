from __future__ import annotations

from pathlib import Path

import pytest

from edgerestore import shipped
from edgerestore.errors import InputError, MissingPartError, UnknownNameError
from edgerestore.shipped import shipped_folder, shipped_toml, toml_folder


def test_checkout_and_wheel_folders_are_found(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "site" / "edgerestore"
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "PACKAGE", package)
    with pytest.raises(MissingPartError, match="recipes are missing"):
        shipped_folder("recipes")
    (tmp_path / "site" / "export" / "recipes").mkdir(parents=True)
    assert shipped_folder("recipes") == tmp_path / "site" / "export" / "recipes"
    (package / "data" / "recipes").mkdir(parents=True)
    assert shipped_folder("recipes") == package / "data" / "recipes"


def test_what_is_shipped_is_found_by_name() -> None:
    assert shipped_toml("recipes", "esrt_s_x2").is_file()
    assert shipped_toml("calibration", "photos").is_file()
    assert toml_folder("calibration").name == "sets"


def test_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    assert shipped_toml("recipes", str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    with pytest.raises(InputError, match="no such file"):
        shipped_toml("recipes", "absent.toml")


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'esrt_s_x3'; did you mean"):
        shipped_toml("recipes", "esrt_s_x3")
