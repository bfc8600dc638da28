"""The store's interface for ingest, query and commands; ``tests/contract/test_station_store.py`` is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from station.asker import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from protocol.seal.head import Head
    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.registry import Registry
    from station.asker import Scope
    from station.store.accounts import AccountTables
    from station.store.contents import NewRecord
    from station.store.deployment.port import DeploymentStore
    from station.store.exports import ExportTables
    from station.store.hit_search import HitGroup, HitPlace, HitRecords, HitSearch, HitState
    from station.store.map_search import LastPlaces, MapWindow, PlacedRead, PlacedReads
    from station.store.offers import Offered
    from station.store.reporting import FalseAlarms, HitCount, Period, TextPair
    from station.store.rows import (
        AuditRow,
        AuditSearch,
        CheckpointRow,
        ChunkResult,
        ConflictRow,
        DeadLetter,
        DefinitionRow,
        EvidenceRow,
        Gap,
        HealthRow,
        HoldRow,
        OfferedFile,
        OutputState,
        Purgeable,
        PurgedRange,
        PurgePlan,
        PurgeResult,
        PurgeRow,
        RecordRow,
        Rollout,
        SeriesRow,
        StoreFault,
        StreamPlace,
        StreamRow,
        UnitRow,
        UnitTold,
        Usage,
        WitnessRow,
    )
    from station.store.search import FoundReads, Place, ReadSearch
    from station.store.seen_reads import SeenReads, Settings


class Stream(Protocol):
    """New records in the order of their commits, and the places of outputs in it.

    Every method raises StoreError, and has a transaction of its own.
    """

    def register(self, name: str, schemas: Sequence[str], now_us: int) -> bool:
        """Add an output, which gets what is stored from now on, or change its types; True if it is new."""

    def remove(self, name: str) -> bool:
        """Remove an output with its dead letters; False if there is none."""

    def take(self, name: str, holder: str, now_us: int, until_us: int) -> bool:
        """Hold an output until a time; False if another process holds it."""

    def free(self, name: str, holder: str) -> None:
        """Hold it no longer."""

    def following(self, name: str, limit: int) -> list[StreamRow]:
        """Return the next records of an output, in order; without contents if they were purged."""

    def advance(self, name: str, to: StreamPlace, delivered: int, skipped: int, now_us: int) -> None:
        """Move an output's place behind what was delivered, or skipped."""

    def fail(self, name: str, error: str) -> None:
        """Note that the next record could not be delivered for the moment."""

    def bury(self, name: str, row: StreamRow, reason: str, attempts: int, now_us: int) -> None:
        """Give up on a record: keep it as a dead letter, and move behind it."""

    def bound(self, name: str, max_waiting: int) -> int:
        """Leave out the oldest records if more than ``max_waiting`` wait; return how many."""

    def bound_all(self, max_waiting: int) -> int:
        """Bound every output, also one that nobody runs; return how many records were left out."""

    def prune(self) -> None:
        """Forget what every output has passed."""

    def states(self) -> list[OutputState]:
        """Return all outputs, by name."""

    def dead_letters(self, name: str | None = None, limit: int = 1_000) -> list[DeadLetter]:
        """Return dead letters, the latest first."""

    def retry(self, name: str) -> int:
        """Put the dead letters of an output back into the stream, for it alone; return their number."""


class StoredLog(Protocol):
    """The audit log: entries numbered from 0, hashes as in RFC 9162, checkpoints and what units say of them."""

    def size(self) -> int:
        """Return the number of entries."""

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` entries, from the stored hashes."""

    def entry(self, number: int) -> bytes | None:
        """Return the bytes of an entry; None if there is none."""

    def entries(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and bytes in order, without loading all into memory."""

    def level(self, level: int) -> Iterator[tuple[int, bytes]]:
        """Yield place and hash of the stored nodes of a level, in order."""

    def rows(self) -> Iterator[tuple[int, AuditRow]]:
        """Yield number and contents of what is searched in the entries' place, in order."""

    def inclusion(self, number: int, size: int) -> list[bytes]:
        """Prove that an entry is among the first ``size``."""

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Prove that the first ``new`` entries begin with the first ``old``."""

    def add_checkpoint(self, row: CheckpointRow) -> None:
        """Store a checkpoint; of one size the first stays.  Inside a transaction."""

    def checkpoints(self, *, latest: int | None = None) -> list[CheckpointRow]:
        """Return all checkpoints, or the latest few, by size."""

    def checkpoint(self, size: int) -> CheckpointRow | None:
        """Return the checkpoint of this size; None if there is none."""

    def add_witness(self, row: WitnessRow) -> None:
        """Store a unit's countersignature, or which checkpoint it keeps; one per unit.  Inside a transaction."""

    def witnesses(self) -> list[WitnessRow]:
        """Return the latest countersignature of each unit."""

    def add_conflict(self, row: ConflictRow) -> None:
        """Store that a unit keeps a checkpoint that this log does not continue.  Inside a transaction."""

    def conflicts(self) -> list[ConflictRow]:
        """Return one row per unit that does."""


class StoredHolds(Protocol):
    """Legal holds, and certificates of purges; what they say is hashed in the audit log."""

    def next_hold(self) -> int:
        """Return the number of the next hold.  Inside a transaction, which then places it."""

    def place(self, row: HoldRow) -> int:
        """Store a hold; return how many records it keeps now.  Inside a transaction."""

    def release(self, number: int, release: bytes) -> int:
        """Store the release of a hold; return how many records it kept.  Inside a transaction."""

    def holds(self) -> list[HoldRow]:
        """Return all holds, also released ones."""

    def counts(self) -> dict[int, int]:
        """Return how many records each hold in force keeps."""

    def refresh(self) -> None:
        """Find what holds keep of what came since the last time.  Inside a transaction."""

    def next_purge(self) -> int:
        """Return the number of the next purge.  Inside a transaction, which then stores it."""

    def add_purge(self, row: PurgeRow, ranges: Iterable[PurgedRange]) -> None:
        """Store a certificate, and the sequence numbers whose contents were deleted.  Inside a transaction."""

    def purges(self) -> list[PurgeRow]:
        """Return all certificates."""

    def ranges(self, purge: int) -> list[PurgedRange]:
        """Return the sequence numbers of a purge, in order."""

    def unproven(self) -> Iterator[PurgedRange]:
        """Yield sequence numbers whose contents are missing without a certificate."""


class StoredCounts(Protocol):
    """Counts of a period, summed by the database."""

    def reads(self, period: Period) -> dict[str, int]:
        """Return how many reads of the period are kept, by retention class."""

    def undated_reads(self) -> int:
        """Return how many reads have no time yet."""

    def reads_by_day(self, period: Period) -> dict[int, int]:
        """Return how many reads of the period are kept, by day of the period, from 0."""

    def hits(self, period: Period) -> list[HitCount]:
        """Return the hits of the period."""

    def false_alarms(self, period: Period) -> list[FalseAlarms]:
        """Return the hits of the period by list, version and rule."""

    def text_pairs(self, period: Period) -> list[TextPair]:
        """Return texts of confirmed hits, and of those rejected as misread, whose read and listed texts differ."""

    def unit_purges(self, period: Period) -> list[tuple[str, int, int]]:
        """Return policy, reads and pictures that units deleted themselves."""

    def unit_look_ups(self, period: Period) -> list[tuple[str, str, int]]:
        """Return action, purpose and number of the look-ups on units."""

    def trail(self, period: Period) -> list[tuple[str, str, int]]:
        """Return action, purpose and number of the entries of the audit trail."""

    def highest_numbers(self) -> list[tuple[str, bytes, int]]:
        """Return each life of each unit with its highest sequence number that was received."""

    def offered_lists(self) -> list[tuple[int, str]]:
        """Return when hot lists were offered to units, and what the audit trail says of them."""


class Definitions(Protocol):
    """Definitions of reports that people made.  Every method raises StoreError."""

    def all(self) -> list[DefinitionRow]:
        """Return all, by id."""

    def keep(self, row: DefinitionRow) -> None:
        """Add a definition, or replace that of its id.  Inside a transaction."""

    def drop(self, identity: str) -> bool:
        """Remove a definition; False if there was none.  Inside a transaction."""


class Groups(Protocol):
    """Groups of units, and what is rolled out to them.  Every method raises StoreError."""

    def all(self) -> dict[str, list[str]]:
        """Return the units of each group, sorted."""

    def replace(self, name: str, units: Iterable[str]) -> None:
        """Set the units of a group; none removes it.  Inside a transaction."""

    def rollouts(self) -> list[Rollout]:
        """Return all, by kind and group."""

    def keep(self, rollout: Rollout) -> None:
        """Add or replace the roll-out of a kind to a group.  Inside a transaction."""

    def drop(self, kind: str, group: str) -> None:
        """Remove a roll-out.  Inside a transaction."""


class Store(Protocol):
    """Stores every record once, with gaps, pictures, offers and the audit trail.

    All writes are inside :meth:`transaction`; a receipt may be sent only after it.  Every method raises StoreError if
    the database fails.
    """

    @property
    def registry(self) -> Registry:
        """The known record types."""

    @property
    def groups(self) -> Groups:
        """Groups of units, and what is rolled out to them."""

    @property
    def definitions(self) -> Definitions:
        """Definitions of reports that people made."""

    @property
    def stream(self) -> Stream:
        """The stream of new records that outputs follow."""

    @property
    def deployment(self) -> DeploymentStore:
        """People, places, plans, and what is taken over from records for them."""

    @property
    def accounts(self) -> AccountTables:
        """People's accounts, sessions and tokens."""

    @property
    def exports(self) -> ExportTables:
        """People's searches and exports."""

    @property
    def seen_reads(self) -> SeenReads:
        """Which reads each person saw in the last day."""

    @property
    def settings(self) -> Settings:
        """What an administrator has set."""

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction, durable at its end."""

    def add_records(self, new: Sequence[NewRecord], now_us: int) -> list[bool]:
        """Store records with their evidence; False for each that was already stored.  Inside a transaction."""

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Store the new bytes of a chunk; chunks may come in any order.  Inside a transaction."""

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Record that these units sent something themselves.  Inside a transaction."""

    def note_health(self, message: Health, payload: bytes, now_us: int, head: Head | None = None) -> None:
        """Store the latest health of a unit, and its head, which the caller has verified.  Inside a transaction."""

    def name_conflicts(self) -> set[str]:
        """Return the names that two units seem to use, by what was stored since the last call."""

    def note_status(self, message: Status, now_us: int) -> None:
        """Store the latest status of a unit, which may be outdated or its will.  Inside a transaction."""

    def note_report(self, unit: str, payload: bytes) -> None:
        """Store a unit's latest report on updates.  Inside a transaction."""

    @property
    def log(self) -> StoredLog:
        """The audit log."""

    @property
    def holds(self) -> StoredHolds:
        """Legal holds, and certificates of purges."""

    def audit(self, entry: AuditRow) -> int:
        """Append an entry to the audit log, as the last step of a transaction; return its number."""

    def purge(self, plan: PurgePlan) -> PurgeResult:
        """Purge the records of a plan that no hold keeps, and their pictures.

        A record's row stays, so that it is neither missing nor stored again, as does its digest, without the salt.
        Inside a transaction; :meth:`forget_freed` must follow.
        """

    def check_room(self) -> None:
        """Raise StoreError if new messages would leave no room for a purge."""

    def purge_steps(self, plan: PurgePlan) -> list[PurgePlan]:
        """Split a plan into parts that the disk has room for, one transaction each; the last is the plan itself."""

    def purgeable(self, plan: PurgePlan) -> list[Purgeable]:
        """Return what a purge would delete and what holds keep of it, one row per retention class, in their order."""

    def has_loose_pictures(self, before_us: int) -> bool:
        """Return True if a picture belongs to no record and has not changed since a time; takes long."""

    def newest_us(self) -> int | None:
        """Return the time of receipt of the newest record, UTC; None without records."""

    def forget_freed(self) -> None:
        """Overwrite remains of deleted contents in the database; outside a transaction."""

    def offer(self, unit: str, file: OfferedFile, now_us: int) -> None:
        """Offer a stored file to a unit; replaces an earlier offer of its kind.  Inside a transaction."""

    def withdraw(self, unit: str, kind: str) -> bool:
        """Withdraw the offer of a kind to a unit; False if there was none.  Inside a transaction."""

    def offers(self, units: Iterable[str] | None = None) -> list[Offered]:
        """Return all offers, including withdrawn ones, one row per unit and kind."""

    def keep_file(self, source: Path, kind: str) -> tuple[bytes, int]:
        """Copy a file to the folder of its kind; return its hash and size."""

    def drop_unoffered(self, kind: str, now_us: int) -> int:
        """Delete copies of a kind that have not been offered to any unit for a day; return their number."""

    def file_bytes(self, request: ChunkRequest) -> tuple[str, bytes] | None:
        """Return the requested bytes, as topic and payload; None if the file is not offered to the unit."""

    def latest(
        self,
        schema: str,
        *,
        unit: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
        scope: Scope = EVERYTHING,
    ) -> list[RecordRow]:
        """Return the latest ``limit`` records of a type, or all, in the order of arrival.

        ``since_us`` is compared with the time of receipt.
        """

    def each(
        self, schema: str, *, unit: str | None = None, since_us: int | None = None, scope: Scope = EVERYTHING
    ) -> Iterator[RecordRow]:
        """Yield records of a type in the order of arrival, without loading all into memory."""

    def record(self, unit: str, record_id: bytes) -> RecordRow | None:
        """Return a record; None if it is unknown or was purged."""

    def records_of(self, reads: Sequence[PlacedRead]) -> list[RecordRow]:
        """Return the records of reads, in the same order; those that were purged meanwhile are left out."""

    def find(
        self, search: ReadSearch, *, limit: int, after: Place | None = None, scope: Scope = EVERYTHING
    ) -> FoundReads:
        """Return reads by time, the latest first, and of equal times in a fixed order; ``after`` of the page before.

        Reads that come meanwhile are neither repeated nor do they hide others.  The number of reads that are looked at
        for a page is bounded: the page of an area in which there are few of many can end early, even empty.
        """

    def find_hits(
        self, search: HitSearch, *, limit: int, after: HitPlace | None = None, scope: Scope = EVERYTHING
    ) -> list[HitState]:
        """Return what became of hits, by time, the latest first; ``after`` one found before."""

    def count_hits(self, search: HitSearch, *, scope: Scope = EVERYTHING) -> list[HitGroup]:
        """Count hits by list, owner and how they ended; the largest 10,000 groups, the largest first."""

    def hit(self, unit: str, hit_id: bytes) -> HitState | None:
        """Return what became of a hit; None if it is unknown or was purged."""

    def hit_records(self, states: Sequence[HitState]) -> list[HitRecords]:
        """Return the records of hits, in the same order."""

    def reads_in(self, window: MapWindow, *, limit: int, scope: Scope = EVERYTHING) -> PlacedReads:
        """Return the latest reads within a part of a map and a time.

        A file looks at the latest 60,000 reads of a dense place, and not at those received a day after the end of the
        time; the result says from which time on it is complete.
        """

    def last_places(self, since_us: int, until_us: int) -> LastPlaces:
        """Return all units, and the records received since a time that say where each was last."""

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a complete picture; None if it is unknown or incomplete."""

    def count_pictures(self) -> int:
        """Return the number of complete pictures."""

    def health(self, unit: str) -> bytes | None:
        """Return the unit's latest health message as received; None if there is none."""

    def latest_health(self, limit: int) -> list[HealthRow]:
        """Return the units that were heard last, with their latest health, by name."""

    def told(self, units: Iterable[str], scope: Scope) -> dict[str, UnitTold]:
        """Return what those of the units told last that are known and may be seen."""

    def has_unit(self, unit: str, scope: Scope) -> bool:
        """Return whether a unit is known, and may be seen."""

    def units(
        self,
        scope: Scope = EVERYTHING,
        *,
        after: str = "",
        limit: int | None = None,
        count_reads: bool = True,
    ) -> list[UnitRow]:
        """Return the state of every unit that ever sent something, by name; at most ``limit`` after a name.

        Counting reads takes long on a large database.
        """

    def usage(self, units: Iterable[str], now_us: int) -> dict[str, Usage]:
        """Return what these units sent on this day, UTC; absent for nothing.  Inside a transaction."""

    def add_usage(self, more: Mapping[str, Usage], now_us: int) -> None:
        """Add to what units sent on this day.  Inside a transaction."""

    def usage_of_day(self, now_us: int) -> dict[str, Usage]:
        """Return what every unit sent on this day, UTC."""

    def stored_records(self, keys: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """Return which of these units' records are stored and not purged.  Inside a transaction."""

    def gaps(self, unit: str) -> list[Gap]:
        """Return the gaps of a unit, life by life and in order: explained, or missing."""

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """Return the ranges of received sequence numbers, life by life and in order."""

    def series(self, unit: str) -> list[SeriesRow]:
        """Return the lives of a unit in their order; the last is the present one."""

    def heads(self, since_us: int) -> list[bytes]:
        """Return the signed heads of all lives that were received since then, as stored."""

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """Yield the evidence of a unit's records in order, with the records that were not purged."""

    def evidence(self, unit: str, seq: int, record_id: bytes) -> EvidenceRow | None:
        """Return the evidence of one record, with the record unless it was purged; None if it was not signed."""

    def related(self, unit: str, identity: bytes) -> list[RecordRow]:
        """Return all stages of the hits with this hit id, record id or read id, and what was decided, by number."""

    def dated_by(self, row: RecordRow) -> RecordRow | None:
        """Return the time anchor by which the station dated a record; None if the unit knew the time."""

    @property
    def reporting(self) -> StoredCounts:
        """Counts for reports."""

    def faults(self) -> Iterator[StoreFault]:
        """Yield what differs from the signed bytes: columns, search tables, pictures."""

    def evidence_near(self, unit: str, seq: int) -> list[EvidenceRow]:
        """Return the evidence of a record, and of those before and after it."""

    def audit_page(
        self, search: AuditSearch, *, limit: int, before: int | None = None
    ) -> list[tuple[int, AuditRow]]:
        """Return entries of the audit trail with their numbers, in the order of the search; those beyond ``before``."""

    def audit_trail(self) -> list[AuditRow]:
        """Return the audit trail, oldest first."""

    def close(self) -> None:
        """Close the store."""
