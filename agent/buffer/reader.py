"""Read access to the outbox for the uplink: a read-only connection, which never blocks the writer."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from agent.buffer import counters, retention
from agent.buffer.damage import DamageWatch
from agent.buffer.rows import PicturePriority, PictureRow
from agent.buffer.schema import MIGRATIONS, closed_on_failure, connect_reader, version
from agent.buffer.table import COLUMNS, as_row
from agent.errors import OutboxError, OutboxVersionError
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.buffer.rows import OutboxRow, OutboxStats

_T = TypeVar("_T")


class OutboxReader:
    """Reads the outbox.  One per thread; the cost of a query does not depend on the number of records.

    Queries raise OutboxDiskError for disk failures, which may be transient, and OutboxDamagedError for damage, which
    is marked beside the file.
    """

    def __init__(self, path: Path) -> None:
        """Raises OutboxError when the file is not there or cannot be read, OutboxVersionError for another version."""
        if not path.is_file():
            raise OutboxError(f"{path}: no outbox; the agent creates it at its first start")
        self._watch = DamageWatch(path)
        try:
            self._con = connect_reader(path)
        except sqlite3.Error as error:
            raise OutboxError(f"{path}: cannot be opened: {error}") from error
        with closed_on_failure(self._con):
            self._check_version(path)

    def _check_version(self, path: Path) -> None:
        """What another version wrote is not damage; what cannot be read shows with the first question."""
        with suppress(sqlite3.Error):
            found = version(self._con)
            if found and found != len(MIGRATIONS):
                raise OutboxVersionError(
                    f"{path} has version {found}, this program reads {len(MIGRATIONS)}: the agent of this version "
                    "migrates an older file at its start, a newer file needs the newer program"
                )

    def records(self, *, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the oldest records above ``after_seq``, in order."""
        query = f"SELECT {COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - words of ours
        return self._in_order(query, (after_seq, limit))

    def records_of(self, priority: int, *, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the oldest records of a priority above ``after_seq``, in order."""
        query = (
            f"SELECT {COLUMNS} FROM records INDEXED BY records_priority"  # noqa: S608 - words of ours
            " WHERE priority = ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        return self._in_order(query, (priority, after_seq, limit))

    def priorities(self) -> list[int]:
        """Return the priorities that have waiting records, most urgent first."""
        try:
            found = retention.priorities(self._con)
        except sqlite3.Error as error:
            raise self._watch.sort(error, "priorities") from error
        self._watch.well("priorities")
        return found

    def changes(self) -> int:
        """Return a number that changes with every commit to the outbox; the cheapest query."""
        try:
            # sqlite.org/pragma.html#pragma_data_version
            found = self._con.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise self._watch.sort(error, "changes") from error
        self._watch.well("changes")
        return int(found)

    def given_up(self) -> int:
        """Return how many records were deleted unsent so far, evicted or expired."""
        return self._all("given up", "SELECT coalesce(sum(evicted + expired), 0) FROM types", (), int)[0]

    def _in_order(self, query: str, values: tuple[int, ...]) -> list[OutboxRow]:
        rows = self._all("records", query, values, as_row)
        if any(later.seq <= row.seq for row, later in pairwise(rows)):
            raise self._watch.sort(sqlite3.DatabaseError("records are not in order"), "records")
        return rows

    def pictures(self, priority: PicturePriority, *, after_pic: int, limit: int) -> list[PictureRow]:
        """Return the oldest pictures of a priority above ``after_pic``, in order."""
        query = (
            "SELECT pic, lane, kind, seq, read_id, sha, size, stored FROM pictures"
            " WHERE lane = ? AND pic > ? ORDER BY pic LIMIT ?"
        )
        return self._all("pictures", query, (priority, after_pic, limit), _as_picture)

    def jpeg(self, pic: int) -> bytes | None:
        """Return the bytes of a picture; None if it is no longer in the outbox."""
        found = self._all("jpeg", "SELECT jpeg FROM jpegs WHERE pic = ?", (pic,), _blob)
        return found[0] if found else None

    def find(self, record_id: bytes) -> tuple[OutboxRow, bool] | None:
        """Return a record by its id, and whether it waits or (False) is quarantined; looks through all rows."""
        for rows, waits in (("records", True), ("quarantine", False)):
            query = f"SELECT {COLUMNS} FROM {rows} WHERE id = ? LIMIT 1"  # noqa: S608 - words of ours
            if found := self._all("find", query, (record_id,), as_row):
                return found[0], waits
        return None

    def quarantined(self, *, limit: int) -> list[tuple[OutboxRow, str]]:
        """Return the oldest quarantined records, each with the code of its nack."""
        query = f"SELECT {COLUMNS}, code FROM quarantine ORDER BY seq LIMIT ?"  # noqa: S608 - words of ours
        return self._all("quarantined", query, (limit,), lambda *row: (as_row(*row[:-1]), str(row[-1])))

    def stats(self) -> OutboxStats:
        """Read the counters."""
        try:
            found = counters.stats(self._con)
        except sqlite3.Error as error:
            raise self._watch.sort(error, "stats") from error
        self._watch.well("stats")
        return found

    def close(self) -> None:
        """Close the file."""
        self._con.close()

    def _all(self, doing: str, query: str, values: tuple[int | bytes, ...], make: Callable[..., _T]) -> list[_T]:
        # The success of another query says nothing about the page that this one reads.
        doing = f"{doing} {values}"
        try:
            found = [make(*row) for row in self._con.execute(query, values)]
        except sqlite3.Error as error:
            raise self._watch.sort(error, doing) from error
        except (ValueError, TypeError) as error:
            # A value that is never written: a retry would not help.
            raise self._watch.sort(sqlite3.DatabaseError(f"{doing}: {error}"), doing) from error
        self._watch.well(doing)
        return found


def _as_picture(*row: Any) -> PictureRow:
    pic, priority, kind, seq, read_id, sha, size, stored = row
    counts = int(size), int(stored)
    return PictureRow(
        pic, PicturePriority(priority), PictureKind(kind), int(seq), _blob(read_id), _blob(sha), *counts
    )


def _blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} instead of bytes")
    return value
