"""Texts to choose from before the listed plate is shown: the officer says what the picture shows.

A person who has seen the listed text tends to see it in the picture, too; therefore it is one of several that look
alike.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from console.state import table

if TYPE_CHECKING:
    from collections.abc import Mapping

CHOICES = 4
_ALIKE = (
    "0ODQ",
    "1IL",
    "2Z",
    "5S",
    "6G",
    "8B",
    "4A",
    "7T",
    "VY",
    "UV",
    "MN",
    "PR",
    "EF",
    "CG",
    "KX",
    "3E",
    "9P",
    "HN",
    "JI",
    "WM",
)


def choices(hit: Mapping[str, Any]) -> tuple[str, ...]:
    """Four different texts that look alike: what was read, what is listed, and others; in an order without meaning."""
    text, listed = str(hit.get("text") or ""), str(table(hit.get("listed")).get("text") or "")
    found = [text]
    if listed and not _has_wildcard(listed) and listed != text:
        found.append(listed)
    for other in _similar(text, hit.get("chars") or ()):
        if len(found) >= CHOICES:
            break
        # A text that the entry also matches would be a second right answer.
        if other not in found and not matches(other, listed):
            found.append(other)
    return tuple(sorted(found, key=lambda one: hashlib.sha256(f"{hit.get('hit_id')}{one}".encode()).digest()))


def matches(text: str, listed: str) -> bool:
    """True if the listed text, which may have the wildcards ``*`` and ``?``, covers the text."""
    return fnmatchcase(text, listed.replace("[", "[[]"))


def _has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def _similar(text: str, chars: Any) -> list[str]:
    """Texts with one character replaced by one that looks like it: each place once, least certain first, then again."""
    certain = [_confidence(chars, place) for place in range(len(text))]
    by_place = [
        [text[:place] + other + text[place + 1 :] for other in _alike(text[place])]
        for place in sorted(range(len(text)), key=lambda i: certain[i])
    ]
    found = [other for rounds in zip_longest(*by_place) for other in rounds if other is not None]
    # Two places swapped, for a text without a character that looks like another.
    found += [
        text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1) if text[i] != text[i + 1]
    ]
    return found


def _alike(char: str) -> list[str]:
    return [other for group in _ALIKE if char in group for other in group if other != char]


def _confidence(chars: Any, place: int) -> float:
    try:
        return float(chars[place][1])
    except (LookupError, TypeError, ValueError):
        return 1.0
