"""Messages of the station about records: receipts, nacks, picture statuses."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import NAMED, U32, U63, Flag, Id16, Message, Seq, Sha256, Text36, Text256, UnitId, key
from protocol.wire.enums import NackCode

MAX_RECEIPT_RECORDS = 1_024
MAX_RECEIPT_PICTURES = 256


class Receipt(Message):
    """``receipt/1``: what the station has stored durably.  Only this deletes a row of the outbox."""

    SCHEMA: ClassVar[str] = "receipt/1"

    unit: Annotated[UnitId, key("dev")]
    station: Annotated[Text36, key("sta")]
    stored_us: Annotated[U63, key("t")]
    records: Annotated[tuple[tuple[Seq, Id16], ...], Field(max_length=MAX_RECEIPT_RECORDS), key("rec")]
    """Sequence number and record id of each record."""
    pictures: Annotated[tuple[tuple[Sha256, U32], ...], Field(max_length=MAX_RECEIPT_PICTURES), key("pic")]
    """SHA-256 and number of bytes stored from the start; if that is all of them, the hash was verified."""


class Nack(Message):
    """``nack/1``: the station refuses a message."""

    SCHEMA: ClassVar[str] = "nack/1"

    unit: Annotated[UnitId, key("dev")]
    ref: Annotated[Sha256, key("ref")]
    """SHA-256 of the refused payload, which works for unreadable payloads, too."""
    code: Annotated[NackCode, NAMED, key("code")]
    retry: Annotated[Flag, key("retry")]
    """True if the same bytes may be accepted later."""
    detail: Annotated[Text256, key("why")]


class PictureStatus(Message):
    """``picstat/1``: the station lacks this picture from ``offset`` on; continue from there."""

    SCHEMA: ClassVar[str] = "picstat/1"

    unit: Annotated[UnitId, key("dev")]
    sha256: Annotated[Sha256, key("sha")]
    offset: Annotated[U32, key("off")]


DownMessage = Receipt | Nack | PictureStatus
"""Messages on ``dn/receipt``."""
