"""A unit's own tables on its card: what is wired in the vehicle, checked before the card is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.runtime.config import parse_config
from protocol.written import WrittenFileError, parse_toml, read_written
from provision.card import MAX_CONFIG
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

_FROM_THE_CARD = ("unit", "agency", "state_dir", "seal", "format")
"""Who the unit is and whom it trusts comes from the card and the authority."""


def load_card_config(path: Path) -> str:
    """Return the text of a TOML file that a card can carry; raises ProvisionError."""
    try:
        text = read_written(path)
        table = parse_toml(text)
    except OSError as error:
        raise ProvisionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except WrittenFileError as error:
        raise ProvisionError(f"{path}: cannot be used: {error}") from error
    if len(text) > MAX_CONFIG:
        raise ProvisionError(f"{path}: more than {MAX_CONFIG:,} characters")
    hw = table.get("hw")
    if own := [key for key in _FROM_THE_CARD if key in table]:
        raise ProvisionError(f"{path}: {', '.join(own)}: set by the card; remove it from the file")
    if not isinstance(hw, dict) or "link" in hw:
        raise ProvisionError(f"{path}: needs [[hw.cameras]] and other tables of [hw], without [hw.link]")
    try:
        # The first boot writes the link after it, which an inline `hw = {...}` does not take.
        parse_toml(f"{text}\n[hw.link]\n")
    except WrittenFileError as error:
        raise ProvisionError(f"{path}: write [hw] as tables, [[hw.cameras]] and [hw.gnss], not inline") from error
    try:
        parse_config({"unit": "unit", "agency": "agency", **table}, str(path))
    except ConfigError as error:
        raise ProvisionError(str(error)) from None
    return text
