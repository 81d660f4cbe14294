"""Which modules of a network a pattern of a recipe or of the command line names."""

from __future__ import annotations

import fnmatch
import itertools


def names_module(pattern: str, module: str) -> bool:
    """Whether a pattern such as ``layers.2.*`` names a module, or one that it is part of."""
    parents = itertools.accumulate(module.split("."), "{}.{}".format)
    return any(fnmatch.fnmatch(parent, pattern) for parent in parents)
