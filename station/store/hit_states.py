"""What became of each hit, in one row: made again from its records whenever one of them comes, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import MetaData, and_, bindparam, delete, func, select, tuple_, update
from sqlalchemy import Table as SqlTable

from protocol.errors import WireError
from protocol.wire.record import decode_record
from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from station.store.hit_state import RANK, decision_of, outcome_of, state_of
from station.store.rows import StoreFault
from station.store.tables import HERE, HIT_STATES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Select

    from protocol.wire.record import Record
    from protocol.wire.registry import Registry
    from station.store.database import Database

HitKey = tuple[str, bytes]
"""Unit and hit id."""
MAX_RECORDS = 256
"""Of one hit, the latest, from which its row is made: a unit that sends more must not slow down the others."""
_MADE = func.coalesce(RECORDS.c.utc_us, RECORDS.c.received_us)


def _search_table(name: str) -> SqlTable:
    columns = (RECORDS.c.unit, RECORDS.c.record_id, RECORDS.c.received_us, HIT_STATES.c.hit_id)
    return SqlTable(name, MetaData(), *(SqlColumn(column.name, column.type) for column in columns))


HITS, DISPOSITIONS = _search_table("hits"), _search_table("dispositions")
"""``received_us`` on PostgreSQL alone, where it names the partition."""
SCHEMAS = {HITS.name: Hit.SCHEMA, DISPOSITIONS.name: Disposition.SCHEMA}
_RECORDED = select(HITS.c.unit, HITS.c.hit_id).distinct()
_ONE = select(HIT_STATES).where(HIT_STATES.c.unit == bindparam("of"), HIT_STATES.c.hit_id == bindparam("hit"))
_PAGE = 500
_REDATE = (
    update(HIT_STATES)
    .where(HIT_STATES.c.unit == bindparam("of"), HIT_STATES.c.boot == bindparam("a_boot"))
    .values(
        made_us=func.coalesce(
            # PostgreSQL keeps several records under one id, if a unit sends them: one time is wanted.
            select(func.max(_MADE))
            .where(
                RECORDS.c.unit == HIT_STATES.c.unit,
                RECORDS.c.record_id == HIT_STATES.c.record_id,
                RECORDS.c.received_us == HIT_STATES.c.received_us,
                RECORDS.c.schema == Hit.SCHEMA,
            )
            .scalar_subquery(),
            HIT_STATES.c.made_us,
        )
    )
)


class HitStates:
    """Part of the store; everything runs inside its transaction."""

    def __init__(self, db: Database, registry: Registry) -> None:
        self._db = db
        self._registry = registry
        self.is_known = all(registry.get(schema) is not None for schema in (Hit.SCHEMA, Disposition.SCHEMA))
        """False where the registry lacks their types; then there are no rows."""
        insert = db.insert(HIT_STATES)
        values = {c.name: insert.excluded[c.name] for c in HIT_STATES.columns if not c.primary_key}
        self._upsert = insert.on_conflict_do_update(index_elements=["unit", "hit_id"], set_=values)
        self._of_table = {table.name: _records_of(table, db) for table in (HITS, DISPOSITIONS)}

    def keys(self, records: Iterable[Record]) -> list[HitKey]:
        """Return the hits that records are about, in a fixed order."""
        if not self.is_known:
            return []
        bodies = ((record.envelope.unit, record.body) for record in records)
        return sorted({(unit, body.hit_id) for unit, body in bodies if isinstance(body, Hit | Disposition)})

    def note(self, keys: Iterable[HitKey]) -> None:
        """Make the rows of hits again; a hit of which only dispositions are stored has none yet."""
        for unit, hit_id in keys:
            values = self._made_of(unit, hit_id)
            if values is not None:
                self._db.run(self._upsert, {"unit": unit, "hit_id": hit_id, **values})

    def faults(self) -> Iterator[StoreFault]:
        """Yield hits whose row is not what their records say, or that have none; reads a page at a time."""
        if not self.is_known:
            return
        for unit, hit_id in self._keys_of(_RECORDED):
            # What comes meanwhile may have changed one and not yet the other.
            fault = self._fault(unit, hit_id) and self._fault(unit, hit_id)
            if fault:
                yield StoreFault(unit, hit_id, fault)
        for unit, hit_id in self._keys_of(select(HIT_STATES.c.unit, HIT_STATES.c.hit_id)):
            if self._made_of(unit, hit_id) is None and self._row(unit, hit_id) is not None:
                yield StoreFault(unit, hit_id, "in the list of hits without a record")

    def _keys_of(self, statement: Select[Any]) -> Iterator[HitKey]:
        unit, hit_id = statement.selected_columns
        after: HitKey | None = None
        while True:
            following = statement if after is None else statement.where(tuple_(unit, hit_id) > after)
            page = self._db.all(following.order_by(unit, hit_id).limit(_PAGE))
            for row in page:
                after = row[0], bytes(row[1])
                yield after
            if len(page) < _PAGE:
                return

    def _fault(self, unit: str, hit_id: bytes) -> str:
        values, row = self._made_of(unit, hit_id), self._row(unit, hit_id)
        if values is None:
            return ""
        if row is None:
            return "removed from the list of hits"
        differing = [name for name, value in values.items() if _plain(getattr(row, name)) != value]
        return f"list of hits: {', '.join(differing)}" if differing else ""

    def _row(self, unit: str, hit_id: bytes) -> Any:
        return self._db.first(_ONE, {"of": unit, "hit": hit_id})

    def _made_of(self, unit: str, hit_id: bytes) -> dict[str, Any] | None:
        """Values of a hit's row, from its records; None without a stage of it."""
        stages = self._rows(HITS, unit, hit_id)
        shown = max(stages, key=lambda row: (RANK[row.body.stage], row.seq), default=None)
        if shown is None:
            return None
        return _values(shown, [row.body for row in self._rows(DISPOSITIONS, unit, hit_id)])

    def _rows(self, table: SqlTable, unit: str, hit_id: bytes) -> list[_Row]:
        found = []
        for row in self._db.all(self._of_table[table.name], {"of": unit, "hit": hit_id}):
            try:
                record = decode_record(bytes(row.payload), self._registry)
            except WireError:
                # Stored before its type was known, and does not match it.
                continue
            found.append(_Row(row, record))
        return sorted(found, key=lambda row: row.seq)

    def redate(self, unit: str, boot: bytes) -> None:
        """Take over the times that a time anchor gave to records of a boot."""
        self._db.run(_REDATE, {"of": unit, "a_boot": boot})

    def delete(self, gone: ColumnElement[bool]) -> None:
        """Delete the rows of records for which ``gone``, a condition on ``RECORDS``, is true."""
        keys = select(RECORDS.c.unit, RECORDS.c.record_id).where(gone)
        self._db.run(delete(HIT_STATES).where(tuple_(HIT_STATES.c.unit, HIT_STATES.c.record_id).in_(keys)))


class _Row:
    """A record of a hit."""

    def __init__(self, row: Any, record: Record) -> None:
        body: Any = record.body
        self.body = body
        self.agency = record.envelope.agency
        self.seq: int = row.seq
        self.record_id: bytes = bytes(row.record_id)
        self.received_us: int = row.received_us
        self.made_us: int = row.made_us
        self.boot = bytes(row.boot) if body.utc_us is None else None


def _values(shown: _Row, decisions: Sequence[Disposition]) -> dict[str, Any]:
    hit, made = shown.body, decision_of(decisions)
    place = hit.place
    return {
        **{name: getattr(shown, name) for name in ("agency", "record_id", "received_us", "boot", "made_us")},
        **{name: getattr(hit, name) for name in ("list_id", "list_name", "list_owner", "list_version")},
        "priority": hit.priority.value,
        "state": state_of(hit.stage, decisions),
        "reason": "" if made is None else made.reason,
        "outcome": outcome_of(decisions),
        **{name: getattr(place, name) for name in ("lat_e7", "lon_e7", "error_cm")},
    }


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def same_record(table: SqlTable, db: Database) -> ColumnElement[bool]:
    """A row of a search table belongs to a record."""
    same = [table.c.unit == RECORDS.c.unit, table.c.record_id == RECORDS.c.record_id]
    if not db.is_sqlite:
        same.append(table.c.received_us == RECORDS.c.received_us)
    return and_(*same)


def _records_of(table: SqlTable, db: Database) -> Select[Any]:
    """The records of one hit that a search table knows."""
    columns = (RECORDS.c.record_id, RECORDS.c.seq, RECORDS.c.boot, RECORDS.c.received_us, RECORDS.c.payload)
    return (
        select(*columns, _MADE.label("made_us"))
        .select_from(table.join(RECORDS, same_record(table, db)))
        .where(table.c.unit == bindparam("of"), table.c.hit_id == bindparam("hit"), HERE)
        # PostgreSQL keeps records of two types under one id, if a unit sends them.
        .where(RECORDS.c.schema == SCHEMAS[table.name])
        .order_by(RECORDS.c.seq.desc(), RECORDS.c.record_id)
        .limit(MAX_RECORDS)
    )
