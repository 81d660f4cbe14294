"""Tables of which a recipe takes one of several."""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A table whose ``kind`` says which one it is; the others' fields are unknown to it."""
