"""Where the shipped data folders lie: in an installed wheel, or beside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgerestore.errors import InputError, MissingPartError, UnknownNameError

Kind = Literal["targets", "recipes", "calibration"]

PACKAGE = Path(__file__).parent
CHECKOUT_FOLDERS: dict[Kind, str] = {
    "targets": "export/targets",
    "recipes": "export/recipes",
    "calibration": "calibration",
}
"""Folders of a source checkout, which the wheel holds as ``edgerestore/data/<kind>``."""


def shipped_folder(kind: Kind) -> Path:
    """Returns the folder of shipped ``targets``, ``recipes`` or ``calibration``.

    Raises MissingPartError where neither the wheel's folder nor the checkout's is there.
    """
    for folder in (PACKAGE / "data" / kind, PACKAGE.parent / CHECKOUT_FOLDERS[kind]):
        if folder.is_dir():
            return folder
    raise MissingPartError(
        f"the shipped {kind} are missing from {PACKAGE}; install edgerestore again"
    )


def shipped_toml(kind: Kind, name_or_path: str) -> Path:
    """Returns the TOML file that a command line names: a path, or a shipped file's stem.

    Whatever ends in ``.toml`` or holds a slash is a path. Raises InputError where there is no
    such file, UnknownNameError, which offers the nearest name, for a name that is not shipped.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return path
    known = {file.stem: file for file in toml_folder(kind).glob("*.toml")}
    if name_or_path not in known:
        raise UnknownNameError(_SINGULAR[kind], name_or_path, known)
    return known[name_or_path]


def toml_folder(kind: Kind) -> Path:
    """Returns the folder that directly holds the TOML files of a kind."""
    folder = shipped_folder(kind)
    return folder / "sets" if kind == "calibration" else folder


def evaluation_folder(pictures: str) -> Path:
    """Returns where the shipped pairs lie that go with a calibration set."""
    return shipped_folder("calibration") / "evaluation" / pictures


_SINGULAR: dict[Kind, str] = {
    "targets": "target",
    "recipes": "recipe",
    "calibration": "calibration set",
}
