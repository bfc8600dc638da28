"""Declarations of record types, and the registry used by codec, outbox, station, export and documentation tests."""

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
    """The body of a record, without its envelope."""


class Priority(IntEnum):
    """Order of sending: lower numbers before higher ones.  The numbers are stored in the outbox's file."""

    URGENT = 0
    """Hits and records that explain them."""
    NORMAL = 10
    """Reads."""
    BULK = 20
    """Records that are not urgent."""


Value = str | int | float | bool | bytes | None


@dataclass(frozen=True, slots=True)
class RecordTime:
    """Time of a record."""

    mono_us: int
    utc_us: int | None
    source: TimeSource
    uncertainty_ms: int | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column by which a station searches."""

    name: str
    kind: type[str | int | bytes | bool]
    value: Callable[[Any], Value]
    """Returns the value from the body."""
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """The table in which a station searches for records of one type."""

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
    """Declaration of one type; the functions take its body."""

    schema: str
    model: type[RecordBody]
    priority: Priority = Priority.NORMAL
    evictable: bool = False
    """True if the outbox may evict it."""
    lost: Lost = Lost.RECORD
    """The kind under which a tombstone lists evicted ones."""
    retention: Callable[[Any], str | None] = _nothing
    """Returns the retention class; None: kept as long as the unit's series."""
    when: Callable[[Any], RecordTime | None] = _nothing
    pictures: Callable[[Any], tuple[PictureRef, ...]] = _no_pictures
    """Returns the pictures of a record, which are deleted with it."""
    projection: Projection | None = None
    personal: bool = False
    """True if it has data on employees: a station shows and exports it only with a purpose."""
    export: Callable[[Any], dict[str, Value]] = _no_values
    """Returns flat values for tables, CSV and JSON."""

    def __post_init__(self) -> None:
        """Raises ValueError if the model has another schema."""
        if self.schema != self.model.SCHEMA:
            raise ValueError(f"{self.model.__name__} declares {self.model.SCHEMA}, its type {self.schema}")


class Registry:
    """The known record types.  Immutable."""

    def __init__(self, types: tuple[RecordType, ...]) -> None:
        """Raises ValueError if two types have the same schema."""
        self._by_schema = {known.schema: known for known in types}
        if len(self._by_schema) != len(types):
            raise ValueError("two record types have the same schema")

    def __iter__(self) -> Iterator[RecordType]:
        return iter(self._by_schema.values())

    def get(self, schema: str) -> RecordType | None:
        """Return a type by its schema id; None if it is unknown."""
        return self._by_schema.get(schema)

    def with_type(self, new: RecordType) -> Registry:
        """Return a registry with one more type; it replaces one with the same schema."""
        return Registry((*(known for known in self if known.schema != new.schema), new))
