"""Plates as a person types them: with spaces, in parts, and with characters that look alike."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from station.errors import StoreError
from station.store.plates import normal

__all__ = ["MAX_LENGTH", "MAX_TEXTS", "look_alikes", "normal", "wanted"]
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LENGTH = 32
MAX_TEXTS = 1024
"""Of 1,000 plates such as 1ABC234, 4 have more that look like them, and 42 more than 256."""
_GROUPS = ("0ODQ", "1IL", "2Z", "5S", "6G", "8B", "UV")
_ALIKE = {character: group for group in _GROUPS for character in group}


def wanted(typed: Iterable[str]) -> tuple[str, ...]:
    """Return plates that were typed as a search has them, without those that are any text.

    Raises StoreError for one that is only spaces or dashes: a search without it would find all reads.
    """
    plates = [normal(plate) for plate in typed]
    if not all(plates):
        raise StoreError("a plate has at least one letter, digit or wildcard")
    return tuple(plate for plate in plates if plate.strip("*"))


def look_alikes(plate: str) -> tuple[str, ...]:
    """Return the plate and all texts that look like it, the plate first.

    Raises StoreError for a plate that has too many.
    """
    choices = [_own_first(character) for character in plate]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_TEXTS:
        raise StoreError(
            f"{count:,} texts look like this plate: give fewer than {MAX_TEXTS}, or search it exactly"
        )
    return tuple("".join(characters) for characters in product(*choices))


def _own_first(character: str) -> str:
    group = _ALIKE.get(character, character)
    return character + group.replace(character, "")
