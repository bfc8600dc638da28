"""What the station keeps: every read once, what explains the ones that never came, and who looked.

All writing happens inside :meth:`Store.transaction`; a receipt may be sent only after it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.sync.wire import (
    DatingMessage,
    HealthMessage,
    Lost,
    PictureChunk,
    ReadMessage,
    RecordMessage,
    StatusMessage,
    TombstoneMessage,
)
from station.errors import StoreError
from station.schema import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_US_PER_DAY = 86_400_000_000
_SINGLE_LOOK = 14


@dataclass(frozen=True, slots=True)
class StoredRead:
    """A read as the station shows and exports it."""

    read_id: bytes
    unit: str
    agency: str
    seq: int
    camera: str
    role: str
    utc_us: int | None
    time_source: str
    uncertainty_ms: int | None
    text: str
    raw: str
    confidence_e4: int
    region: str
    region_e4: int
    single_look: bool
    n_sightings: int
    n_agreeing: int
    method: str
    lat_e7: int | None
    lon_e7: int | None
    error_cm: int | None
    received_us: int
    pictures: int
    """How many of its pictures are here, whole."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers the station has not got."""

    first: int
    last: int
    explained: bool
    """True when the unit said that they will not come."""


@dataclass(frozen=True, slots=True)
class UnitRow:
    """What is known of a unit."""

    unit: str
    state: str
    software: str
    seen_us: int
    reads: int
    seq_high: int
    missing: int
    evicted: int


_READ_COLUMNS = (
    "read_id, unit, agency, boot, seq, camera, role, utc_us, time_source, uncertainty_ms, mono_us, text, raw, "
    "confidence_e4, region, region_e4, single_look, n_sightings, n_agreeing, method, lat_e7, lon_e7, error_cm, "
    "retention, received_us, payload"
)
_SHOWN = (
    "r.read_id, r.unit, r.agency, r.seq, r.camera, r.role, r.utc_us, r.time_source, r.uncertainty_ms, r.text, r.raw, "
    "r.confidence_e4, r.region, r.region_e4, r.single_look, r.n_sightings, r.n_agreeing, r.method, r.lat_e7, r.lon_e7, "
    "r.error_cm, r.received_us"
)


class Store:
    """One file.  Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError for a file that is damaged, foreign or newer."""
        self.path = path
        self._con = open_file(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; raises StoreError when the disk does not take it."""
        try:
            self._con.execute("BEGIN IMMEDIATE")
            yield
            self._con.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreError(f"{self.path}: {error}") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._con.in_transaction:
            self._con.execute("ROLLBACK")

    def add_record(self, message: RecordMessage, payload: bytes, now_us: int) -> bool:
        """Keep a record; False when it was here already.  Inside a transaction."""
        record_id = message.read_id if isinstance(message, ReadMessage) else message.record_id
        done = self._con.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?)", (message.unit, message.seq, record_id)
        )
        if not done.rowcount:
            return False
        match message:
            case ReadMessage():
                self._add_read(message, payload, now_us)
            case DatingMessage():
                self._add_dating(message)
            case TombstoneMessage():
                self._add_tombstone(message)
        return True

    def _add_read(self, m: ReadMessage, payload: bytes, now_us: int) -> None:
        values = (
            m.read_id, m.unit, m.agency, m.boot_id, m.seq, m.camera, m.camera_role, m.utc_us, m.time.source.value,
            m.time.uncertainty_ms, m.mono_us, m.text, m.raw, m.confidence_e4, m.region, m.region_confidence_e4,
            m.single_look, m.n_sightings, m.n_agreeing, m.place.method.value, m.place.lat_e7, m.place.lon_e7,
            m.place.error_cm, m.retention, now_us, payload,
        )  # fmt: skip
        marks = ", ".join("?" * len(values))
        done = self._con.execute(f"INSERT OR IGNORE INTO reads ({_READ_COLUMNS}) VALUES ({marks})", values)  # noqa: S608 - our own column names
        if not done.rowcount:
            return
        for picture in m.pictures:
            self._con.execute(
                "INSERT OR IGNORE INTO read_pictures VALUES (?, ?, ?)",
                (m.read_id, picture.sha256, picture.kind.value),
            )
        if m.utc_us is None:
            row = self._con.execute(
                "SELECT mono_us, utc_us, time_source, uncertainty_ms FROM datings WHERE unit = ? AND boot = ?"
                " ORDER BY uncertainty_ms LIMIT 1",
                (m.unit, m.boot_id),
            ).fetchone()
            if row is not None:
                self._date(m.unit, m.boot_id, row)

    def _add_dating(self, m: DatingMessage) -> None:
        uncertainty_ms = m.time.uncertainty_ms
        self._con.execute(
            "INSERT OR IGNORE INTO datings VALUES (?, ?, ?, ?, ?, ?, ?)",
            (m.record_id, m.unit, m.dated_boot_id, m.mono_us, m.utc_us, m.time.source.value, uncertainty_ms),
        )
        self._date(m.unit, m.dated_boot_id, (m.mono_us, m.utc_us, m.time.source.value, uncertainty_ms))

    def _date(self, unit: str, boot: bytes, tie: tuple[int, int, str, int | None]) -> None:
        """Date the reads of a boot that came without a time; ``tie`` is mono_us, utc_us, source, uncertainty_ms."""
        mono_us, utc_us, source, uncertainty_ms = tie
        self._con.execute(
            "UPDATE reads SET utc_us = ? + (mono_us - ?), time_source = ?, uncertainty_ms = ?"
            " WHERE unit = ? AND boot = ? AND utc_us IS NULL",
            (utc_us, mono_us, f"dated_{source}", uncertainty_ms, unit, boot),
        )

    def _add_tombstone(self, m: TombstoneMessage) -> None:
        self._con.execute("INSERT OR IGNORE INTO tombstones VALUES (?)", (m.record_id,))
        stone = m.tombstone
        for first, last in stone.ranges:
            self._con.execute(
                "INSERT INTO lost VALUES (?, ?, ?, ?, ?, ?)",
                (m.unit, first, last, stone.lost.value, stone.reason.value, stone.count),
            )

    def add_chunk(self, chunk: PictureChunk) -> int:
        """Keep a chunk that continues a picture; return how many bytes are stored now.  Inside a transaction.

        A chunk that lies behind is known already, one that lies ahead is not kept.  When the last byte comes and
        the hash is wrong, the picture starts again at 0.
        """
        row = self._con.execute(
            "SELECT total, stored, jpeg IS NOT NULL FROM pictures WHERE sha = ?", (chunk.sha256,)
        ).fetchone()
        if row is None:
            self._con.execute(
                "INSERT INTO pictures VALUES (?, ?, ?, 0, NULL)",
                (chunk.sha256, chunk.kind.value, chunk.total_bytes),
            )
            row = (chunk.total_bytes, 0, False)
        total, stored, complete = row
        fresh = chunk.data[max(0, stored - chunk.offset) :]
        if complete or total != chunk.total_bytes or chunk.offset > stored or not fresh:
            return int(stored)
        self._con.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?)", (chunk.sha256, stored, fresh))
        stored += len(fresh)
        if stored >= total:
            stored = self._complete(chunk.sha256, total)
        self._con.execute("UPDATE pictures SET stored = ? WHERE sha = ?", (stored, chunk.sha256))
        return int(stored)

    def _complete(self, sha256: bytes, total: int) -> int:
        rows = self._con.execute("SELECT data FROM chunks WHERE sha = ? ORDER BY offset", (sha256,))
        jpeg = b"".join(row[0] for row in rows)
        self._con.execute("DELETE FROM chunks WHERE sha = ?", (sha256,))
        if len(jpeg) != total or hashlib.sha256(jpeg).digest() != sha256:
            return 0
        self._con.execute("UPDATE pictures SET jpeg = ? WHERE sha = ?", (jpeg, sha256))
        return total

    def note_health(self, message: HealthMessage, payload: bytes, now_us: int) -> None:
        """Keep the latest health of a unit.  Inside a transaction."""
        self._touch(message.unit, now_us)
        self._con.execute(
            "UPDATE units SET seq_high = max(seq_high, ?), health = ? WHERE unit = ?",
            (message.seq_high, payload, message.unit),
        )

    def note_status(self, message: StatusMessage, now_us: int) -> None:
        """Keep the latest status of a unit.  Inside a transaction."""
        self._touch(message.unit, now_us)
        self._con.execute(
            "UPDATE units SET state = ?, reason = ?, software = ? WHERE unit = ?",
            (message.state.value, message.reason, message.software, message.unit),
        )

    def _touch(self, unit: str, now_us: int) -> None:
        self._con.execute("INSERT OR IGNORE INTO units (unit) VALUES (?)", (unit,))
        self._con.execute("UPDATE units SET seen_us = ? WHERE unit = ?", (now_us, unit))

    def reads(
        self, *, unit: str | None = None, since_us: int | None = None, limit: int | None = None
    ) -> list[StoredRead]:
        """Return reads in the order of their receipt, the latest ``limit`` of them."""
        rows = self._con.execute(
            f"SELECT {_SHOWN}, (SELECT count(*) FROM read_pictures rp JOIN pictures p ON p.sha = rp.sha"  # noqa: S608 - our own column names
            " WHERE rp.read_id = r.read_id AND p.jpeg IS NOT NULL)"
            " FROM reads r WHERE (? IS NULL OR r.unit = ?) AND (? IS NULL OR r.received_us >= ?)"
            " ORDER BY r.received_us DESC, r.unit, r.seq DESC LIMIT ?",
            (unit, unit, since_us, since_us, -1 if limit is None else limit),
        ).fetchall()
        return [_stored_read(row) for row in reversed(rows)]

    def picture(self, sha256: bytes) -> bytes | None:
        """Return a whole picture; None when it is not here, or not yet."""
        row = self._con.execute("SELECT jpeg FROM pictures WHERE sha = ?", (sha256,)).fetchone()
        return None if row is None else row[0]

    def gaps(self, unit: str) -> list[Gap]:
        """Return the sequence numbers that never came, in order, explained or missing."""
        high = self._con.execute("SELECT seq_high FROM units WHERE unit = ?", (unit,)).fetchone()
        holes = self._con.execute(
            "SELECT seq + 1, next - 1 FROM (SELECT seq, lead(seq) OVER (ORDER BY seq) AS next FROM ("
            " SELECT 0 AS seq UNION SELECT seq FROM records WHERE unit = ?1 UNION SELECT ?2 + 1)) WHERE next > seq + 1",
            (unit, max(high[0] if high else 0, self._highest(unit))),
        ).fetchall()
        explained = sorted(
            (first, last)
            for first, last in self._con.execute(
                "SELECT first, last FROM lost WHERE unit = ? AND lost IN (?, ?)",
                (unit, Lost.READ.value, Lost.RECORD.value),
            )
        )
        return [gap for first, last in holes for gap in _split(first, last, explained)]

    def _highest(self, unit: str) -> int:
        return int(
            self._con.execute("SELECT coalesce(max(seq), 0) FROM records WHERE unit = ?", (unit,)).fetchone()[0]
        )

    def units(self) -> list[UnitRow]:
        """Return what is known of every unit that was ever heard."""
        rows = self._con.execute(
            "SELECT u.unit, u.state, u.software, u.seen_us, u.seq_high,"
            " (SELECT count(*) FROM reads WHERE unit = u.unit)"
            " FROM (SELECT unit, state, software, seen_us, seq_high FROM units UNION"
            "  SELECT DISTINCT unit, NULL, NULL, 0, 0 FROM records WHERE unit NOT IN (SELECT unit FROM units)) u"
            " ORDER BY u.unit"
        ).fetchall()
        found = []
        for unit, state, software, seen_us, seq_high, reads in rows:
            gaps = self.gaps(unit)
            missing = sum(g.last - g.first + 1 for g in gaps if not g.explained)
            evicted = sum(g.last - g.first + 1 for g in gaps if g.explained)
            high = max(seq_high, self._highest(unit))
            found.append(UnitRow(unit, state or "?", software or "?", seen_us, reads, high, missing, evicted))
        return found

    def count_pictures(self) -> int:
        """Return how many whole pictures are here."""
        return int(self._con.execute("SELECT count(*) FROM pictures WHERE jpeg IS NOT NULL").fetchone()[0])

    def purge(self, now_us: int, days: float, *, retention: str = "nonhit", who: str) -> int:
        """Delete reads of a retention class received more than ``days`` ago, with their pictures; audited."""
        before_us = now_us - round(days * _US_PER_DAY)
        with self.transaction():
            gone = self._con.execute(
                "DELETE FROM reads WHERE retention = ? AND received_us < ?", (retention, before_us)
            ).rowcount
            self._con.execute("DELETE FROM read_pictures WHERE read_id NOT IN (SELECT read_id FROM reads)")
            self._con.execute(
                "DELETE FROM pictures WHERE jpeg IS NOT NULL AND sha NOT IN (SELECT sha FROM read_pictures)"
            )
            self._audit(now_us, who, f"purge {retention} older than {days:g} days", gone)
        return gone

    def audit(self, now_us: int, who: str, what: str, count: int) -> None:
        """Note that somebody took reads out."""
        with self.transaction():
            self._audit(now_us, who, what, count)

    def _audit(self, now_us: int, who: str, what: str, count: int) -> None:
        self._con.execute(
            "INSERT INTO audit (utc_us, who, what, count) VALUES (?, ?, ?, ?)", (now_us, who, what, count)
        )

    def audit_trail(self) -> list[tuple[int, str, str, int]]:
        """Return who took what out when: time, name, deed, number of reads."""
        return self._con.execute("SELECT utc_us, who, what, count FROM audit ORDER BY number").fetchall()

    def close(self) -> None:
        """Release the file."""
        self._con.close()


def _stored_read(row: tuple[Any, ...]) -> StoredRead:
    values = list(row)
    values[_SINGLE_LOOK] = bool(values[_SINGLE_LOOK])
    return StoredRead(*values)


def _split(first: int, last: int, explained: list[tuple[int, int]]) -> Iterator[Gap]:
    """Cut a hole into what is explained and what is missing."""
    for known_first, known_last in explained:
        if known_last < first or known_first > last:
            continue
        if known_first > first:
            yield Gap(first, known_first - 1, explained=False)
        yield Gap(max(first, known_first), min(last, known_last), explained=True)
        first = known_last + 1
    if first <= last:
        yield Gap(first, last, explained=False)
