"""Records on PostgreSQL: let in once by the key of ``evidence``, appended by COPY, deleted by day."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, select, tuple_

from station.store.postgres import ranges
from station.store.postgres.days import DAY_US, Days, attach, day_of, drop_partition, partition
from station.store.postgres.projections import KEY, KEY_TYPES, TYPES, keep_only, search_tables, tables_of_day
from station.store.purging import Purging
from station.store.records import IS_HELD, PAGE, ROW, Item, Records, by_series, take
from station.store.rows import PurgeResult
from station.store.tables import ANCHORS, EVIDENCE, RECORDS, SALT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import ColumnElement, Row

    from protocol.wire.records.time_anchor import TimeAnchor
    from station.store.contents import NewRecord
    from station.store.lives import Series
    from station.store.postgres.database import PostgresDatabase
    from station.store.projections import Projected, Projections
    from station.store.rows import PurgePlan

TYPES_OF_ROW = (
    "text", "bytea", "int8", "bytea", "text", "int8", "text", "int8", "int8", "text", "int8", "int8", "bytea", "bytea",
)  # fmt: skip
"""Types of the columns of ``ROW``."""
_GATE = """
INSERT INTO evidence (unit, seq, record_id, prev, digest, key, signature, life)
SELECT * FROM unnest(
    %b::text[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[]
)
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
RETURNING unit, seq, record_id
"""
_FORKS = """
WITH again AS (
    SELECT e.unit, e.life, e.seq FROM (SELECT DISTINCT * FROM unnest(%b::text[], %b::bigint[])) AS k(unit, seq)
    JOIN evidence e ON e.unit = k.unit AND e.seq = k.seq
    GROUP BY e.unit, e.life, e.seq HAVING count(*) > 1
) SELECT unit, life, count(*) FROM again GROUP BY unit, life
"""
_CROWDED = """
SELECT k.unit FROM unnest(%b::text[], %b::bytea[], %b::bigint[], %b::bigint[]) AS k(unit, life, first, last)
WHERE k.last - k.first + 1 < (
    SELECT count(*) FROM evidence e WHERE e.unit = k.unit AND e.seq BETWEEN k.first AND k.last AND e.life = k.life
)
"""
_PICTURE = ("unit", "record_id", "sha", "kind")
_PICTURE_TYPES = ("text", "bytea", "bytea", "text")
_FORGET_PICTURES = """
DELETE FROM record_pictures p USING unnest(%b::text[], %b::bytea[]) AS k(unit, record_id)
WHERE p.unit = k.unit AND p.record_id = k.record_id
"""
_FORGET_HITS = """
DELETE FROM hit_states s WHERE NOT EXISTS (
    SELECT FROM hits h WHERE h.unit = s.unit AND h.record_id = s.record_id AND h.received_us = s.received_us
)
"""
_MADE = """
SELECT k.number, r.utc_us FROM unnest(%b::text[], %b::bytea[], %b::bigint[], %b::bigint[]) WITH ORDINALITY
    AS k(unit, record_id, received_us, seq, number)
JOIN records r ON r.unit = k.unit AND r.record_id = k.record_id AND r.received_us = k.received_us AND r.seq = k.seq
"""
_OF_BOOT = """
SELECT schema, record_id, received_us, seq, coalesce(utc_us, received_us) FROM records
WHERE unit = %s AND boot = %s AND mono_us IS NOT NULL AND (utc_us IS NULL OR dating_gap_us IS NOT NULL)
"""
_CHOSEN_BY_DAY = f"SELECT received_us / {DAY_US}, count(*) FROM purging GROUP BY 1 ORDER BY 1"  # noqa: S608 - a number
_STAYS = (
    "NOT EXISTS (SELECT FROM purging k WHERE k.unit = r.unit AND k.record_id = r.record_id"
    " AND k.received_us = r.received_us AND k.seq = r.seq)"
)
_EVIDENCE = (
    select(
        EVIDENCE.c.seq,
        EVIDENCE.c.record_id,
        EVIDENCE.c.prev,
        EVIDENCE.c.digest,
        EVIDENCE.c.key,
        EVIDENCE.c.signature,
        SALT,
        RECORDS.c.payload,
        EVIDENCE.c.life,
    )
    .select_from(
        EVIDENCE.outerjoin(
            RECORDS,
            and_(
                RECORDS.c.unit == EVIDENCE.c.unit,
                RECORDS.c.record_id == EVIDENCE.c.record_id,
                RECORDS.c.seq == EVIDENCE.c.seq,
            ),
        )
    )
    .where(
        EVIDENCE.c.digest.is_not(None),
        EVIDENCE.c.unit == bindparam("of"),
        tuple_(EVIDENCE.c.seq, EVIDENCE.c.record_id) > tuple_(bindparam("seq"), bindparam("named")),
    )
    .order_by(EVIDENCE.c.seq, EVIDENCE.c.record_id)
    .limit(PAGE)
)


class PostgresRecords(Records):
    """See :class:`station.store.records.Records`."""

    def __init__(self, db: PostgresDatabase, projections: Projections) -> None:
        """Inside a transaction: partitions of new search tables are made."""
        self._pg = db
        super().__init__(db, projections)
        tables = [projected.table.name for projected in projections if projected.table is not None]
        self.days = Days(db, ["records", *tables])

    def _prepare(self) -> None:
        self._evidence = _EVIDENCE
        self._insert_anchors = self._db.insert(ANCHORS).on_conflict_do_nothing()

    def add(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Store records with their evidence; False for each that was already stored."""
        if not new:
            return []
        # Tomorrow's, too: no message waits for it at midnight.
        self.days.ensure((day_of(now_us), day_of(now_us) + 1))
        items = [self._item(one.record, now_us) for one in new]
        fresh = self._admit(new)
        stored = [(one, item) for one, item, is_new in zip(new, items, fresh, strict=True) if is_new]
        self._lock_boots([item for _, item in stored])
        salts = [(None if one.proof is None else one.proof.salt,) for one, _ in stored]
        rows = [item.row() + salt for (_, item), salt in zip(stored, salts, strict=True)]
        self._pg.copy("records", (*ROW, "salt"), (*TYPES_OF_ROW, "bytea"), rows)
        self._index([item for _, item in stored])
        ranges.add(self._pg, by_series(item for _, item in stored))
        self._publish([item for _, item in stored])
        return fresh

    def _admit(self, new: Sequence[NewRecord]) -> list[bool]:
        """Insert the evidence, whose key is the gate; another worker's same record is waited for."""
        keys = []
        rows = []
        for one in new:
            e = one.record.envelope
            keys.append((e.unit, e.seq, e.record_id))
            proof = None if one.proof is None else one.proof.evidence
            rows.append(
                (*keys[-1], None, None, None, None, e.life)
                if proof is None
                else (*keys[-1], proof.prev, proof.digest, proof.key_id, proof.signature, e.life)
            )
        let_in = set(self._pg.fetch(_GATE, [list(column) for column in zip(*rows, strict=True)]))
        return [take(let_in, key) for key in keys]

    def forks(self, new: Sequence[NewRecord]) -> dict[Series, int]:
        """By the gate's rows, which a purge keeps; all of them are new, so that each of their numbers has a row.

        Only where a range has more rows than numbers is each number looked at.
        """
        numbers: dict[Series, list[int]] = defaultdict(list)
        for one in new:
            e = one.record.envelope
            numbers[e.unit, e.life].append(e.seq)
        if not self._pg.fetch(_CROWDED, ranges.columns(numbers)):
            return {}
        keys = [(unit, seq) for (unit, _), seqs in numbers.items() for seq in seqs]
        found = self._pg.fetch(_FORKS, [list(column) for column in zip(*keys, strict=True)])
        counts: dict[Series, int] = defaultdict(int)
        for unit, life, count in found:
            counts[unit, bytes(life)] += count
        return {series: count for series, count in counts.items() if series in numbers}

    def _lock_boots(self, items: Iterable[Item]) -> None:
        """A record without a time and the anchor that dates it may come to two workers at once: one waits."""
        boots: dict[bytes, bool] = {}
        for item in items:
            envelope, time, anchor = item.record.envelope, item.contents.time, item.contents.anchor
            if anchor is not None:
                boots[envelope.unit.encode() + anchor.anchored_boot_id] = False
            elif time is not None and time.utc_us is None:
                boots.setdefault(envelope.unit.encode() + envelope.boot_id, True)
        for boot, is_shared in sorted(boots.items()):
            self._pg.lock("boot", boot, shared=is_shared)

    def _project_page(self, projected: Projected, statement: Any, values: dict[str, Any]) -> Row[Any] | None:
        with self._pg.transaction():
            # Another worker may have indexed the page meanwhile: then nothing is found.
            self._pg.lock("project", projected.known.schema.encode())
            rows = self._pg.run(statement, values).all()
            if rows:
                # They may have been indexed before, by fewer columns.
                self._pg.fetch(_FORGET_PICTURES, [[row.unit for row in rows], [row.record_id for row in rows]])
            self._understand(rows, projected)
        return rows[-1] if rows else None

    def _index(self, items: Sequence[Item]) -> None:
        """Store the picture references, effects and search columns of records."""
        # A record may name a picture twice.
        pictures = {(*item.key, ref.sha256): ref.kind.value for item in items for ref in item.contents.pictures}
        if pictures:
            rows_of = [(*key, kind) for key, kind in pictures.items()]
            self._pg.copy("record_pictures", _PICTURE, _PICTURE_TYPES, rows_of)
        for item in items:
            self._apply(item)
        made = self._made(items)
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for item, made_us in zip(items, made, strict=True):
            if item.projected is not None and item.record.body is not None and item.projected.names:
                values = (*item.key, item.received_us, made_us, *item.projected.values(item.record.body))
                rows[item.record.envelope.schema_id].append(values)
        for schema, values_of in rows.items():
            projected = self._projections.get(schema)
            if projected is not None and projected.table is not None and projected.known.projection is not None:
                types = [TYPES[column.kind] for column in projected.known.projection.columns]
                names = (*KEY, *projected.names)
                self._pg.copy(projected.table.name, names, (*KEY_TYPES, *types), values_of)
        self._note_hits(items)

    def _note_hits(self, items: Sequence[Item]) -> None:
        """Two workers may have records of one hit: the second waits, and then sees those of the first."""
        keys = self._hit_states.keys(item.record for item in items)
        for unit, hit_id in keys:
            self._pg.lock("hit", unit.encode() + hit_id)
        self._hit_states.note(keys)

    def _made(self, items: Sequence[Item]) -> list[int]:
        """Return the times by which records are searched: of a record without one, what a time anchor said."""
        times = [None if item.contents.time is None else item.contents.time.utc_us for item in items]
        undated = [
            place
            for place, item in enumerate(items)
            if item.contents.time is not None and item.contents.time.utc_us is None
        ]
        if undated:
            keys = [
                (*items[place].key, items[place].received_us, items[place].record.envelope.seq)
                for place in undated
            ]
            for number, utc_us in self._pg.fetch(_MADE, [list(column) for column in zip(*keys, strict=True)]):
                times[undated[number - 1]] = utc_us
        return [item.received_us if time is None else time for item, time in zip(items, times, strict=True)]

    def _anchor(self, unit: str, record_id: bytes, anchor: TimeAnchor) -> None:
        boot = (unit, anchor.anchored_boot_id)
        before = {tuple(key): made for *key, made in self._pg.fetch(_OF_BOOT, boot)}
        super()._anchor(unit, record_id, anchor)
        moved = defaultdict(list)
        for *key, made in self._pg.fetch(_OF_BOOT, boot):
            schema, record_id, received_us, _ = key
            if before.get(tuple(key), made) != made:
                moved[schema].append((record_id, received_us, before[tuple(key)], made))
        for name, schema in search_tables(self._pg).items() if moved else ():
            columns = [list(column) for column in zip(*moved[schema], strict=True)]
            if not columns:
                continue
            self._pg.fetch(
                f'UPDATE "{name}" t SET made_us = k.made'  # noqa: S608 - tables of our own
                " FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[]) AS k(id, received, old, made)"
                " WHERE t.unit = %s AND t.made_us = k.old AND t.received_us = k.received AND t.record_id = k.id",
                [*columns, unit],
            )

    def purge(self, plan: PurgePlan, refresh: Callable[[ColumnElement[bool] | None], None]) -> PurgeResult:
        """Drop the partitions of days of which nothing stays; of others delete by row, or keep a copy of what stays."""
        self._pg.fetch("SET LOCAL plan_cache_mode = force_custom_plan")
        self._pg.lock("purge", b"")
        purging = self._select_for_purge(plan)
        # After the choice: a worker may have stored a record that is held and due already, and it would be missed.
        refresh(purging.chosen)
        purging.spare_held()
        held = self._count_held(plan)
        classes, found = purging.classes(), purging.ranges()
        counts = self._pg.fetch(_CHOSEN_BY_DAY)
        if not counts:
            purging.end()
            return PurgeResult(0, 0, held=held)
        # Nobody writes meanwhile: what is kept of a day is copied once.  While it waits for a long reader, such as a
        # backup, the workers wait behind it: it gives up soon, and the next purge tries again.
        self._pg.fetch("SET LOCAL lock_timeout = '5s'")
        self._pg.fetch("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        dropped = []
        for day, count in counts:
            is_over = (day + 1) * DAY_US <= plan.latest_us
            if is_over and self._purge_day(day, count):
                dropped.append((day, count))
        gone = sum(count for _, count in counts)
        self._delete_rows()
        if self._hit_states.is_known:
            self._pg.fetch(_FORGET_HITS)
        purging.end()
        return PurgeResult(gone, 0, classes, found, tuple(dropped), held)

    def _select_for_purge(self, plan: PurgePlan) -> Purging:
        columns = 'text COLLATE "C", bytea, bigint, bytea, bigint, bigint, text COLLATE "C", text'
        purging = Purging(self._pg, columns)
        purging.choose(and_(self.due(plan), ~IS_HELD))
        self._pg.fetch("CREATE INDEX ON purging (unit, record_id)")
        self._pg.fetch("ANALYZE purging")
        return purging

    def _purge_day(self, day: int, count: int) -> bool:
        """Replace a day's partitions by copies of what stays, if that is the smaller part; True if nothing stays."""
        old = partition("records", day)
        ((total,),) = self._pg.fetch(f'SELECT count(*) FROM "{old}"')  # noqa: S608 - tables of our own
        if count * 2 < total:
            return False
        kept = f"{old}_kept"
        copies = {}
        if count < total:
            self._pg.fetch(
                f'CREATE TABLE "{kept}" (LIKE records INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)'
            )
            self._pg.fetch(f'INSERT INTO "{kept}" SELECT r.* FROM "{old}" r WHERE {_STAYS}')  # noqa: S608 - as above
            copies = {"records": kept} | keep_only(self._pg, day, kept)
        for table in copies or ("records", *tables_of_day(self._pg, day)):
            drop_partition(self._pg, table, day)
            if copies:
                self._pg.fetch(f'ALTER TABLE "{copies[table]}" RENAME TO "{partition(table, day)}"')
                attach(self._pg, table, partition(table, day), day)
        return bool(count == total)

    def _delete_rows(self) -> None:
        """Delete what is left of the chosen records, and their rows in the search tables."""
        self._pg.fetch(
            "DELETE FROM records r USING purging k WHERE r.unit = k.unit AND r.record_id = k.record_id"
            " AND r.received_us = k.received_us AND r.seq = k.seq"
        )
        for name, schema in search_tables(self._pg).items():
            self._pg.fetch(
                f'DELETE FROM "{name}" t USING purging k WHERE t.unit = k.unit AND t.made_us = k.made_us'  # noqa: S608 - as above
                " AND t.received_us = k.received_us AND t.record_id = k.record_id AND k.schema = %s",
                (schema,),
            )
