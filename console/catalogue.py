"""Texts of the page, one TOML file for each language."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es")
DEFAULT = "en"


@cache
def texts(language: str) -> Mapping[str, str]:
    """``section.key`` to text."""
    tables = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return MappingProxyType(
        {f"{section}.{key}": text for section, table in tables.items() for key, text in table.items()}
    )


def language_of(chosen: str | None, accepted: str) -> str:
    """The chosen language, else the first of the browser's that there is, else English."""
    if chosen in LANGUAGES:
        return chosen
    for item in accepted.split(","):
        language = item.split(";")[0].split("-")[0].strip().lower()
        if language in LANGUAGES:
            return language
    return DEFAULT
