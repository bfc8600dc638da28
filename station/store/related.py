"""Records that belong together: the hits of a read, their stages and the dispositions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, bindparam, or_, select

from protocol.wire.records.disposition import RECORD_TYPE as DISPOSITION_TYPE
from protocol.wire.records.hit import RECORD_TYPE as HIT_TYPE
from station.store.tables import ANCHORS, INT64

if TYPE_CHECKING:
    from protocol.wire.registry import RecordType
    from station.store.database import Database
    from station.store.rows import RecordRow

_KINDS: dict[type, Any] = {str: Text, bytes: LargeBinary, int: INT64}


def search_table(known: RecordType) -> Table:
    """Return the search table of a type, with the columns that it has on every database."""
    projection = known.projection
    if projection is None:
        raise ValueError(f"{known.schema} has no search table")
    columns = (Column(c.name, _KINDS.get(c.kind, INT64)) for c in projection.columns)
    return Table(projection.table, MetaData(), Column("unit", Text), Column("record_id", LargeBinary), *columns)


HITS = search_table(HIT_TYPE)
DISPOSITIONS = search_table(DISPOSITION_TYPE)
_ANCHORS = (
    select(ANCHORS.c.record_id, ANCHORS.c.mono_us)
    .where(ANCHORS.c.unit == bindparam("of"), ANCHORS.c.boot == bindparam("a_boot"))
    .order_by(ANCHORS.c.utc_us, ANCHORS.c.record_id)
)


def hit_records(db: Database, unit: str, identity: bytes) -> list[bytes]:
    """Return the ids of the records of the hits with this hit id, record id or read id: every stage, and dispositions.

    A disposition's record id stands for its hit.
    """
    named = select(HITS.c.hit_id).where(
        HITS.c.unit == unit,
        or_(HITS.c.hit_id == identity, HITS.c.read_id == identity, HITS.c.record_id == identity),
    )
    decided = select(DISPOSITIONS.c.hit_id).where(
        DISPOSITIONS.c.unit == unit, DISPOSITIONS.c.record_id == identity
    )
    hits = sorted({row.hit_id for row in (*db.all(named), *db.all(decided))})
    found: list[bytes] = []
    for table in (HITS, DISPOSITIONS):
        statement = select(table.c.record_id).where(table.c.unit == unit, table.c.hit_id.in_(hits))
        found += [row.record_id for row in db.all(statement)]
    return found


def dated_by(db: Database, row: RecordRow) -> bytes | None:
    """Return the id of the time anchor by which the station dated a record; None if the unit knew the time."""
    if row.dating_gap_us is None or row.mono_us is None:
        return None
    found = db.all(_ANCHORS, {"of": row.unit, "a_boot": row.boot_id})
    at = next((a for a in found if abs(a.mono_us - row.mono_us) == row.dating_gap_us), None)
    return None if at is None else bytes(at.record_id)
