"""The store on an SQLAlchemy database."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, select

from protocol.wire.control.transfer import UPDATE
from station.asker import EVERYTHING
from station.store import offers, related
from station.store.accounts import AccountTables
from station.store.check import store_faults
from station.store.definitions import Definitions
from station.store.deployment.sql import SqlDeployment
from station.store.exports import ExportTables
from station.store.find import Finder
from station.store.groups import Groups
from station.store.hit_finder import HitFinder
from station.store.holds import SqlHolds
from station.store.lives import Lives
from station.store.log import SqlLog
from station.store.map_finder import MapFinder
from station.store.pictures import Pictures
from station.store.projections import Projections
from station.store.records import Records
from station.store.reporting import Reporting
from station.store.rows import AuditRow, HealthRow, UnitRow, UnitTold
from station.store.scope import UnitAgencies, in_scope
from station.store.seen_reads import SeenReads, Settings
from station.store.stream import Stream
from station.store.tables import AUDIT, EVIDENCE, OFFERS, RECORDS, UNITS
from station.store.trail import trail_page
from station.store.usage import UsageTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from protocol.seal.head import Head
    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.contents import NewRecord
    from station.store.database import Database
    from station.store.files import OfferedFiles
    from station.store.hit_search import HitGroup, HitPlace, HitRecords, HitSearch, HitState
    from station.store.map_search import LastPlaces, MapWindow, PlacedRead, PlacedReads
    from station.store.room import DiskRoom
    from station.store.rows import (
        AuditSearch,
        ChunkResult,
        EvidenceRow,
        Gap,
        OfferedFile,
        Purgeable,
        PurgePlan,
        PurgeResult,
        RecordRow,
        SeriesRow,
        StoreFault,
        Usage,
    )
    from station.store.search import FoundReads, Place, ReadSearch

READ_SCHEMA = "read/1"
_HEALTH = select(UNITS.c.health).where(UNITS.c.unit == bindparam("of"))
_UNITS = (
    select(
        UNITS.c.unit, UNITS.c.state, UNITS.c.software, UNITS.c.seen_us,
        func.coalesce(OFFERS.c.release, 0), UNITS.c.report, UNITS.c.reason, UNITS.c.agency,
    )
    .select_from(UNITS.outerjoin(OFFERS, and_(OFFERS.c.unit == UNITS.c.unit, OFFERS.c.kind == UPDATE)))
    .order_by(UNITS.c.unit)
)  # fmt: skip
_LATEST_HEALTH = select(
    UNITS.c.unit, func.coalesce(UNITS.c.state, "?"), UNITS.c.seen_us, UNITS.c.health_us, UNITS.c.health
).order_by(func.coalesce(UNITS.c.seen_us, 0).desc(), UNITS.c.unit)
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
        room: DiskRoom | None = None,
        reporting: Reporting | None = None,
        map_finder: Callable[[Finder], MapFinder] | None = None,
    ) -> None:
        """``make_records`` is called inside a transaction; the SQLite file's parts are used if they are omitted.

        Records that were stored before their type was known are indexed now.
        """
        self.db = db
        self._files = files
        self._room = room
        self.log = SqlLog(db)
        self.registry = registry
        self.deployment = SqlDeployment(db, frozenset(known.schema for known in registry))
        with db.transaction():
            self._records = Records(db, Projections(db, registry)) if make_records is None else make_records()
        self._lives = Lives(db, RECORDS if db.is_sqlite else EVIDENCE)
        self._usage = UsageTable(db)
        self.holds = SqlHolds(db, self._records)
        self._pictures = pictures or Pictures(db, open_picture)
        self._finder = finder(self._records) if finder is not None else Finder(db, self._records)
        self._map_finder = map_finder(self._finder) if map_finder is not None else MapFinder(db, self._finder)
        self._hit_finder = HitFinder(db, self._finder)
        self.stream = Stream(db)
        self.groups = Groups(db)
        self.definitions = Definitions(db)
        self._note_seen = _upsert(db, "seen_us")
        self._note_health = _upsert(db, "health_us", "health")
        self._note_status = _upsert(db, "state", "reason", "software", "status_us")
        self._note_report = _upsert(db, "report")
        self._conflicts: set[str] = set()
        self.reporting = Reporting(db) if reporting is None else reporting
        self._agencies = UnitAgencies(db)
        self.accounts = AccountTables(db)
        self.exports = ExportTables(db)
        self.seen_reads = SeenReads(db)
        self.settings = Settings(db)
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
        fresh = self._add(new, now_us)
        self._agencies.note(new)
        stored = [one for one, is_new in zip(new, fresh, strict=True) if is_new]
        if stored:
            envelopes = [one.record.envelope for one in stored]
            self.deployment.rewind({e.schema_id for e in envelopes}, now_us)
            self._conflicts |= self._lives.heard(((e.unit, e.life) for e in envelopes), now_us)
            self._conflicts |= self._lives.forked(self._records.forks(stored))
        return fresh

    def _add(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        return self._records.add(new, now_us)

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Inside a transaction."""
        return self._pictures.add_chunk(chunk, now_us)

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Inside a transaction."""
        self.db.run(self._note_seen, [{"unit": unit, "seen_us": now_us} for unit in units])

    def note_health(self, message: Health, payload: bytes, now_us: int, head: Head | None = None) -> None:
        """Inside a transaction."""
        self.db.run(self._note_health, {"unit": message.unit, "health_us": now_us, "health": payload})
        self._conflicts |= self._lives.heard([(message.unit, message.life)], now_us)
        self._lives.announced(message.unit, message.life, message.seq_high)
        if head is not None and not self._lives.take_head(head, message.head, now_us):
            self._conflicts |= self._lives.forked({(head.unit, head.life): 1})

    def name_conflicts(self) -> set[str]:
        """Since the last call."""
        found, self._conflicts = self._conflicts, set()
        return found

    def note_status(self, message: Status, now_us: int) -> None:
        """Inside a transaction."""
        values = {"state": message.state.value, "reason": message.reason, "software": message.software}
        self.db.run(self._note_status, {"unit": message.unit, **values, "status_us": now_us})

    def note_report(self, unit: str, payload: bytes) -> None:
        """Inside a transaction."""
        self.db.run(self._note_report, {"unit": unit, "report": payload})

    def audit(self, entry: AuditRow) -> int:
        """Inside a transaction."""
        return self.log.append(entry)

    def purge(self, plan: PurgePlan) -> PurgeResult:
        """Inside a transaction."""
        gone = self._records.purge(plan, self.holds.refresh)
        for rule in plan.rules:
            self.deployment.purge_class(rule.before_us, rule.retention)
        return replace(gone, pictures=self._pictures.drop_orphans(plan.loose_us))

    def check_room(self) -> None:
        """Of the file; a server's disk is its own."""
        if self._room is not None:
            self._room.check()

    def purge_steps(self, plan: PurgePlan) -> list[PurgePlan]:
        """Of a file; a server drops partitions."""
        if self._room is None:
            return [plan]
        expiring = self._records.projections.tables_with("expires_us")
        return self._room.steps(self.db, plan, self._records.due(plan), expiring)

    def purgeable(self, plan: PurgePlan) -> list[Purgeable]:
        """By class; a hold may have to find what came since it was placed."""
        with self.transaction():
            self.holds.refresh()
            return self._records.purgeable(plan)

    def has_loose_pictures(self, before_us: int) -> bool:
        """Reads all rows of pictures."""
        return self._pictures.has_loose(before_us)

    def newest_us(self) -> int | None:
        """Of all types."""
        return self._records.newest_us()

    def forget_freed(self) -> None:
        """A reader may prevent truncation of the log; the next purge tries again."""
        if self.db.is_sqlite:
            self.db.truncate_log()

    def offer(self, unit: str, file: OfferedFile, now_us: int) -> None:
        """Inside a transaction."""
        offers.offer(self.db, unit, file, now_us)

    def withdraw(self, unit: str, kind: str) -> bool:
        """Inside a transaction."""
        return offers.withdraw(self.db, unit, kind)

    def offers(self, units: Iterable[str] | None = None) -> list[offers.Offered]:
        """One row per unit and kind."""
        return offers.offers(self.db, units)

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

    def records_of(self, reads: Sequence[PlacedRead]) -> list[RecordRow]:
        """By their keys."""
        return [row for row in self._finder.rows(reads) if row is not None]

    def find(
        self, search: ReadSearch, *, limit: int, after: Place | None = None, scope: Scope = EVERYTHING
    ) -> FoundReads:
        """The latest first."""
        return self._finder.find(search, limit, after, scope)

    def find_hits(
        self, search: HitSearch, *, limit: int, after: HitPlace | None = None, scope: Scope = EVERYTHING
    ) -> list[HitState]:
        """The latest first."""
        return self._hit_finder.find(search, limit, after, scope)

    def count_hits(self, search: HitSearch, *, scope: Scope = EVERYTHING) -> list[HitGroup]:
        """By list, owner and end."""
        return self._hit_finder.count(search, scope)

    def hit(self, unit: str, hit_id: bytes) -> HitState | None:
        """None if it is unknown or was purged."""
        return self._hit_finder.one(unit, hit_id)

    def hit_records(self, states: Sequence[HitState]) -> list[HitRecords]:
        """In the same order."""
        return self._hit_finder.records(states)

    def reads_in(self, window: MapWindow, *, limit: int, scope: Scope = EVERYTHING) -> PlacedReads:
        """The latest first."""
        return self._map_finder.reads(window, limit, scope)

    def last_places(self, since_us: int, until_us: int) -> LastPlaces:
        """Of all units."""
        return self._map_finder.last_places(since_us, until_us)

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

    def latest_health(self, limit: int) -> list[HealthRow]:
        """Sorted by name."""
        rows = self.db.all(_LATEST_HEALTH.limit(limit))
        return sorted((HealthRow(*row) for row in rows), key=lambda row: row.unit)

    def usage(self, units: Iterable[str], now_us: int) -> dict[str, Usage]:
        """Inside a transaction."""
        return self._usage.today(units, now_us)

    def add_usage(self, more: Mapping[str, Usage], now_us: int) -> None:
        """Inside a transaction."""
        self._usage.add(more, now_us)

    def usage_of_day(self, now_us: int) -> dict[str, Usage]:
        """UTC."""
        return self._usage.of_day(now_us)

    def stored_records(self, keys: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """Inside a transaction."""
        return self._records.among(keys)

    def gaps(self, unit: str) -> list[Gap]:
        """Life by life."""
        return [gap for row in self._lives.of(unit, removed=False) for gap in row.gaps]

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """Life by life."""
        return [numbers for row in self._lives.of(unit, removed=False) for numbers in row.seen]

    def series(self, unit: str) -> list[SeriesRow]:
        """The present life is the last."""
        return self._lives.of(unit)

    def told(self, units: Iterable[str], scope: Scope) -> dict[str, UnitTold]:
        """In one statement."""
        statement = select(UNITS.c.unit, UNITS.c.health, UNITS.c.report).where(
            UNITS.c.unit.in_(sorted(set(units))), *in_scope(UNITS.c.unit, scope)
        )
        return {unit: UnitTold(health, report) for unit, health, report in self.db.all(statement)}

    def heads(self, since_us: int) -> list[bytes]:
        """Of all units."""
        return self._lives.heads(since_us)

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
        for unit, state, software, seen_us, desired, report, reason, agency in rows:
            lives = self._lives.of(unit, removed=False)
            gaps = [gap for row in lives for gap in row.gaps]
            found.append(
                UnitRow(
                    unit,
                    state or "?",
                    software or "?",
                    seen_us,
                    reads=None if reads is None else reads.get(unit, 0),
                    seq_high=lives[-1].seq_high if lives else 0,
                    missing=sum(gap.count for gap in gaps if not gap.explained),
                    evicted=sum(gap.count for gap in gaps if gap.explained),
                    desired=desired,
                    report=report,
                    reason=reason or "",
                    lives=len(lives),
                    conflicts=sum(row.conflicts for row in lives),
                    agency=agency or "",
                    gaps=tuple(gaps),
                )
            )
        return found

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """A page at a time."""
        return self._records.each_evidence(unit)

    def evidence(self, unit: str, seq: int, record_id: bytes) -> EvidenceRow | None:
        """None if it was not signed."""
        return self._records.one_evidence(unit, seq, record_id)

    def related(self, unit: str, identity: bytes) -> list[RecordRow]:
        """By sequence number."""
        named = related.hit_records(self.db, unit, identity)
        rows = (self._records.one(unit, record_id) for record_id in named)
        return sorted((row for row in rows if row is not None), key=lambda row: (row.seq, row.record_id))

    def dated_by(self, row: RecordRow) -> RecordRow | None:
        """The nearest anchor."""
        anchor = related.dated_by(self.db, row)
        return None if anchor is None else self._records.one(row.unit, anchor)

    def faults(self) -> Iterator[StoreFault]:
        """A page at a time."""
        return store_faults(self.db, self._records.projections)

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """In order."""
        return self._records.evidence_near(unit, seq)

    def audit_page(
        self, search: AuditSearch, *, limit: int, before: int | None = None
    ) -> list[tuple[int, AuditRow]]:
        """By number."""
        rows = self.db.all(trail_page(search, before).limit(limit))
        return [(row[0], AuditRow(*row[1:])) for row in rows]

    def audit_trail(self) -> list[AuditRow]:
        """Oldest first."""
        return [AuditRow(*row) for row in self.db.all(_TRAIL)]

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def _upsert(db: Database, *names: str) -> Any:
    """Store the latest message of a unit."""
    statement = db.insert(UNITS)
    values = {name: statement.excluded[name] for name in names}
    return statement.on_conflict_do_update(index_elements=["unit"], set_=values)
