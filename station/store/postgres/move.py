"""Moves a station's SQLite file into an empty PostgreSQL database, in one transaction.

Records keep their bytes, salts, signatures, links, times and ids, so that every proof still verifies; search tables are
made again from the records.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from protocol.errors import WireError
from protocol.wire.record import decode_record
from station.errors import StoreError
from station.store.deployment.tables import POSTGRES, SQLITE
from station.store.files import folder_of, suffix_of
from station.store.log import SqlLog
from station.store.postgres.database import PostgresDatabase
from station.store.postgres.days import DAY_US
from station.store.postgres.files import DatabaseFiles
from station.store.postgres.projections import KEY, KEY_TYPES, TYPES, PostgresProjections
from station.store.postgres.records import TYPES_OF_ROW, PostgresRecords
from station.store.postgres.store import migrate
from station.store.records import ROW
from station.store.sqlite_file import open_file, open_sqlite_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from protocol.wire.registry import Registry
    from station.store.database import Database
    from station.store.rows import AuditRow

_GROUP = 1_000
_PICTURES_GROUP = 32
"""Rows of up to 16 MiB."""
_RECORDS = """
SELECT r.unit, r.record_id, r.seq, r.boot, r.schema, r.received_us, r.retention, r.mono_us, r.utc_us, r.time_source,
    r.uncertainty_ms, r.generation, r.payload, r.dating_gap_us, e.prev, e.digest, e.key, e.signature, e.salt,
    r.life
FROM records r LEFT JOIN evidence e ON e.unit = r.unit AND e.seq = r.seq AND e.record_id = r.record_id
"""
_TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "seen": (("unit", "life", "first", "last"), ("text", "bytea", "int8", "int8")),
    "lost": (("unit", "life", "first", "last"), ("text", "bytea", "int8", "int8")),
    "lives": (
        ("unit", "life", "first_us", "seq_high", "n_overlaps", "overlap_us", "n_forks", "head", "head_us"),
        ("text", "bytea", "int8", "int8", "int8", "int8", "int8", "bytea", "int8"),
    ),
    "usage": (
        ("unit", "day", "slot", "records", "bytes", "loose", "refused"),
        ("text", "int8", "int4", "int8", "int8", "int8", "int8"),
    ),
    "time_anchors": (
        ("unit", "record_id", "boot", "mono_us", "utc_us", "time_source", "uncertainty_ms"),
        ("text", "bytea", "bytea", "int8", "int8", "text", "int8"),
    ),
    "record_pictures": (("unit", "record_id", "sha", "kind"), ("text", "bytea", "bytea", "text")),
    "pictures": (
        ("unit", "sha", "kind", "total", "stored", "failures", "updated_us", "jpeg", "opened"),
        ("text", "bytea", "text", "int8", "int8", "int4", "int8", "bytea", "bytea"),
    ),
    "chunks": (("unit", "sha", "offset", "data"), ("text", "bytea", "int8", "bytea")),
    "units": (
        (
            "unit", "seen_us", "seq_high", "state", "reason", "software", "status_us", "health_us", "health", "report",
            "agency",
        ),
        ("text", "int8", "int8", "text", "text", "text", "int8", "int8", "bytea", "bytea", "text"),
    ),
    "audit": (
        ("number", "utc_us", "who", "what", "count", "filter", "purpose", "case_number"),
        ("int8", "int8", "text", "text", "int8", "text", "text", "text"),
    ),
    "log_entries": (("number", "entry"), ("int8", "bytea")),
    "log_nodes": (("level", "place", "hash"), ("int4", "int8", "bytea")),
    "log_checkpoints": (("size", "note", "made_us"), ("int8", "text", "int8")),
    "log_witnesses": (("unit", "size", "line", "received_us"), ("text", "int8", "text", "int8")),
    "log_conflicts": (("unit", "size", "note", "received_us"), ("text", "int8", "text", "int8")),
    "holds": (("number", "statement", "release"), ("int8", "bytea", "bytea")),
    "held": (("unit", "record_id", "hold"), ("text", "bytea", "int8")),
    "purges": (("number", "certificate"), ("int8", "bytea")),
    "purged": (("unit", "life", "first", "purge", "last"), ("text", "bytea", "int8", "int8", "int8")),
    "hit_states": (
        (
            "unit", "hit_id", "agency", "record_id", "received_us", "boot", "made_us", "list_id", "list_name",
            "list_owner", "list_version", "priority", "state", "reason", "outcome", "lat_e7", "lon_e7", "error_cm",
        ),
        (
            "text", "bytea", "text", "bytea", "int8", "bytea", "int8", "text", "text", "text", "int8", "text", "text",
            "text", "text", "int8", "int8", "int8",
        ),
    ),
    "offers": (
        ("unit", "kind", "release", "sha", "size", "attempt", "parts", "offered_us"),
        ("text", "text", "int8", "bytea", "int8", "int8", "text", "int8"),
    ),
    # Rows of the file have no transaction: they come before all that the database adds.
    "stream": (
        ("xid", "number", "unit", "record_id", "schema", "received_us", "only_for"),
        ("int8", "int8", "text", "bytea", "text", "int8", "text"),
    ),
    "outputs": (
        ("name", "schemas", "at_xid", "at_number", "registered_us", "delivered", "skipped", "overflowed", "buried"),
        ("text", "text", "int8", "int8", "int8", "int8", "int8", "int8", "int8"),
    ),
    "dead_letters": (
        ("output", "unit", "record_id", "schema", "received_us", "failed_us", "attempts", "reason"),
        ("text", "text", "bytea", "text", "int8", "int8", "int8", "text"),
    ),
    "report_definitions": (("id", "text", "who", "changed_us"), ("text", "text", "text", "int8")),
    "unit_groups": (("name", "unit"), ("text", "text")),
    "rollouts": (
        ("kind", "unit_group", "release", "sha", "size", "parts", "percent", "started_us", "changed_us", "who"),
        ("text", "text", "int8", "bytea", "int8", "text", "int8", "int8", "int8", "text"),
    ),
    "accounts": (
        (
            "name", "full_name", "role", "agencies", "units", "password", "totp", "totp_step", "setup",
            "setup_until_us", "subject", "disabled", "failures", "blocked_until_us", "created_us", "password_us",
        ),
        (
            "text", "text", "text", "text", "text", "text", "text", "int8", "bytea", "int8", "text", "int4", "int4",
            "int8", "int8", "int8",
        ),
    ),
    # A request that was being worked on ends as one whose process was stopped.
    "exports": (
        (
            "export_id", "account", "kind", "body", "purpose", "case_number", "requested_us", "state", "decided_by",
            "decided_us", "note", "until_us", "done", "size", "agencies", "units",
        ),
        (
            "text", "text", "text", "text", "text", "text", "int8", "text", "text", "int8", "text", "int8", "int8",
            "int8", "text", "text",
        ),
    ),
    "export_parts": (("export_id", "number", "data"), ("text", "int8", "bytea")),
    "seen_reads": (("account", "unit", "record_id", "seen_us"), ("text", "text", "bytea", "int8")),
    "settings": (("name", "value"), ("text", "text")),
    "tokens": (
        ("token_id", "hash", "account", "label", "created_us", "expires_us"),
        ("text", "bytea", "text", "text", "int8", "int8"),
    ),
}  # fmt: skip
_EMPTY = ("evidence", *_TABLES)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move copied."""

    records: int
    """Including those whose contents were purged."""
    proofs: int
    pictures: int
    """Including incomplete ones."""


def move(file: Path, address: str, registry: Registry, entry: AuditRow) -> Moved:
    """Copy everything, and append an entry to the audit trail.

    The file is locked against writers meanwhile and not changed, except that an older one is migrated first.  Raises
    StoreError if the database has data, and then nothing was copied.
    """
    # What the records of an older file say of each other, such as what became of hits, is noted first.
    open_sqlite_store(file, must_exist=True, registry=registry).close()
    source = open_file(file, must_exist=True)
    target = PostgresDatabase(address)
    try:
        migrate(target, must_exist=False)
        with source.transaction(), target.transaction():
            for table in _EMPTY:
                if target.fetch(f"SELECT EXISTS (SELECT FROM {table})") != [(False,)]:  # noqa: S608 - tables of our own
                    raise StoreError(f"{target.name} has data already: create an empty database")
            moved = _Move(source, target, registry).run(file)
            SqlLog(target).append(replace(entry, count=moved.records))
            target.fetch("ANALYZE")
        return moved
    finally:
        source.close()
        target.close()


class _Move:
    """One move, inside transactions of both databases."""

    def __init__(self, source: Database, target: PostgresDatabase, registry: Registry) -> None:
        self._source = source
        self._target = target
        self._registry = registry
        self._projections = PostgresProjections(target, registry)
        self._records = PostgresRecords(target, self._projections)

    def run(self, file: Path) -> Moved:
        found = self._source.driver_sql(f"SELECT DISTINCT received_us / {DAY_US} FROM records").all()  # noqa: S608 - a number
        self._records.days.ensure(day for (day,) in found)
        records = proofs = 0
        for group in self._rows(_RECORDS, _GROUP):
            records += len(group)
            proofs += self._move_records(group)
        pictures = 0
        for table, (names, types) in _TABLES.items():
            size = _PICTURES_GROUP if table in {"pictures", "chunks", "export_parts"} else _GROUP
            columns = ", ".join(f'"{name}"' for name in names)
            order = " ORDER BY number" if table == "dead_letters" else ""
            for group in self._rows(f"SELECT {columns} FROM {table}{order}", size):  # noqa: S608 - tables of our own
                self._target.copy(table, names, types, group)
                pictures += len(group) if table == "pictures" else 0
        self._move_deployment()
        self._check(records, proofs)
        files = DatabaseFiles(self._target)
        for (kind,) in self._source.driver_sql("SELECT DISTINCT kind FROM offers").all():
            for path in sorted(folder_of(file, kind).glob(f"*{suffix_of(kind)}")):
                files.add(path, kind)
        return Moved(records, proofs, pictures)

    def _move_deployment(self) -> None:
        for ours, theirs in zip(SQLITE.all, POSTGRES.all, strict=True):
            for group in self._source.connection.execute(select(ours)).partitions(_GROUP):
                self._target.run(insert(theirs), [dict(row._mapping) for row in group])  # noqa: SLF001 - its public name

    def _rows(self, statement: str, size: int) -> Iterator[Sequence[Any]]:
        return iter(self._source.driver_sql(statement).partitions(size))

    def _move_records(self, group: Sequence[Any]) -> int:
        """Copy the gate's rows, the records that were not purged, and their search columns; count the proofs."""
        gate = ("unit", "seq", "record_id", "prev", "digest", "key", "signature", "life")
        gate_rows = [(r.unit, r.seq, r.record_id, r.prev, r.digest, r.key, r.signature, r.life) for r in group]
        self._target.copy("evidence", gate, ("text", "int8", "bytea", *["bytea"] * 5), gate_rows)
        rows = []
        found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for row in group:
            if row.payload is None:
                continue
            generation, values = self._projected(row)
            rows.append((*row[:11], generation, row.payload, row.life, row.dating_gap_us, row.salt))
            if values:
                made_us = row.received_us if row.utc_us is None else row.utc_us
                found[row.schema].append((row.unit, row.record_id, row.received_us, made_us, *values))
        self._target.copy("records", (*ROW, "dating_gap_us", "salt"), (*TYPES_OF_ROW, "int8", "bytea"), rows)
        for schema, values_of in found.items():
            projected = self._projections.get(schema)
            if projected is not None and projected.table is not None and projected.known.projection is not None:
                types = [TYPES[column.kind] for column in projected.known.projection.columns]
                names = (*KEY, *projected.names)
                self._target.copy(projected.table.name, names, (*KEY_TYPES, *types), values_of)
        return sum(row.digest is not None for row in group)

    def _projected(self, row: Any) -> tuple[int, tuple[Any, ...]]:
        """Return the generation with which a record is indexed, 0 if its type is unknown, and its columns."""
        projected = self._projections.get(row.schema)
        if projected is None or row.generation == 0:
            # Indexed when the station opens the database, with its effects on others.
            return 0, ()
        try:
            body = decode_record(row.payload, self._registry).body
        except WireError:
            body = None
        return projected.generation, () if body is None or not projected.names else projected.values(body)

    def _check(self, records: int, proofs: int) -> None:
        ((n_records, n_proofs),) = self._target.fetch("SELECT count(*), count(digest) FROM evidence")
        (n_source,) = self._source.driver_sql("SELECT count(*) FROM evidence").one()
        if (n_records, n_proofs) != (records, proofs) or n_proofs != n_source:
            raise StoreError(
                f"{n_proofs:,} of {n_source:,} proofs were copied: the file is damaged; restore it from the backup"
            )
