"""What a model card says that no file but the recipe knows: the ``[card]`` table."""

from __future__ import annotations

import msgspec


class DataSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pictures that weights learned from."""

    name: str
    pictures: str
    """Which pictures and how many, in words."""
    terms: str
    """Terms under which pictures may be used, or that none are stated; and who says so."""
    source: str
    """Where others get the pictures."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the weights are for, what they learned from and what they cannot do."""

    purpose: str
    data: tuple[DataSet, ...]
    limits: tuple[str, ...]
    licence: str
    """Licence of the weights themselves."""
