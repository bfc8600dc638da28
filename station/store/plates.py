"""Plates as a person types or pastes them, in the form in which they are stored."""

from __future__ import annotations

import unicodedata

_SEPARATORS = frozenset({"Zs", "Pd", "Cc", "Cf"})
"""Spaces, dashes, control characters, and those without a width, which come along when a text is pasted."""
_DOTS = ".\u00b7\u2022"


def normal(typed: str) -> str:
    """Return a plate in capitals without spaces, dashes and dots; wildcards stay."""
    # Of characters that are written in several ways, such as those of full width, the usual one.
    text = unicodedata.normalize("NFKC", typed).upper()
    return "".join(one for one in text if one not in _DOTS and unicodedata.category(one) not in _SEPARATORS)
