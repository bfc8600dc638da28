"""Entries of a list as bytes: fields in a fixed order, deflated in blocks, of which one is read for a match."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import HotlistError
from protocol.hotlist.columns import inflate

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_ENTRIES = 128
MAX_FIELD_CHARS = 1000
MAX_ENTRY_BYTES = 1200
SEPARATOR, END = b"\x1f", b"\n"
_LEVEL = 1
UNKNOWN_REGION = "?"
FIELDS = (
    "text", "region", "entry_id", "reason", "make", "model", "colour", "year", "note", "callback", "expires_utc_us",
)  # fmt: skip
"""Their order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a hot list."""

    entry_id: str
    """The owner's number of the entry; made of its row if the owner has none."""
    text: str
    """The listed plate as its owner wrote it, without spaces and dashes; ``?`` and ``*`` are wildcards."""
    region: str = UNKNOWN_REGION
    """Issuing region, such as ``US-CA``; ``?`` if the list does not say."""
    reason: str = ""
    make: str = ""
    model: str = ""
    colour: str = ""
    year: str = ""
    note: str = ""
    callback: str = ""
    """Whom to ask for confirmation, such as an agency's identifier or number."""
    expires_utc_us: int | None = None


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes of an entry; characters that cannot be printed become spaces."""
    values = ["" if (value := getattr(entry, name)) is None else str(value)[:MAX_FIELD_CHARS] for name in FIELDS]
    return "\x1f".join(map(_printable, values)).encode()


def decode_entry(data: bytes, fallback_id: str) -> Entry:
    """Return the entry; raises HotlistError for bytes of another form."""
    try:
        values = [_printable(value).strip()[:MAX_FIELD_CHARS] for value in data.decode().split("\x1f")]
        text, region, entry_id, reason, make, model, colour, year, note, callback, expires = values
        expires_utc_us = int(expires) if expires else None
    except ValueError as error:
        raise HotlistError("an entry of the list is damaged") from error
    return Entry(
        entry_id or fallback_id, text, region or UNKNOWN_REGION, reason, make, model, colour, year, note, callback,
        expires_utc_us,
    )  # fmt: skip


def _printable(text: str) -> str:
    """Replace controls, and characters that change the order in which others are shown."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def encode_block(entries: Sequence[bytes]) -> bytes:
    """Return a block of up to 128 entries."""
    return zlib.compress(END.join(entries), _LEVEL)


def decode_block(data: bytes) -> list[bytes]:
    """Return the entries of a block; raises HotlistError."""
    return inflate(data, BLOCK_ENTRIES * (MAX_ENTRY_BYTES + 1)).split(END)
