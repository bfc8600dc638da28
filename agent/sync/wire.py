"""Records <-> bytes: versioned msgpack maps.  Pure functions; docs/wire-format.md is the contract.

Every message has a schema id under ``v``.  Encoders write canonical bytes (sorted keys, no floats), decoders check
everything and raise :class:`~agent.errors.WireError`, and keep keys they do not know.  This module is the face of
the wire: unit and station import nothing behind it.
"""

from __future__ import annotations

import hashlib

from agent.sync.convert import dating_message, read_message, record_id
from agent.sync.decode import (
    MAX_CHUNK_BYTES,
    MAX_RANGES,
    MAX_RECEIPT_PICTURES,
    MAX_RECEIPT_RECORDS,
    DownMessage,
    RecordMessage,
    decode_chunk,
    decode_down,
    decode_health,
    decode_record,
    decode_status,
)
from agent.sync.encode import (
    encode_chunk,
    encode_dating,
    encode_health,
    encode_nack,
    encode_picture_status,
    encode_read,
    encode_receipt,
    encode_status,
    encode_tombstone,
)
from agent.sync.fields import MAX_MESSAGE_BYTES
from agent.sync.messages import (
    DatingMessage,
    HealthMessage,
    Lost,
    LostReason,
    Nack,
    NackCode,
    PictureChunk,
    PictureRef,
    PictureStatus,
    Place,
    ReadMessage,
    Receipt,
    StatusMessage,
    TimeQuality,
    Tombstone,
    TombstoneMessage,
    UnitState,
)
from agent.sync.updates import (
    MAX_PART_BYTES,
    UpdateBytes,
    UpdateOffer,
    UpdateReport,
    UpdateState,
    UpdateWish,
    decode_offer,
    decode_part,
    decode_update,
    encode_offer,
    encode_part,
    encode_report,
    encode_wish,
)

__all__ = [
    "MAX_CHUNK_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_PART_BYTES",
    "MAX_RANGES",
    "MAX_RECEIPT_PICTURES",
    "MAX_RECEIPT_RECORDS",
    "DatingMessage",
    "DownMessage",
    "HealthMessage",
    "Lost",
    "LostReason",
    "Nack",
    "NackCode",
    "PictureChunk",
    "PictureRef",
    "PictureStatus",
    "Place",
    "ReadMessage",
    "Receipt",
    "RecordMessage",
    "StatusMessage",
    "TimeQuality",
    "Tombstone",
    "TombstoneMessage",
    "UnitState",
    "UpdateBytes",
    "UpdateOffer",
    "UpdateReport",
    "UpdateState",
    "UpdateWish",
    "dating_message",
    "decode_chunk",
    "decode_down",
    "decode_health",
    "decode_offer",
    "decode_part",
    "decode_record",
    "decode_status",
    "decode_update",
    "encode_chunk",
    "encode_dating",
    "encode_health",
    "encode_nack",
    "encode_offer",
    "encode_part",
    "encode_picture_status",
    "encode_read",
    "encode_receipt",
    "encode_report",
    "encode_status",
    "encode_tombstone",
    "encode_wish",
    "payload_ref",
    "read_message",
    "record_id",
]


def payload_ref(payload: bytes) -> bytes:
    """Return the name a nack gives to a payload: its SHA-256."""
    return hashlib.sha256(payload).digest()
