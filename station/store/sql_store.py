"""The store on an SQLAlchemy database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, select

from protocol.wire.control.transfer import UPDATE
from station.asker import EVERYTHING
from station.store import offers, sequence
from station.store.accounts import AccountTables
from station.store.check import store_faults
from station.store.exports import ExportTables
from station.store.find import Finder
from station.store.pictures import Pictures
from station.store.projections import Projections
from station.store.records import Records
from station.store.rows import AuditRow, PurgeResult, UnitRow
from station.store.scope import UnitAgencies, in_scope
from station.store.tables import AUDIT, OFFERS, UNITS
from station.store.trail import trail_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.contents import NewRecord
    from station.store.database import Database
    from station.store.files import OfferedFiles
    from station.store.rows import (
        AuditSearch,
        ChunkResult,
        EvidenceRow,
        Gap,
        OfferedFile,
        Purgeable,
        RecordRow,
        StoreFault,
    )
    from station.store.search import FoundRead, Place, ReadSearch

READ_SCHEMA = "read/1"
_HEALTH = select(UNITS.c.health, UNITS.c.seq_high).where(UNITS.c.unit == bindparam("of"))
_UNITS = (
    select(
        UNITS.c.unit, UNITS.c.state, UNITS.c.software, UNITS.c.seen_us, UNITS.c.seq_high,
        func.coalesce(OFFERS.c.release, 0), UNITS.c.report, UNITS.c.reason, UNITS.c.agency,
    )
    .select_from(UNITS.outerjoin(OFFERS, and_(OFFERS.c.unit == UNITS.c.unit, OFFERS.c.kind == UPDATE)))
    .order_by(UNITS.c.unit)
)  # fmt: skip
_TRAIL = select(
    AUDIT.c.utc_us, AUDIT.c.who, AUDIT.c.what, AUDIT.c.filter, AUDIT.c.count, AUDIT.c.purpose, AUDIT.c.case_number
).order_by(AUDIT.c.number)


class SqlStore:
    """See :class:`station.store.port.Store`.  Thread-safe; other processes may use the database at the same time."""

    def __init__(
        self,
        db: Database,
        files: OfferedFiles,
        registry: Registry,
        open_picture: Callable[[bytes], bytes | None],
        *,
        make_records: Callable[[], Records] | None = None,
        pictures: Pictures | None = None,
        finder: Callable[[Records], Finder] | None = None,
    ) -> None:
        """``make_records`` is called inside a transaction; the SQLite file's parts are used if they are omitted.

        Records that were stored before their type was known are indexed now.
        """
        self.db = db
        self._files = files
        self.registry = registry
        with db.transaction():
            self._records = Records(db, Projections(db, registry)) if make_records is None else make_records()
        self._pictures = pictures or Pictures(db, open_picture)
        self._finder = finder(self._records) if finder is not None else Finder(db, self._records)
        self._note_seen = _upsert(db, "seen_us")
        self._note_health = _upsert(db, "seq_high", "health_us", "health")
        self._note_status = _upsert(db, "state", "reason", "software", "status_us")
        self._note_report = _upsert(db, "report")
        self._agencies = UnitAgencies(db)
        self.accounts = AccountTables(db)
        self.exports = ExportTables(db)
        self._records.project()
        self._agencies.fill()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction."""
        try:
            with self.db.transaction():
                yield
        except BaseException:
            self._agencies.forget()
            raise

    def add_records(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Inside a transaction."""
        fresh = self._records.add(new, now_us)
        self._agencies.note(new)
        return fresh

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Inside a transaction."""
        return self._pictures.add_chunk(chunk, now_us)

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Inside a transaction."""
        self.db.run(self._note_seen, [{"unit": unit, "seen_us": now_us} for unit in units])

    def note_health(self, message: Health, payload: bytes, now_us: int) -> None:
        """Inside a transaction."""
        values = {"seq_high": message.seq_high, "health_us": now_us, "health": payload}
        self.db.run(self._note_health, {"unit": message.unit, **values})

    def note_status(self, message: Status, now_us: int) -> None:
        """Inside a transaction."""
        values = {"state": message.state.value, "reason": message.reason, "software": message.software}
        self.db.run(self._note_status, {"unit": message.unit, **values, "status_us": now_us})

    def note_report(self, unit: str, payload: bytes) -> None:
        """Inside a transaction."""
        self.db.run(self._note_report, {"unit": unit, "report": payload})

    def audit(self, entry: AuditRow) -> None:
        """Inside a transaction."""
        self.db.run(
            self.db.insert(AUDIT),
            {
                "utc_us": entry.utc_us,
                "who": entry.who,
                "what": entry.what,
                "filter": entry.filter,
                "count": entry.count,
                "purpose": entry.purpose,
                "case_number": entry.case_number,
            },
        )

    def purge(self, before_us: int, retention: str | None) -> PurgeResult:
        """Inside a transaction."""
        records = self._records.purge(before_us, retention)
        return PurgeResult(records, self._pictures.drop_orphans(before_us))

    def purgeable(self, before_us: int, retention: str | None) -> list[Purgeable]:
        """By class."""
        return self._records.purgeable(before_us, retention)

    def newest_us(self) -> int | None:
        """Of all types."""
        return self._records.newest_us()

    def forget_freed(self) -> None:
        """A reader may prevent truncation of the log; the next purge tries again."""
        if self.db.is_sqlite:
            self.db.driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def offer(self, unit: str, file: OfferedFile, now_us: int) -> None:
        """Inside a transaction."""
        offers.offer(self.db, unit, file, now_us)

    def withdraw(self, unit: str, kind: str) -> bool:
        """Inside a transaction."""
        return offers.withdraw(self.db, unit, kind)

    def offers(self) -> list[offers.Offered]:
        """One row per unit and kind."""
        return offers.offers(self.db)

    def keep_file(self, source: Path, kind: str) -> tuple[bytes, int]:
        """By its hash."""
        return self._files.keep(source, kind)

    def drop_unoffered(self, kind: str, now_us: int) -> int:
        """By their age."""
        with self.db.transaction():
            in_use = offers.in_use(self.db, kind)
        return self._files.drop(kind, in_use, now_us)

    def file_bytes(self, request: ChunkRequest) -> tuple[str, bytes] | None:
        """From the kept file."""
        return offers.answer(self.db, self._files, request)

    def latest(
        self,
        schema: str,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
        scope: Scope = EVERYTHING,
    ) -> list[RecordRow]:
        """In the order of arrival."""
        return self._records.latest(schema, unit=unit, since_us=since_us, limit=limit, scope=scope)

    def each(
        self, schema: str, *, unit: str | None = None, since_us: int | None = None, scope: Scope = EVERYTHING
    ) -> Iterator[RecordRow]:
        """A page at a time."""
        return self._records.each(schema, unit=unit, since_us=since_us, scope=scope)

    def record(self, unit: str, record_id: bytes) -> RecordRow | None:
        """None if it is unknown or was purged."""
        return self._records.one(unit, record_id)

    def find(
        self, search: ReadSearch, *, limit: int, after: Place | None = None, scope: Scope = EVERYTHING
    ) -> list[FoundRead]:
        """The latest first."""
        return self._finder.find(search, limit, after, scope)

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """None if it is unknown or incomplete."""
        return self._pictures.get(unit, sha256)

    def count_pictures(self) -> int:
        """Complete ones."""
        return self._pictures.count()

    def health(self, unit: str) -> bytes | None:
        """As received."""
        row = self.db.first(_HEALTH, {"of": unit})
        return None if row is None else row.health

    def gaps(self, unit: str) -> list[Gap]:
        """In order."""
        row = self.db.first(_HEALTH, {"of": unit})
        return sequence.gaps(self.db, unit, 0 if row is None else row.seq_high)

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """In order."""
        return sequence.seen(self.db, unit)

    def has_unit(self, unit: str, scope: Scope) -> bool:
        """By its agency."""
        statement = select(UNITS.c.unit).where(UNITS.c.unit == unit, *in_scope(UNITS.c.unit, scope))
        return self.db.first(statement) is not None

    def units(
        self,
        scope: Scope = EVERYTHING,
        *,
        after: str = "",
        limit: int | None = None,
        count_reads: bool = True,
    ) -> list[UnitRow]:
        """Sorted by name."""
        reads = self._records.count(READ_SCHEMA) if count_reads else None
        found = []
        statement = _UNITS.where(UNITS.c.unit > after, *in_scope(UNITS.c.unit, scope)).limit(limit)
        rows = self.db.all(statement)
        for unit, state, software, seen_us, announced, desired, report, reason, agency in rows:
            gaps = self.gaps(unit)
            found.append(
                UnitRow(
                    unit,
                    state or "?",
                    software or "?",
                    seen_us,
                    reads=None if reads is None else reads.get(unit, 0),
                    seq_high=max(announced, sequence.highest_seen(self.db, unit)),
                    missing=sum(gap.count for gap in gaps if not gap.explained),
                    evicted=sum(gap.count for gap in gaps if gap.explained),
                    desired=desired,
                    report=report,
                    reason=reason or "",
                    agency=agency or "",
                    gaps=tuple(gaps),
                )
            )
        return found

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """A page at a time."""
        return self._records.each_evidence(unit)

    def faults(self) -> Iterator[StoreFault]:
        """A page at a time."""
        return store_faults(self.db, self._records.projections)

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """In order."""
        return self._records.evidence_near(unit, seq)

    def audit_page(
        self, search: AuditSearch, *, limit: int, before: int | None = None
    ) -> list[tuple[int, AuditRow]]:
        """The newest first."""
        rows = self.db.all(trail_page(search, before).limit(limit))
        return [(row[0], AuditRow(*row[1:])) for row in rows]

    def audit_trail(self) -> list[AuditRow]:
        """Oldest first."""
        return [AuditRow(*row) for row in self.db.all(_TRAIL)]

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def _upsert(db: Database, *names: str) -> Any:
    """Store the latest message of a unit; its highest announced number never falls."""
    statement = db.insert(UNITS)
    values = {name: statement.excluded[name] for name in names}
    if "seq_high" in values:
        low, high = UNITS.c.seq_high, statement.excluded.seq_high
        values["seq_high"] = func.greatest(low, high) if not db.is_sqlite else func.max(low, high)
    return statement.on_conflict_do_update(index_elements=["unit"], set_=values)
