"""Mistakes in what people wrote, in words: the validator's are for programmers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_MAX_SHOWN = 60
_KINDS_OF_VALUES = (
    ("int", "a whole number"), ("float", "a number"), ("bool", "true or false"), ("string", "a text in quotes"),
    ("tuple", "a list in brackets"), ("list", "a list in brackets"), ("path", "a path in quotes"),
    ("model", "a table"), ("dict", "a table"), ("date", "a date"),
)  # fmt: skip
_LIMITS_OF_VALUES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "string_pattern_mismatch": "has a character or a length that is not allowed, must match {pattern}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "unknown kind, must be one of {expected_tags}",
    "finite_number": "must be a finite number",
}


def words_of(item: Any, *, with_value: bool = True) -> str:
    """One mistake of a ``ValidationError``; ``with_value`` only where no value is a secret or a plate."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing"
    if kind == "union_tag_not_found":
        return "kind is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind in _LIMITS_OF_VALUES:
        shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
        told = _LIMITS_OF_VALUES[kind].format(**shown)
    else:
        told = next((f"must be {word}" for start, word in _KINDS_OF_VALUES if kind.startswith(start)), "not valid")
    if kind == "union_tag_invalid":
        return f"{told}; it is {as_written(context['tag'])}"
    return f"{told}; it is {as_written(item['input'])}" if with_value else told


def mistakes_of(error: ValidationError, top: str, *, with_values: bool = True) -> list[str]:
    """Return ``key: what is wrong`` for each; ``top`` stands for the whole."""
    return [
        f"{'.'.join(map(str, item['loc'])) or top}: {words_of(item, with_value=with_values)}"
        for item in error.errors(include_url=False)
    ]


def as_written(value: object) -> str:
    """A value as TOML has it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
