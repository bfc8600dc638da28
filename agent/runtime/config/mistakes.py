"""Mistakes of a configuration in words, with the keys as people write them."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from hw.config import without_credentials
from protocol.mistakes import as_written, words_of

if TYPE_CHECKING:
    from pydantic import ValidationError

_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters: control, surrogates, separators of lines."""
_DERIVED = ("unit", "state_dir")
"""Taken over into the hardware's tables."""


def lines_of(error: ValidationError | None, table: dict[str, Any], *, skip: str = "") -> list[str]:
    """One line a mistake; a value that may be of several types is refused once, not once a type."""
    lines: dict[str, list[str]] = {}
    for item in () if error is None else error.errors():
        *_, last = item["loc"] or ("",)
        if item["loc"][:1] == ("hw",) and last in _DERIVED and item["input"] == table.get(last):
            continue  # told at the top level, where it was written
        if item["type"] == skip:
            continue
        told = lines.setdefault(_path(item["loc"], table), [])
        if (what := without_credentials(words_of(item))) not in told:
            told.append(what)
    told_of = {path: _either(told) for path, told in lines.items()}
    return [f"  {path}: {text}" for path, text in (odd_texts(table) | told_of).items()]


def odd_texts(value: Any, path: str = "") -> dict[str, str]:
    """Mistakes in texts that no type forbids, by key: empty ones, and those with control characters or half characters.

    An empty path would be the working folder.
    """
    found: dict[str, str] = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= odd_texts(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            found |= odd_texts(inner, f"{path}[{index}]")
    elif isinstance(value, str) and not value:
        found[path] = "must not be empty; leave the key out instead"
    elif isinstance(value, str) and any(unicodedata.category(char) in _NO_TEXT for char in value):
        found[path] = without_credentials(f"has a character that is no text; it is {as_written(value)}")
    return found


def _either(told: list[str]) -> str:
    if len(told) == 1:
        return told[0]
    heads = [text.rpartition("; it is ")[0] or text for text in told]
    return f"{' or '.join(dict.fromkeys(heads))}; it is {told[0].rpartition('; it is ')[2]}"


def _path(loc: tuple[int | str, ...], table: Any) -> str:
    """``hw.cameras[0].fps``: the keys that people write, without the kinds that pydantic puts between them."""
    text, inner = "", table
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(part, int):
            text += f"[{part}]"
            inner = inner[part] if isinstance(inner, list | tuple) and part < len(inner) else None
        elif isinstance(inner, dict) and "[" in part and part not in inner:
            continue  # one of several types that the value may be of
        elif isinstance(inner, dict) and (part in inner or (last and inner.get("kind") != part)):
            text += f".{part}" if text else part
            inner = inner.get(part)
    return text or "(top level)"
