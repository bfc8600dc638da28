"""Records <-> bytes: versioned msgpack maps.  Pure functions; docs/wire-format.md is the contract.

Every message has a schema id under ``v``.  Encoders write canonical bytes (sorted keys, no floats), decoders check
everything and raise :class:`~agent.errors.WireError`, and keep keys they do not know.  This module is the face of
the wire: unit and station import nothing behind it.
"""

from __future__ import annotations

import hashlib

from protocol.wire.decode import (
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
from protocol.wire.encode import (
    encode_chunk,
    encode_health,
    encode_nack,
    encode_picture_status,
    encode_read,
    encode_receipt,
    encode_status,
    encode_time_anchor,
    encode_tombstone,
)
from protocol.wire.enums import Lost, LostReason, NackCode, UnitState
from protocol.wire.fields import MAX_MESSAGE_BYTES
from protocol.wire.messages import (
    HealthMessage,
    Nack,
    PictureChunk,
    PictureRef,
    PictureStatus,
    Place,
    ReadMessage,
    Receipt,
    StatusMessage,
    TimeAnchorMessage,
    TimeQuality,
    Tombstone,
    TombstoneMessage,
)
from protocol.wire.updates import (
    MAX_PART_BYTES,
    ChunkRequest,
    UpdateBytes,
    UpdateOffer,
    UpdateReport,
    UpdateState,
    decode_offer,
    decode_part,
    decode_update,
    encode_chunk_request,
    encode_offer,
    encode_part,
    encode_report,
)

__all__ = [
    "MAX_CHUNK_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_PART_BYTES",
    "MAX_RANGES",
    "MAX_RECEIPT_PICTURES",
    "MAX_RECEIPT_RECORDS",
    "ChunkRequest",
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
    "TimeAnchorMessage",
    "TimeQuality",
    "Tombstone",
    "TombstoneMessage",
    "UnitState",
    "UpdateBytes",
    "UpdateOffer",
    "UpdateReport",
    "UpdateState",
    "decode_chunk",
    "decode_down",
    "decode_health",
    "decode_offer",
    "decode_part",
    "decode_record",
    "decode_status",
    "decode_update",
    "encode_chunk",
    "encode_chunk_request",
    "encode_health",
    "encode_nack",
    "encode_offer",
    "encode_part",
    "encode_picture_status",
    "encode_read",
    "encode_receipt",
    "encode_report",
    "encode_status",
    "encode_time_anchor",
    "encode_tombstone",
    "payload_ref",
    "record_id",
]


def payload_ref(payload: bytes) -> bytes:
    """Return the name a nack gives to a payload: its SHA-256."""
    return hashlib.sha256(payload).digest()


def record_id(boot_id: bytes, seq: int) -> bytes:
    """Name a record that is not a read: unique, because a sequence number is given out once."""
    return hashlib.blake2b(boot_id + seq.to_bytes(8, "big"), digest_size=16, person=b"patrol-record").digest()
