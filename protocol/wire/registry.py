"""What a record type declares, and the registry that codec, outbox, station, export and documents iterate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from protocol.wire.codec import Message
from protocol.wire.enums import Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from protocol.wire.enums import TimeSource
    from protocol.wire.parts import PictureRef


class RecordBody(Message):
    """What a record says beside its envelope."""


class Priority(IntEnum):
    """What leaves the unit first: lower numbers before higher ones.  The numbers are in the outbox's file."""

    URGENT = 0
    """Hits, and what explains them."""
    NORMAL = 10
    """Reads."""
    BULK = 20
    """What nobody waits for."""


Value = str | int | float | bool | bytes | None


@dataclass(frozen=True, slots=True)
class RecordTime:
    """When something happened."""

    mono_us: int
    utc_us: int | None
    source: TimeSource
    uncertainty_ms: int | None


@dataclass(frozen=True, slots=True)
class Column:
    """A value that a station searches by."""

    name: str
    kind: type[str | int | bytes | bool]
    value: Callable[[Any], Value]
    """Of the body."""
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """The table in which a station searches records of one type."""

    table: str
    columns: tuple[Column, ...]


def _nothing(_: Any) -> None:
    return None


def _no_pictures(_: Any) -> tuple[PictureRef, ...]:
    return ()


def _no_values(_: Any) -> dict[str, Value]:
    return {}


@dataclass(frozen=True, slots=True)
class RecordType:
    """All that is particular to one type; the functions take its body."""

    schema: str
    model: type[RecordBody]
    priority: Priority = Priority.NORMAL
    evictable: bool = False
    """True when the outbox may give it up for want of room."""
    lost: Lost = Lost.RECORD
    """What a tombstone calls those that were given up."""
    retention: Callable[[Any], str | None] = _nothing
    """The retention class; None: kept as long as the unit's series."""
    when: Callable[[Any], RecordTime | None] = _nothing
    pictures: Callable[[Any], tuple[PictureRef, ...]] = _no_pictures
    """Pictures that belong to a record, and go when it does."""
    projection: Projection | None = None
    export: Callable[[Any], dict[str, Value]] = _no_values
    """Flat values for tables, CSV and JSON."""

    def __post_init__(self) -> None:
        """Raises ValueError when the model declares another schema."""
        if self.schema != self.model.SCHEMA:
            raise ValueError(f"{self.model.__name__} declares {self.model.SCHEMA}, its type {self.schema}")


class Registry:
    """The record types that a program knows.  Immutable."""

    def __init__(self, types: tuple[RecordType, ...]) -> None:
        """Raises ValueError when two types have one schema."""
        self._by_schema = {known.schema: known for known in types}
        if len(self._by_schema) != len(types):
            raise ValueError("two record types have one schema")

    def __iter__(self) -> Iterator[RecordType]:
        return iter(self._by_schema.values())

    def get(self, schema: str) -> RecordType | None:
        """Return a type by its schema id; None where this version does not know it."""
        return self._by_schema.get(schema)

    def with_type(self, new: RecordType) -> Registry:
        """The same with one more type; one of the same schema takes its place."""
        return Registry((*(known for known in self if known.schema != new.schema), new))
