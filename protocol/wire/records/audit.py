"""``audit/1``: who did what, when, why and with what outcome; each entry has the hash of the one before.

The entries of a unit are numbered from 1 without gaps, over all boots: a missing or altered one is noticed even by
whoever sees the entries alone.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar

from protocol.wire.codec import U63, Name32, Name64, Seq, Sha256, Text64, Text128, encode, key
from protocol.wire.parts import TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

AUDIT_START = bytes(32)
"""``prev`` of the first entry of a chain."""


class Audit(RecordBody):
    """The body of an audit entry."""

    SCHEMA: ClassVar[str] = "audit/1"

    n: Annotated[Seq, key("n")]
    prev: Annotated[Sha256, key("prev")]
    who: Annotated[Name64, key("who")]
    """A badge, or the part of the unit that acted by itself, such as ``unit``."""
    action: Annotated[Name32, key("act")]
    obj: Annotated[Text128, key("obj")]
    """What it was done to, such as the id of a hit, a list or a policy; the plate that was looked up."""
    purpose: Annotated[Text128, key("why")]
    case_number: Annotated[Text64, key("case")]
    outcome: Annotated[Text64, key("res")]
    mono_us: Annotated[U63, key("mono")]
    utc_us: Annotated[U63 | None, key("t")]
    time: Annotated[TimeQuality, key("tq")]

    def digest(self) -> bytes:
        """Return the hash that the next entry has as ``prev``."""
        return hashlib.sha256(encode(self)).digest()


def _when(entry: Audit) -> RecordTime:
    return RecordTime(entry.mono_us, entry.utc_us, entry.time.source, entry.time.uncertainty_ms)


def _export(entry: Audit) -> dict[str, Value]:
    return {
        "n": entry.n,
        "who": entry.who,
        "action": entry.action,
        "object": entry.obj,
        "purpose": entry.purpose,
        "case_number": entry.case_number,
        "outcome": entry.outcome,
    }


RECORD_TYPE = RecordType(
    schema="audit/1",
    model=Audit,
    priority=Priority.URGENT,
    when=_when,
    projection=Projection(
        "audit_entries",
        (
            Column("n", int, lambda entry: entry.n, indexed=True),
            Column("who", str, lambda entry: entry.who, indexed=True),
            Column("action", str, lambda entry: entry.action, indexed=True),
            Column("object", str, lambda entry: entry.obj, indexed=True),
            Column("case_number", str, lambda entry: entry.case_number, indexed=True),
            Column("purpose", str, lambda entry: entry.purpose),
        ),
    ),
    export=_export,
)
