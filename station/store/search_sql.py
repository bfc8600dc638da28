"""Parts of the statement of a search that all databases share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, MetaData, Table, Text, and_, or_, tuple_

from station.store.tables import INT64, RECORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.store.search import Box, Place, ReadSearch

_LIKE = re.compile(r"[%_\\]")
READS = Table(
    "reads",
    MetaData(),
    Column("unit", Text),
    Column("record_id", RECORDS.c.record_id.type),
    Column("received_us", INT64),  # with made_us on PostgreSQL alone
    Column("made_us", INT64),
    Column("text", Text),
    Column("region", Text),
    Column("camera", Text),
    Column("confidence_e4", INT64),
    Column("lat_e7", INT64),
    Column("lon_e7", INT64),
)


def plate_conditions(column: ColumnElement[str], plates: Sequence[str]) -> ColumnElement[bool]:
    """Any of the plates, with wildcards."""
    whole = [plate for plate in plates if "*" not in plate and "?" not in plate]
    parts = [like_pattern(plate) for plate in plates if plate not in whole]
    return or_(
        *([column.in_(whole)] if len(whole) > 1 else [column == plate for plate in whole]),
        *(column.like(part, escape="\\") for part in parts),
    )


def like_pattern(plate: str) -> str:
    """Return the pattern for LIKE."""
    escaped = _LIKE.sub(lambda found: f"\\{found.group()}", plate)
    return escaped.replace("*", "%").replace("?", "_")


def conditions(search: ReadSearch, made: ColumnElement[Any], after: Place | None) -> list[ColumnElement[bool]]:
    """All conditions except the area's."""
    found: list[ColumnElement[bool]] = []
    if search.plates:
        found.append(plate_conditions(READS.c.text, search.plates))
    equal = ((READS.c.region, search.region), (READS.c.unit, search.unit), (READS.c.camera, search.camera))
    found += [column == value for column, value in equal if value is not None]
    if search.min_confidence_e4:
        found.append(READS.c.confidence_e4 >= search.min_confidence_e4)
    if search.since_us is not None:
        found.append(made >= search.since_us)
    if search.until_us is not None:
        found.append(made <= search.until_us)
    if after is not None:
        place, last = tuple_(made, READS.c.unit, READS.c.record_id), tuple_(*after)
        # The first part is for the index.
        found += [made >= after[0], place > last] if search.ascending else [made <= after[0], place < last]
    return found


def in_order(search: ReadSearch, made: ColumnElement[Any], table: Any = READS.c) -> list[ColumnElement[Any]]:
    """The columns by which found reads are ordered, of the table or of what was selected from it."""
    columns: list[ColumnElement[Any]] = [made, table.unit, table.record_id]
    return columns if search.ascending else [column.desc() for column in columns]


def in_box(box: Box) -> ColumnElement[bool]:
    """Positions within bounds."""
    return and_(READS.c.lat_e7.between(box.south, box.north), READS.c.lon_e7.between(box.west, box.east))
