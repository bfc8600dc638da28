"""Plates as a person types them: with spaces, in parts, and with characters that look alike."""

from __future__ import annotations

from itertools import product

from station.errors import StoreError

MAX_LENGTH = 32
MAX_TEXTS = 1024
"""Of 1,000 plates such as 1ABC234, 4 have more that look like them, and 42 more than 256."""
_GROUPS = ("0ODQ", "1IL", "2Z", "5S", "6G", "8B", "UV")
_ALIKE = {character: group for group in _GROUPS for character in group}


def normal(typed: str) -> str:
    """Return a plate in capitals without spaces, hyphens and dots; wildcards stay."""
    return "".join(character for character in typed.upper() if character not in " -.\t")


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
