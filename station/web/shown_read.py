"""A read as pages and programs see it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.wire.records.read import Read
from station.query.export import flat_values

if TYPE_CHECKING:
    from station.query import StoredRecord

_E4 = 10_000
_SURE = 0.9
_FULL = 255


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a plate."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ShownRead:
    """A read for the pages."""

    stored: StoredRecord
    read: Read
    crop: str
    """The plate's picture as an address with the picture in it; empty if it has not come."""

    @property
    def path(self) -> str:
        """Address of its page."""
        return f"/reads/{self.stored.unit}/{self.stored.record_id.hex()}"

    @property
    def confidence(self) -> float:
        """Of the whole text."""
        return self.read.confidence_e4 / _E4

    @property
    def is_sure(self) -> bool:
        """True if it needs no mark."""
        return not self.read.single_frame and self.confidence >= _SURE

    @property
    def characters(self) -> list[Character]:
        """The text with the confidence of each character."""
        shares = self.read.char_confidence_u8
        if len(shares) != len(self.read.text):
            return [Character(text, self.confidence) for text in self.read.text]
        return [Character(text, share / _FULL) for text, share in zip(self.read.text, shares, strict=True)]


def shown_reads(records: list[StoredRecord], crops: dict[bytes, bytes]) -> list[ShownRead]:
    """Return reads for the pages; a record that does not match its type is left out."""
    return [
        ShownRead(stored, stored.body, data_address(crops.get(stored.record_id)))
        for stored in records
        if isinstance(stored.body, Read)
    ]


def data_address(jpeg: bytes | None) -> str:
    """Return an address that has the picture in it; empty for none."""
    return "" if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def read_values(stored: StoredRecord) -> dict[str, Any]:
    """Return a read for programs, as ``station reads --json`` prints it."""
    return {"schema": stored.record.envelope.schema_id, **flat_values(stored)}
