"""What waits, for the one who sends it: a connection that cannot write, so it never holds the writer up."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from agent.buffer import counters
from agent.buffer.faults import classify_error
from agent.buffer.rows import OutboxRow, OutboxStats, PicturePriority, PictureRow, RowKind
from agent.buffer.schema import connect_reader
from agent.errors import OutboxError
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from pathlib import Path


class OutboxReader:
    """Reads the outbox.  One per thread; every query costs the same however much waits.

    Queries raise OutboxDiskError when the disk fails, which may pass, and OutboxError for damage.
    """

    def __init__(self, path: Path) -> None:
        """Raises OutboxError when the file is not there or cannot be read."""
        if not path.is_file():
            raise OutboxError(f"{path}: no outbox; the agent makes it at its first start")
        self._path = path
        try:
            self._con = connect_reader(path)
        except sqlite3.Error as error:
            raise OutboxError(f"{path}: cannot be opened: {error}") from error

    def records(self, *, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the oldest records above ``after_seq``, in order."""
        rows = self._all(
            "SELECT seq, kind, id, payload FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)
        )
        return [OutboxRow(seq, RowKind(kind), record_id, payload) for seq, kind, record_id, payload in rows]

    def pictures(self, lane: PicturePriority, *, after_pic: int, limit: int) -> list[PictureRow]:
        """Return the oldest pictures of a lane above ``after_pic``, in order."""
        rows = self._all(
            "SELECT pic, lane, kind, seq, read_id, sha, size, stored FROM pictures"
            " WHERE lane = ? AND pic > ? ORDER BY pic LIMIT ?",
            (lane, after_pic, limit),
        )
        return [
            PictureRow(pic, PicturePriority(row_lane), PictureKind(kind), seq, read_id, sha, size, stored)
            for pic, row_lane, kind, seq, read_id, sha, size, stored in rows
        ]

    def jpeg(self, pic: int) -> bytes | None:
        """Return the bytes of a picture; None when it is no longer here."""
        rows = self._all("SELECT jpeg FROM jpegs WHERE pic = ?", (pic,))
        return bytes(rows[0][0]) if rows else None

    def quarantined(self, *, limit: int) -> list[tuple[OutboxRow, str]]:
        """Return the oldest records that were refused for good, each with the code of its refusal."""
        rows = self._all("SELECT seq, kind, id, payload, code FROM quarantine ORDER BY seq LIMIT ?", (limit,))
        return [(OutboxRow(seq, RowKind(kind), rid, payload), code) for seq, kind, rid, payload, code in rows]

    def stats(self) -> OutboxStats:
        """Read the counters."""
        try:
            return counters.stats(self._con)
        except sqlite3.Error as error:
            raise classify_error(error, self._path) from error

    def close(self) -> None:
        """Release the file."""
        self._con.close()

    def _all(self, query: str, values: tuple[int, ...]) -> list[Any]:
        try:
            return self._con.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise classify_error(error, self._path) from error
