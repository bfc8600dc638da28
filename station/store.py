"""What the station keeps: every read once, what explains the ones that never came, and who looked.

All writing happens inside :meth:`Store.transaction`; a receipt may be sent only after it.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from protocol.wire.enums import Lost
from protocol.wire.records.read import Read
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.records.tombstone import Tombstone
from station import evidence, picture_store, sequence, updates
from station.errors import StoreError
from station.rows import AuditRow, PurgeResult, StoredRead, UnitRow
from station.schema import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from protocol.seal import OpenedRecord
    from protocol.update.manifest import Manifest
    from protocol.wire.control.chunk import PictureChunk
    from protocol.wire.control.transfer import ChunkRequest
    from protocol.wire.control.unit_state import Health, Status
    from protocol.wire.record import Envelope, Record
    from station.evidence import EvidenceRow
    from station.picture_store import ChunkResult
    from station.sequence import Gap
    from station.updates import Offered

_US_PER_DAY = 86_400_000_000
_YEAR_9999_US = 253_402_300_799_999_999
_DRIFT_PPM = 50
"""How far the clock of a small board may wander: widens the uncertainty of a read that is dated from afar."""

_SHOWN = (
    "read_id, unit, agency, boot, seq, camera, role, utc_us, time_source, uncertainty_ms,"
    " dating_gap_us IS NOT NULL, mono_us, text, raw, confidence_e4, region, region_e4, single_look, n_sightings,"
    " n_agreeing, method, lat_e7, lon_e7, error_cm, retention, received_us"
)
_DATED, _SINGLE_LOOK = 10, 17
"""Where the two booleans are in a row."""
_WHOLE_PICTURES = (
    "(SELECT count(*) FROM read_pictures l JOIN pictures p ON p.unit = l.unit AND p.sha = l.sha"
    " WHERE l.unit = r.unit AND l.read_id = r.read_id AND p.jpeg IS NOT NULL)"
)
_SELECT = (
    f"SELECT {_SHOWN}, {_WHOLE_PICTURES} FROM reads r"  # noqa: S608 - column names of our own
    " WHERE (?1 IS NULL OR unit = ?1) AND (?2 IS NULL OR received_us >= ?2)"
)
# The unit does not know when a read of this boot was made, or a dating that lies nearer has come.
_DATE = f"""
UPDATE reads SET utc_us = :utc + (mono_us - :mono), time_source = :source,
  uncertainty_ms = :uncertainty + abs(mono_us - :mono) * {_DRIFT_PPM} / 1000000000,
  dating_gap_us = abs(mono_us - :mono)
WHERE unit = :unit AND boot = :boot
  AND (utc_us IS NULL OR dating_gap_us > abs(mono_us - :mono)
       OR (dating_gap_us = abs(mono_us - :mono) AND utc_us > :utc + (mono_us - :mono)))
  AND :utc + (mono_us - :mono) BETWEEN 0 AND {_YEAR_9999_US}
"""  # noqa: S608 - numbers of our own


class Store:
    """One file.  Used by one thread at a time; other processes may read it meanwhile."""

    def __init__(
        self,
        path: Path,
        *,
        must_exist: bool = False,
        open_picture: Callable[[bytes], bytes | None] = lambda _: None,
    ) -> None:
        """``open_picture`` opens a sealed picture, and gives None for one that is not sealed.

        Raises StoreError for a file that is damaged, foreign or newer; it is left untouched.
        """
        self.path = path
        self._open_picture = open_picture
        self._con = open_file(path, must_exist=must_exist)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; raises StoreError when the disk does not take it."""
        try:
            self._con.execute("BEGIN IMMEDIATE")
            yield
            self._con.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreError(f"{self.path}: {error}; check the disk") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._con.in_transaction:
            self._con.execute("ROLLBACK")

    def add_record(self, record: Record, now_us: int, proof: OpenedRecord | None = None) -> bool:
        """Keep a record with its proof; False when it was here already.  Inside a transaction."""
        envelope, payload = record.envelope, record.payload
        done = self._con.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)",
            (envelope.unit, envelope.record_id, envelope.seq, envelope.boot_id),
        )
        sequence.mark_seen(self._con, envelope.unit, envelope.seq)
        if not done.rowcount:
            return False
        if proof is not None:
            evidence.keep(self._con, proof)
        match record.body:
            case Read() as read:
                self._add_read(envelope, read, payload, now_us)
            case TimeAnchor() as anchor:
                self._add_time_anchor(envelope, anchor, payload)
            case Tombstone() as tombstone:
                self._add_tombstone(envelope, tombstone, payload, now_us)
        return True

    def _add_read(self, e: Envelope, m: Read, payload: bytes, now_us: int) -> None:
        values = (
            e.unit, e.record_id, e.agency, e.boot_id, e.seq, m.camera, m.camera_role,
            m.utc_us, m.time.source.value, m.time.uncertainty_ms, m.mono_us, None,
            m.text, m.raw, m.confidence_e4, m.region, m.region_confidence_e4,
            m.single_frame, m.n_sightings, m.n_agreeing, m.place.method.value, m.place.lat_e7, m.place.lon_e7,
            m.place.error_cm, m.retention.policy_class, now_us, payload,
        )  # fmt: skip
        marks = ", ".join("?" * len(values))
        self._con.execute(f"INSERT INTO reads VALUES ({marks})", values)  # noqa: S608 - question marks only
        for picture in m.pictures:
            self._con.execute(
                "INSERT OR IGNORE INTO read_pictures VALUES (?, ?, ?, ?)",
                (e.unit, e.record_id, picture.sha256, picture.kind.value),
            )
        if m.utc_us is not None:
            return
        nearest = self._con.execute(
            "SELECT mono_us, utc_us, time_source, uncertainty_ms FROM datings WHERE unit = ? AND boot = ?"
            " ORDER BY abs(mono_us - ?), utc_us + (? - mono_us) LIMIT 1",
            (e.unit, e.boot_id, m.mono_us, m.mono_us),
        ).fetchone()
        if nearest is not None:
            self._date(e.unit, e.boot_id, nearest)

    def _add_time_anchor(self, e: Envelope, m: TimeAnchor, payload: bytes) -> None:
        known = (m.mono_us, m.utc_us, m.time.source.value, m.time.uncertainty_ms)
        self._con.execute(
            "INSERT INTO datings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (e.unit, e.record_id, m.anchored_boot_id, *known, payload),
        )
        self._date(e.unit, m.anchored_boot_id, known)

    def _date(self, unit: str, boot: bytes, dating: tuple[int, int, str, int | None]) -> None:
        """Date the reads of a boot that came without a time; of several datings the nearest counts."""
        values = dict(zip(("mono", "utc", "source", "uncertainty"), dating, strict=True))
        self._con.execute(_DATE, {**values, "unit": unit, "boot": boot})

    def _add_tombstone(self, e: Envelope, m: Tombstone, payload: bytes, now_us: int) -> None:
        self._con.execute(
            "INSERT INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (e.unit, e.record_id, m.lost.value, m.reason.value, m.count, m.size_bytes, now_us, payload),
        )
        if m.lost in {Lost.READ, Lost.RECORD}:
            self._con.executemany("INSERT INTO lost VALUES (?, ?, ?)", [(e.unit, *pair) for pair in m.ranges])

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Keep a chunk that continues its picture.  Inside a transaction."""
        return picture_store.add_chunk(self._con, chunk, now_us, self._open_picture)

    def note_seen(self, units: Iterable[str], now_us: int) -> None:
        """Note that these units sent something themselves.  Inside a transaction."""
        self._con.executemany(
            "INSERT INTO units (unit, seen_us) VALUES (?1, ?2) ON CONFLICT (unit) DO UPDATE SET seen_us = ?2",
            [(unit, now_us) for unit in units],
        )

    def note_health(self, message: Health, payload: bytes, now_us: int) -> None:
        """Keep the latest health of a unit.  Inside a transaction."""
        self._con.execute(
            "INSERT INTO units (unit, seq_high, health_us, health) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (unit)"
            " DO UPDATE SET seq_high = max(seq_high, ?2), health_us = ?3, health = ?4",
            (message.unit, message.seq_high, now_us, payload),
        )

    def note_status(self, message: Status, now_us: int) -> None:
        """Keep the latest status of a unit, which may be old news or its will.  Inside a transaction."""
        self._con.execute(
            "INSERT INTO units (unit, state, reason, software, status_us) VALUES (?1, ?2, ?3, ?4, ?5)"
            " ON CONFLICT (unit) DO UPDATE SET state = ?2, reason = ?3, software = ?4, status_us = ?5",
            (message.unit, message.state.value, message.reason, message.software, now_us),
        )

    def note_report(self, unit: str, payload: bytes) -> None:
        """Keep what a unit said last of its releases.  Inside a transaction."""
        self._con.execute(
            "INSERT INTO units (unit, report) VALUES (?1, ?2) ON CONFLICT (unit) DO UPDATE SET report = ?2",
            (unit, payload),
        )

    def offer(self, unit: str, manifest: Manifest, kept: tuple[bytes, int], now_us: int, who: str) -> None:
        """Want a unit to run a kept update; noted.  Raises StoreError."""
        with self.transaction():
            updates.offer(self._con, unit, manifest, kept, now_us)
            self._audit(now_us, who, f"offer release {manifest.release} to {unit}", 0)

    def withdraw(self, unit: str, now_us: int, who: str) -> bool:
        """Want a unit to run nothing else; noted.  False when nothing was offered."""
        with self.transaction():
            self._audit(now_us, who, f"withdraw offer to {unit}", 0)
            return updates.withdraw(self._con, unit)

    def offers(self) -> list[Offered]:
        """What is offered or was withdrawn, a row a unit."""
        return updates.offers(self._con)

    def update_bytes(self, wish: ChunkRequest) -> tuple[str, bytes] | None:
        """What a unit asked for, as topic and payload; None when that is not offered to it.  Raises StoreError."""
        return updates.answer(self._con, self.path, wish)

    def reads(
        self, *, unit: str | None = None, since_us: int | None = None, limit: int | None = None
    ) -> list[StoredRead]:
        """Return the latest ``limit`` reads in the order they came; ``since_us`` is when they were received."""
        rows = self._con.execute(
            f"{_SELECT} ORDER BY received_us DESC, unit DESC, seq DESC LIMIT ?3",
            (unit, since_us, -1 if limit is None else limit),
        ).fetchall()
        return [_read(row) for row in reversed(rows)]

    def each_read(self, *, unit: str | None = None, since_us: int | None = None) -> Iterator[StoredRead]:
        """Yield reads in the order they came without holding them all in memory."""
        rows = self._con.execute(f"{_SELECT} ORDER BY received_us, unit, seq", (unit, since_us))
        return (_read(row) for row in rows)

    def payload(self, unit: str, read_id: bytes) -> bytes | None:
        """Return a read as it came over the wire; None when it is not here."""
        row = self._con.execute(
            "SELECT payload FROM reads WHERE unit = ? AND read_id = ?", (unit, read_id)
        ).fetchone()
        return None if row is None else row[0]

    def picture(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a whole picture; None when it is not here, or not yet."""
        row = self._con.execute("SELECT jpeg FROM pictures WHERE unit = ? AND sha = ?", (unit, sha256)).fetchone()
        return None if row is None else row[0]

    def health(self, unit: str) -> bytes | None:
        """Return the unit's latest health message as it came; None when there is none."""
        row = self._con.execute("SELECT health FROM units WHERE unit = ?", (unit,)).fetchone()
        return None if row is None else row[0]

    def count_pictures(self) -> int:
        """Return how many whole pictures are here."""
        return int(self._con.execute("SELECT count(*) FROM pictures WHERE jpeg IS NOT NULL").fetchone()[0])

    def gaps(self, unit: str) -> list[Gap]:
        """Return the sequence numbers that never came, in order: evicted, or missing."""
        announced = self._con.execute("SELECT seq_high FROM units WHERE unit = ?", (unit,)).fetchone()
        return sequence.gaps(self._con, unit, 0 if announced is None else announced[0])

    def units(self) -> list[UnitRow]:
        """Return what is known of every unit that was ever heard."""
        rows = self._con.execute(
            "SELECT unit, state, software, seen_us, seq_high, (SELECT count(*) FROM reads r WHERE r.unit = u.unit),"
            " coalesce((SELECT release FROM offers o WHERE o.unit = u.unit), 0), report"
            " FROM units u ORDER BY unit"
        ).fetchall()
        found = []
        for unit, state, software, seen_us, announced, reads, *standing in rows:
            gaps = self.gaps(unit)
            missing = sum(gap.count for gap in gaps if not gap.explained)
            evicted = sum(gap.count for gap in gaps if gap.explained)
            high = max(announced, sequence.highest_seen(self._con, unit))
            found.append(
                UnitRow(unit, state or "?", software or "?", seen_us, reads, high, missing, evicted, *standing)
            )
        return found

    def each_evidence(self, unit: str) -> Iterator[EvidenceRow]:
        """Yield the proofs of a unit's records in order, with the records that are still here."""
        return evidence.each(self._con, unit)

    def seen(self, unit: str) -> list[tuple[int, int]]:
        """Return the ranges of sequence numbers that came, in order."""
        return sequence.seen(self._con, unit)

    def purge(self, now_us: int, days: float, *, retention: str | None = None, who: str) -> PurgeResult:
        """Delete reads made or received more than ``days`` ago, with their pictures; counted and audited.

        ``retention`` names one class, None means all.  That a read was here is remembered without its contents, so
        that it is neither missed nor stored again.  Raises StoreError for negative ``days``.
        """
        if not days >= 0:
            raise StoreError(f"cannot purge what is older than {days} days: give 0 or more")
        before_us = now_us - round(days * _US_PER_DAY)
        with self.transaction():
            reads = self._con.execute(
                "DELETE FROM reads WHERE (?1 IS NULL OR retention = ?1)"
                " AND min(received_us, coalesce(utc_us, received_us)) < ?2",
                (retention, before_us),
            ).rowcount
            pictures = picture_store.drop_orphans(self._con, before_us)
            evidence.forget_purged(self._con)
            what = f"purge of {'all classes' if retention is None else f'class {retention}'} after {days:g} days"
            self._audit(now_us, who, what, reads)
        # What was deleted must not live on in the log.  A reader may keep it for now; the next purge tries again.
        self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return PurgeResult(reads, pictures)

    def audit(self, now_us: int, who: str, what: str, count: int) -> None:
        """Note that somebody took reads out."""
        with self.transaction():
            self._audit(now_us, who, what, count)

    def _audit(self, now_us: int, who: str, what: str, count: int) -> None:
        self._con.execute(
            "INSERT INTO audit (utc_us, who, what, count) VALUES (?, ?, ?, ?)", (now_us, who, what, count)
        )

    def audit_trail(self) -> list[AuditRow]:
        """Return who took out or deleted what, oldest first."""
        rows = self._con.execute("SELECT utc_us, who, what, count FROM audit ORDER BY number")
        return [AuditRow(*row) for row in rows]

    def close(self) -> None:
        """Release the file."""
        self._con.close()


def _read(row: tuple[Any, ...]) -> StoredRead:
    """SQLite has no booleans."""
    values = list(row)
    values[_DATED], values[_SINGLE_LOOK] = bool(row[_DATED]), bool(row[_SINGLE_LOOK])
    return StoredRead(*values)
