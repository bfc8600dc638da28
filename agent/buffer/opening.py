"""Opening the outbox: migrate, check, and when the file is damaged, set it aside and save what can be read.

A damaged file is never deleted and never stops the agent: reads of today must be kept whatever happened to those of
yesterday.  What could not be saved is announced by a tombstone, so that the station does not wait for it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.buffer import counters, schema
from agent.buffer.faults import is_unreadable
from agent.buffer.mark import SeqMark, sync_folder
from agent.buffer.outbox import BALLAST_NAME, FILE_NAME, SUSPECT_NAME, Outbox
from agent.buffer.retention import Limits
from agent.buffer.rows import NON_HIT, SENDING, OpenReport, OutboxRow, PicturePriority, RowKind, picture_priority
from agent.errors import OutboxError
from protocol.wire.enums import Lost, LostReason, PictureKind
from protocol.wire.records.tombstone import MAX_RANGES, Tombstone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.buffer.rows import Encoder

MARK_NAME = "outbox.seq"
RESCUE_NAME = "outbox.rescue"
"""Names the damaged file from before it is set aside until what could be read of it is in the new one."""
_TRIES = 10
_SIDE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class _Picture:
    lane: PicturePriority
    kind: PictureKind
    seq: int
    read_id: bytes
    sha256: bytes
    stored: bytes


@dataclass(slots=True)
class _Salvage:
    """What could be read from a damaged file."""

    records: dict[int, OutboxRow] = field(default_factory=dict)
    pictures: list[_Picture] = field(default_factory=list)


def open_outbox(
    folder: Path,
    encoder: Encoder,
    *,
    limits: Limits | None = None,
    migrations: Sequence[str] = schema.MIGRATIONS,
) -> tuple[Outbox, OpenReport]:
    """Open the outbox in ``folder``, making both where needed.

    Raises OutboxVersionError for a file from a newer version, which is left untouched, and OutboxError when the
    folder cannot be written.
    """
    limits = limits or Limits()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        created = not path.exists()
        if not created:
            schema.refuse_newer(path, migrations)
        mark = SeqMark(folder / MARK_NAME)
        if (folder / RESCUE_NAME).exists():
            return _replace(folder, encoder, limits, mark, damage="a rescue was cut short", migrations=migrations)
        try:
            con = _open_patiently(folder, migrations)
        except sqlite3.DatabaseError as error:
            if not _means_damage(error):
                raise
            return _replace(folder, encoder, limits, mark, damage=str(error), migrations=migrations)
        with schema.closed_on_failure(con):
            announced = _announce_lost_file(con, encoder, mark) if created else 0
            report = OpenReport(created=created, lost_at_min=announced, problems=_lay_ballast(folder, limits))
            return Outbox(folder, con, encoder, mark, limits), report
    except (OSError, sqlite3.Error) as error:
        raise OutboxError(
            f"{folder}: the outbox cannot be opened: {error}; check the disk and its rights"
        ) from error


def _open_patiently(folder: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """What cannot be read at the first try, or reads wrongly, may be right at the next.

    Raises what says least about damage: a disk that takes no writes must not cost the file.
    """
    errors: list[sqlite3.DatabaseError] = []
    # Looking at every page takes long.
    for _ in range(2 if (folder / SUSPECT_NAME).exists() else _TRIES):
        try:
            return _open_checked(folder, migrations)
        except sqlite3.DatabaseError as error:
            errors.append(error)
    raise next((error for error in errors if not _means_damage(error)), errors[-1])


def _open_checked(folder: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    con = schema.connect(folder / FILE_NAME)
    with schema.closed_on_failure(con):
        schema.migrate(con, migrations)
        suspect = folder / SUSPECT_NAME
        if damage := schema.check(con, whole=suspect.exists()):
            raise sqlite3.DatabaseError(damage)
        counters.load(con)
        suspect.unlink(missing_ok=True)
    return con


def _means_damage(error: sqlite3.DatabaseError) -> bool:
    """A schema that lost a table or a column cannot be worked with either, nor a page that cannot be read."""
    if not isinstance(error, sqlite3.OperationalError) or is_unreadable(error):
        return True
    return str(error).startswith(("no such table", "no such column", "malformed"))


def _announce_lost_file(con: sqlite3.Connection, encoder: Encoder, mark: SeqMark) -> int:
    """Go on above the numbers of a file that is gone; without one nothing happens."""
    if not mark.high:
        return 0
    con.execute("BEGIN IMMEDIATE")
    counts = counters.load(con)
    counts.next_seq = mark.high + 1
    stone = _damage(((1, mark.high),))
    _store(con, counts, _tombstone_row(counts, encoder, stone))
    mark.cover(counts.next_seq - 1)
    counters.store(con, counts)
    con.execute("COMMIT")
    return 0


def _replace(
    folder: Path, encoder: Encoder, limits: Limits, mark: SeqMark, *, damage: str, migrations: Sequence[str]
) -> tuple[Outbox, OpenReport]:
    """Set the damaged file aside and fill a new one with what can be read from it."""
    aside = _move_aside(folder)
    saved = _salvage(aside, encoder)
    con = _open_checked(folder, migrations)
    with schema.closed_on_failure(con):
        _fill(con, saved, encoder, mark)
        (folder / SUSPECT_NAME).unlink(missing_ok=True)
        (folder / RESCUE_NAME).unlink()
        report = OpenReport(
            moved_to=str(aside),
            damage=damage,
            salvaged_records=len(saved.records),
            salvaged_pictures=len(saved.pictures),
            lost_at_min=_inner_holes(sorted(saved.records)),
            problems=_lay_ballast(folder, limits),
        )
        return Outbox(folder, con, encoder, mark, limits), report


def _fill(con: sqlite3.Connection, saved: _Salvage, encoder: Encoder, mark: SeqMark) -> None:
    """Put into a new file what was saved, and announce what was not."""
    con.execute("BEGIN IMMEDIATE")
    counts = counters.load(con)
    highest = max([mark.high, *saved.records])
    for _, row in sorted(saved.records.items()):
        _store(con, counts, row)
    counts.appended = sum(1 for row in saved.records.values() if row.kind is RowKind.READ)
    for picture in saved.pictures:
        _store_picture(con, counts, picture)
    counts.next_seq = highest + 1
    holes = _holes(sorted(saved.records), highest)
    # Even without a hole: it says why the chain begins anew.
    _store(con, counts, _tombstone_row(counts, encoder, _damage(holes)))
    mark.cover(counts.next_seq - 1)
    counters.store(con, counts)
    con.execute("COMMIT")


def _move_aside(folder: Path) -> Path:
    """Rename the file and its log; a rescue that was cut short goes on with the file that it had set aside."""
    note = folder / RESCUE_NAME
    if note.exists():
        aside = folder / note.read_text(encoding="ascii")
        if aside.exists():
            for suffix in _SIDE_FILES:
                (folder / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
            return aside
    number = 1
    while (aside := folder / f"outbox.damaged-{number}.db").exists():
        number += 1
    with note.open("w", encoding="ascii") as file:
        file.write(aside.name)
        file.flush()
        os.fsync(file.fileno())
    # The log first: without it the file is of no use, and the file is what says that the move was made.
    for suffix in reversed(_SIDE_FILES):
        part = folder / f"{FILE_NAME}{suffix}"
        if part.exists():
            part.rename(aside.with_name(f"{aside.name}{suffix}"))
    sync_folder(folder)
    return aside


def _salvage(path: Path, encoder: Encoder) -> _Salvage:
    """Read whatever still can be read, from both ends, and keep what is whole."""
    saved = _Salvage()
    try:
        con = schema.connect_reader(path)
    except sqlite3.Error:
        return saved
    try:
        for order in ("ASC", "DESC"):
            for seq, kind, record_id, payload in _until_damage(
                con,
                f"SELECT seq, kind, id, payload FROM records ORDER BY seq {order}",  # noqa: S608 - two words of ours
            ):
                row = _as_row(seq, kind, record_id, payload)
                if row is not None and row.seq not in saved.records and encoder.intact(row):
                    saved.records[row.seq] = row
        seen: set[bytes] = set()
        query = (
            "SELECT p.lane, p.kind, p.seq, p.read_id, p.sha, j.jpeg"
            " FROM pictures p JOIN jpegs j USING (pic) ORDER BY pic"
        )
        for columns in _until_damage(con, query):
            picture = _as_picture(columns)
            if picture is not None and picture.sha256 not in seen:
                seen.add(picture.sha256)
                saved.pictures.append(picture)
    finally:
        con.close()
    return saved


def _until_damage(con: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Yield rows up to the first that cannot be read."""
    try:
        yield from con.execute(query)
    except sqlite3.Error:
        return


def _as_row(seq: object, kind: object, record_id: object, payload: object) -> OutboxRow | None:
    if not isinstance(seq, int) or not isinstance(record_id, bytes) or not isinstance(payload, bytes):
        return None
    if not isinstance(kind, int) or kind not in set(RowKind):
        return None
    return OutboxRow(seq, RowKind(kind), record_id, payload)


def _as_picture(columns: tuple[object, ...]) -> _Picture | None:
    match columns:
        case (int(lane), str(kind), int(seq), bytes(read_id), bytes(sha), bytes(jpeg)) if kind in set(PictureKind):
            found = PictureKind(kind)
            # What was held may be taken after all, from a new file.
            place = PicturePriority(lane) if lane in SENDING else picture_priority(found, NON_HIT)
            return (
                _Picture(place, found, seq, read_id, sha, jpeg) if hashlib.sha256(jpeg).digest() == sha else None
            )
        case _:
            return None


def _store(con: sqlite3.Connection, counts: counters.OutboxCounters, row: OutboxRow) -> None:
    con.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (row.seq, row.kind, row.record_id, row.payload))
    counts.record(row.kind, len(row.payload), 1)


def _store_picture(con: sqlite3.Connection, counts: counters.OutboxCounters, p: _Picture) -> None:
    con.execute(
        "INSERT INTO pictures (pic, lane, kind, seq, read_id, sha, size) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (counts.next_pic, p.lane, p.kind, p.seq, p.read_id, p.sha256, len(p.stored)),
    )
    con.execute("INSERT INTO jpegs VALUES (?, ?)", (counts.next_pic, p.stored))
    counts.next_pic += 1
    counts.picture(p.lane, len(p.stored), 1)


def _tombstone_row(counts: counters.OutboxCounters, encoder: Encoder, stone: Tombstone) -> OutboxRow:
    seq = counts.take_seq()
    encoded = encoder.record(seq, stone, counts.link)
    counts.link = encoded.link
    return OutboxRow(seq, RowKind.TOMBSTONE, encoded.record_id, encoded.payload)


def _damage(ranges: tuple[tuple[int, int], ...]) -> Tombstone:
    return Tombstone(lost=Lost.RECORD, reason=LostReason.DAMAGE, count=0, size_bytes=0, ranges=ranges)


def _holes(seqs: list[int], highest: int) -> tuple[tuple[int, int], ...]:
    """Ranges up to ``highest`` that are not among ``seqs``; the last ones are joined when there are too many."""
    holes = []
    before = 0
    for seq in [*seqs, highest + 1]:
        if seq > before + 1:
            holes.append((before + 1, seq - 1))
        before = seq
    if len(holes) > MAX_RANGES:
        holes = [*holes[: MAX_RANGES - 1], (holes[MAX_RANGES - 1][0], holes[-1][1])]
    return tuple(holes)


def _inner_holes(seqs: list[int]) -> int:
    """Numbers missing between the saved ones: at least these were lost, unless the station already has them."""
    return (seqs[-1] - seqs[0] + 1 - len(seqs)) if seqs else 0


def _lay_ballast(folder: Path, limits: Limits) -> tuple[str, ...]:
    """Make the file that gives way on a full disk; a disk too full for it is said, not fatal."""
    path = folder / BALLAST_NAME
    if not limits.ballast_bytes or (path.exists() and path.stat().st_size >= limits.ballast_bytes):
        return ()
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, limits.ballast_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        return (f"no room for the ballast of {limits.ballast_bytes} bytes: {error}",)
    return ()
