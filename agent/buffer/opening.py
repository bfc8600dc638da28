"""Opens the outbox: migrate, check, and if the file is damaged, move it aside and salvage its readable rows.

A damaged file is never deleted and never stops the agent: new reads must be kept whatever happened to old ones.
Records that could not be salvaged are announced by a tombstone, so that the station does not wait for them.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from agent.buffer import counters, schema, table
from agent.buffer.adopt import OLDER_NAME, OLDER_RESCUE_NAME, OLDER_SUSPECT_NAME, TakeOver, adopt, sources
from agent.buffer.damage import MAX_CLEARED, SUSPECT_NAME, note_cleared, note_proven, read_mark
from agent.buffer.faults import is_full, means_damage
from agent.buffer.first_page import restore_first_page
from agent.buffer.log_check import lost_commits
from agent.buffer.mark import BLOCK, LATEST_NAME, SeqMark, sync_folder, write_durably
from agent.buffer.outbox import BALLAST_NAME, FILE_NAME, Outbox, free_bytes
from agent.buffer.recount import contradictions
from agent.buffer.rescue import ASIDE, RESCUE_NAME, SIDE_FILES, Rescue, free_name
from agent.buffer.retention import Limits, damage_tombstone
from agent.buffer.rows import OpenReport
from agent.buffer.salvage import Wreck
from agent.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.buffer.rows import Encoder

MARK_NAME = "outbox.seq"
_FILES = (
    MARK_NAME,
    LATEST_NAME,
    RESCUE_NAME,
    SUSPECT_NAME,
    BALLAST_NAME,
    OLDER_NAME,
    OLDER_RESCUE_NAME,
    OLDER_SUSPECT_NAME,
)
_TRIES = 10
_MAX_GROUP = 1000
"""More records than are ever committed at once: the margin by which numbers may exceed the reserved block."""


def opens_slowly(folder: Path) -> bool:
    """True if the next opening will migrate a file or take one over, check every page, or resume a rescue.

    That may take many minutes.
    """
    mark, file = read_mark(folder), folder / FILE_NAME
    damaged = (mark is not None and mark.seen) or (folder / RESCUE_NAME).exists()
    return damaged or bool(sources(folder)) or (file.exists() and schema.is_older(file))


class _LogDamagedError(sqlite3.DatabaseError):
    """The log was damaged; that cannot be detected a second time."""


@dataclass(frozen=True, slots=True)
class _Used:
    """What is known of the numbers that were assigned from the file; 0 for a new file."""

    high: int = 0
    """High-water mark."""
    latest: int = 0
    """A number that was committed."""


def open_outbox(
    folder: Path,
    encoder: Encoder,
    *,
    limits: Limits | None = None,
    migrations: Sequence[str] = schema.MIGRATIONS,
) -> tuple[Outbox, OpenReport]:
    """Open the outbox in ``folder``; both are created if missing.

    Raises OutboxVersionError for a file from a newer version, which is left untouched, and OutboxError when the
    folder cannot be written.
    """
    limits = limits or Limits()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = _move_others_aside(folder)
        adopt(folder)
        path = folder / FILE_NAME
        created = not path.exists()
        if not created:
            schema.refuse_newer(path, migrations)
        mark = SeqMark(folder / MARK_NAME)
        con, report = _connect(folder, encoder, mark, migrations, created=created)
        with schema.closed_on_failure(con):
            report = _take_over(folder, con, encoder, mark, report)
            report = replace(report, problems=(*others, *report.problems, *_lay_ballast(folder, limits)))
            return Outbox(folder, con, encoder, mark, limits), report
    except (OSError, sqlite3.Error) as error:
        raise OutboxError(
            f"{folder}: the outbox cannot be opened: {error}; check the disk and its permissions"
        ) from error


def _connect(
    folder: Path, encoder: Encoder, mark: SeqMark, migrations: Sequence[str], *, created: bool
) -> tuple[sqlite3.Connection, OpenReport]:
    if (folder / RESCUE_NAME).exists():
        return _replace(folder, encoder, mark, damage="a rescue was interrupted", migrations=migrations)
    try:
        con = _open_patiently(folder, migrations, _used_up_to(folder, mark, created=created))
    except sqlite3.DatabaseError as error:
        if not means_damage(error):
            raise
        return _replace(folder, encoder, mark, damage=str(error), migrations=migrations)
    with schema.closed_on_failure(con):
        announced = _announce_lost_file(con, encoder, mark) if created else 0
    return con, OpenReport(created=created, lost_at_min=announced)


def _used_up_to(folder: Path, mark: SeqMark, *, created: bool) -> _Used:
    if created:
        return _Used()
    # After a rollback the older release has raised the mark with its own file.
    return _Used(1 if sources(folder) else mark.high, mark.latest)


def _take_over(
    folder: Path, con: sqlite3.Connection, encoder: Encoder, mark: SeqMark, report: OpenReport
) -> OpenReport:
    found = sources(folder)
    if not found:
        return report
    room = _Room(folder, found[0])
    taken = TakeOver(folder, con, encoder, mark, room.has).run()
    return replace(
        report,
        taken_records=taken.records,
        taken_pictures=taken.pictures,
        taken_from=OLDER_NAME,
        problems=(*report.problems, *room.problems, *taken.problems),
    )


def _open_patiently(folder: Path, migrations: Sequence[str], used: _Used) -> sqlite3.Connection:
    """Open and check the file; a failed or wrong read is retried.

    Of several errors the one that says least about damage is raised: a disk that is not writable must not lead to a
    replaced file.
    """
    mark = read_mark(folder)
    if mark is not None and mark.seen and mark.cleared >= MAX_CLEARED:
        raise sqlite3.DatabaseError(mark.why)
    whole = mark is not None and mark.seen
    errors: list[sqlite3.DatabaseError] = []
    # Looking at every page takes long.
    for _ in range(2 if whole else _TRIES):
        try:
            con = _open_checked(folder, migrations, whole=whole, used=used)
        except _LogDamagedError:
            raise
        except sqlite3.DatabaseError as error:
            errors.append(error)
            if is_full(error):
                # A migration needs some free space.
                (folder / BALLAST_NAME).unlink(missing_ok=True)
        else:
            note_cleared(folder)
            return con
    raise next((error for error in errors if not means_damage(error)), errors[-1])


def _open_checked(
    folder: Path, migrations: Sequence[str], *, whole: bool = False, used: _Used = _Used()
) -> sqlite3.Connection:
    header = schema.read_header(folder / FILE_NAME)
    con = schema.connect(folder / FILE_NAME)
    with schema.closed_on_failure(con):
        schema.check_header(header, con, migrations)
        if used.high and not schema.version(con):
            raise sqlite3.DatabaseError("the file is empty although numbers were assigned from it")
        if lost_commits(folder / FILE_NAME, con):
            error = _LogDamagedError("the log is damaged: commits behind the damage are lost")
            # Closing the connection removes the log: it cannot be checked again.
            note_proven(folder, str(error))
            raise error
        schema.migrate(con, migrations)
        damage = (schema.check_whole(con, migrations) or contradictions(con)) if whole else schema.check(con)
        if damage:
            raise sqlite3.DatabaseError(damage)
        next_seq = counters.stats(con).next_seq
        if next_seq <= used.latest:
            error = _LogDamagedError(f"commits up to number {used.latest} are lost with the log")
            note_proven(folder, str(error))
            raise error
        if next_seq + BLOCK + _MAX_GROUP < used.high:
            raise sqlite3.DatabaseError("the counters are older than the numbers that were assigned")
    return con


def _announce_lost_file(con: sqlite3.Connection, encoder: Encoder, mark: SeqMark) -> int:
    """Continue above the numbers of a lost file; does nothing without a mark."""
    if not mark.high:
        return 0
    con.execute("BEGIN IMMEDIATE")
    counts = counters.load(con)
    counts.next_seq = mark.high + 1
    table.append(con, counts, encoder, damage_tombstone(((1, mark.high),)))
    mark.cover(counts.next_seq - 1)
    counters.store(con, counts)
    con.execute("COMMIT")
    return 0


def _replace(
    folder: Path, encoder: Encoder, mark: SeqMark, *, damage: str, migrations: Sequence[str]
) -> tuple[sqlite3.Connection, OpenReport]:
    """Move the damaged file aside and copy its readable rows into a new one."""
    aside = _move_aside(folder)
    con = _open_checked(folder, migrations)
    room = _Room(folder, aside)
    restore_first_page(aside, migrations)
    with schema.closed_on_failure(con), Wreck(aside) as wreck:
        rescue = Rescue(con, encoder, has_room=room.has)
        found = rescue.run(wreck, mark)
        (folder / SUSPECT_NAME).unlink(missing_ok=True)
        (folder / RESCUE_NAME).unlink()
        sync_folder(folder)
        if rescue.is_full:
            room.problems.append("the disk was too full for all readable pictures")
        report = OpenReport(
            moved_to=str(aside),
            damage=damage,
            salvaged_records=found.records,
            salvaged_pictures=found.pictures,
            lost_at_min=found.lost_at_min,
            lost_pictures=found.lost_pictures,
            problems=tuple(room.problems),
        )
    return con, report


class _Room:
    """Frees disk space for a rescue: deletes the ballast and earlier damaged files."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder = folder
        self._aside = aside
        self.problems: list[str] = []

    def has(self, size_bytes: int) -> bool:
        """True if this much is free or could be freed; raises OSError."""
        if free_bytes(self._folder) >= size_bytes:
            return True
        for path in (self._folder / BALLAST_NAME, *sorted(self._folder.glob(f"{ASIDE}*"))):
            if path.exists() and not path.name.startswith(self._aside.name):
                path.unlink()
                self.problems.append(f"{path.name} was deleted to make room for salvaged rows")
        return free_bytes(self._folder) >= size_bytes


def _move_aside(folder: Path) -> Path:
    """Rename the file and its log; an interrupted rescue continues with the file that it had moved."""
    note = folder / RESCUE_NAME
    if note.exists():
        name = note.read_bytes().decode(errors="replace")
        aside = folder / name
        # A torn note has no name: nothing had been moved yet.
        if name.startswith(ASIDE) and aside.is_file():
            for suffix in SIDE_FILES:
                (folder / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
            return aside
    aside = free_name(folder)
    write_durably(note, aside.name.encode())
    # The log first: without it the file is useless, and the presence of the file shows that the move is complete.
    for suffix in reversed(SIDE_FILES):
        part = folder / f"{FILE_NAME}{suffix}"
        if part.exists():
            part.rename(aside.with_name(f"{aside.name}{suffix}"))
    sync_folder(folder)
    return aside


def _move_others_aside(folder: Path) -> tuple[str, ...]:
    """Rename what is not a file under the names of our files, such as a folder; return what was done.

    A link whose target is missing is left alone: perhaps its disk is not mounted yet.
    """
    problems = []
    for name in (*_FILES, *(f"{FILE_NAME}{suffix}" for suffix in (*SIDE_FILES, "-journal"))):
        path = folder / name
        if path.exists() and not path.is_file():
            number = next(n for n in count(1) if not (folder / f"{name}.other-{n}").exists())
            aside = path.rename(folder / f"{name}.other-{number}")
            problems.append(f"{name} was not a file, and is kept as {aside.name}")
    return tuple(problems)


def _lay_ballast(folder: Path, limits: Limits) -> tuple[str, ...]:
    """Create the ballast file; a disk too full for it is reported, not fatal."""
    path = folder / BALLAST_NAME
    if not limits.ballast_bytes or (path.exists() and path.stat().st_size >= limits.ballast_bytes):
        return ()
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, limits.ballast_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        return (f"no space for the ballast of {limits.ballast_bytes} bytes: {error}",)
    return ()
