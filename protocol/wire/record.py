"""Records: an envelope that every type has, and a body that its type declares.

The envelope of an unknown type still has unit, number and id: the record can be stored, receipted, exported and
verified, and decoded later.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from protocol.wire.codec import (
    Id16,
    Name32,
    Plain,
    Seq,
    Text36,
    UnitId,
    fields_of,
    key,
    pack,
    unpack,
    validate,
)

if TYPE_CHECKING:
    from protocol.wire.registry import RecordBody, Registry


LIFE_BYTES = 16


def _life(value: bytes) -> bytes:
    if len(value) not in {0, LIFE_BYTES}:
        raise ValueError(f"must have {LIFE_BYTES} bytes")
    return value


Life = Annotated[bytes, Field(strict=True), AfterValidator(_life)]
"""Id of a life of a unit: a series of numbers from 1, with one chain.  Empty for series begun before there were ids."""


class Envelope(BaseModel):
    """The keys that every record has; ``life`` is left out if it is empty."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)

    schema_id: Annotated[Name32, key("v")]
    unit: Annotated[UnitId, key("dev")]
    agency: Annotated[Text36, key("agy")]
    boot_id: Annotated[Id16, key("boot")]
    seq: Annotated[Seq, key("seq")]
    record_id: Annotated[Id16, key("id")]
    life: Annotated[Life, key("life")] = b""


_ENVELOPE_KEYS = frozenset({"v", "dev", "agy", "boot", "seq", "id", "life"})


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded record."""

    envelope: Envelope
    body: RecordBody | None
    """None if this version does not know the type."""
    payload: bytes
    """The bytes that were decoded."""


def encode_record(envelope: Envelope, body: RecordBody) -> bytes:
    """Return canonical bytes.  Raises ValueError if envelope and body have different schemas."""
    if envelope.schema_id != body.SCHEMA:
        raise ValueError(f"the envelope has schema {envelope.schema_id}, the body {body.SCHEMA}")
    return pack({**fields_of(body), **envelope.model_dump(by_alias=True, exclude_defaults=True)})


def decode_record(payload: bytes, registry: Registry) -> Record:
    """Decode a record of any type; raises WireError for anything else, or if it does not match its type."""
    return record_of(unpack(payload), payload, registry)


def record_of(fields: dict[str, Plain], payload: bytes, registry: Registry) -> Record:
    """As :func:`decode_record`, of a map that is unpacked already."""
    envelope = validate(Envelope, fields, "record")
    known = registry.get(envelope.schema_id)
    if known is None:
        return Record(envelope, None, payload)
    own = {name: value for name, value in fields.items() if name not in _ENVELOPE_KEYS}
    return Record(envelope, validate(known.model, own, envelope.schema_id), payload)


def derived_record_id(boot_id: bytes, seq: int, life: bytes = b"") -> bytes:
    """Return the id of a record that has none of its own; unique, because a life uses a sequence number once."""
    named = boot_id + seq.to_bytes(8, "big") + life
    return hashlib.blake2b(named, digest_size=16, person=b"patrol-record").digest()
