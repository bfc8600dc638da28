"""Adds new records to the stream that outputs follow; ``station.store.stream`` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from station.store.tables import OUTPUTS, STREAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.store.database import Database

_WANTED = select(OUTPUTS.c.schemas)
_INSERT = insert(STREAM)
_NAMES = ("unit", "record_id", "schema", "received_us")


def append(db: Database, new: Sequence[tuple[str, bytes, str, int]]) -> None:
    """Add new records (unit, id, type, time of receipt) of the types that an output asked for.

    Inside the transaction that stores them.
    """
    wanted = {schema for (schemas,) in db.run(_WANTED).all() for schema in schemas.split()}
    db.run(_INSERT, [dict(zip(_NAMES, row, strict=True)) for row in new if row[2] in wanted])
