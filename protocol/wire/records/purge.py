"""``purge/1``: what a unit deleted under its policy, how many, and how long after it was due; no plates."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import I63_MAX, U63, Name32, Text16, Text32, Text64, key
from protocol.wire.parts import TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

MAX_TYPES = 16
MAX_CLASSES = 64
UNKNOWN_CLASS = "?"
"""Stands for the class of a record that was stored by a version which did not note it."""


class Purge(RecordBody):
    """The body of a purge record; it is written in the transaction that deletes."""

    SCHEMA: ClassVar[str] = "purge/1"

    policy: Annotated[Text64, key("under")]
    """Id and version of the policy in force, such as ``us-va/3``; empty for none."""
    records: Annotated[tuple[tuple[Name32, U63], ...], Field(max_length=MAX_TYPES), key("rec")]
    """Schema of the type, and number of its records."""
    pictures: Annotated[U63, key("pics")]
    first_due_us: Annotated[U63, key("from")]
    """UTC at which the first of them was due."""
    deleted_us: Annotated[U63, key("t")]
    """UTC of the deletion."""
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    reason: Annotated[Text16, key("why")]
    classes: Annotated[tuple[tuple[Name32, Text32, U63], ...], Field(max_length=MAX_CLASSES), key("cls")] = ()
    """Schema of the type, retention class, and number of its records; the class is empty for types without one."""

    @model_validator(mode="after")
    def _is_due(self) -> Self:
        if self.deleted_us < self.first_due_us:
            raise ValueError("deleted before it was due")
        return self

    @property
    def reads(self) -> int:
        """Number of reads; at most what a column of a database holds, which a hostile unit's sum may exceed."""
        return min(sum(count for schema, count in self.records if schema == "read/1"), I63_MAX)

    @property
    def late_s(self) -> float:
        """Seconds between the first due time and the deletion: the unit was off, or its time was unknown."""
        return (self.deleted_us - self.first_due_us) / 1e6


def _when(purge: Purge) -> RecordTime:
    return RecordTime(purge.mono_us, purge.deleted_us, purge.time.source, purge.time.uncertainty_ms)


def _export(purge: Purge) -> dict[str, Value]:
    return {
        "policy": purge.policy,
        "deleted": " ".join(f"{schema}:{count}" for schema, count in purge.records),
        "deleted_by_class": " ".join(f"{schema}:{name or '-'}:{count}" for schema, name, count in purge.classes),
        "pictures": purge.pictures,
        "first_due_us": purge.first_due_us,
        "late_s": purge.late_s,
        "reason": purge.reason,
    }


RECORD_TYPE = RecordType(
    schema="purge/1",
    model=Purge,
    priority=Priority.NORMAL,
    when=_when,
    projection=Projection(
        "unit_purges",
        (
            Column("policy", str, lambda purge: purge.policy),
            Column("reads", int, lambda purge: purge.reads),
            Column("pictures", int, lambda purge: purge.pictures),
        ),
    ),
    export=_export,
)
