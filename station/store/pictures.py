"""Assembles pictures from chunks in any order; identified by unit and hash, and complete only if the hash is right."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, exists, func, insert, or_, select, update

from protocol.errors import KeyUnknownError, SealError
from station.store.rows import ChunkResult
from station.store.tables import CHUNKS, HERE, PICTURES, RECORD_PICTURES, RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from protocol.wire.control.chunk import PictureChunk
    from station.store.database import Database

_MAX_FAILURES = 3
_MAX_PIECES = 1_024
"""Maximum number of rows of one incomplete picture: one of 16 MiB has 512 chunks of the usual size."""

_Piece = tuple[int, int]
"""Offset of the first byte, and of the one after the last."""
_PICTURE = and_(PICTURES.c.unit == bindparam("of"), PICTURES.c.sha == bindparam("hash"))
_ITS_CHUNKS = and_(CHUNKS.c.unit == bindparam("of"), CHUNKS.c.sha == bindparam("hash"))
_FIND = select(
    PICTURES.c.total,
    PICTURES.c.failures,
    PICTURES.c.kind,
    or_(PICTURES.c.jpeg.is_not(None), PICTURES.c.opened.is_not(None)),
).where(_PICTURE)
_PIECES = (
    select(CHUNKS.c.offset, CHUNKS.c.offset + func.length(CHUNKS.c.data))
    .where(_ITS_CHUNKS)
    .order_by(CHUNKS.c.offset)
)
_DATA = select(CHUNKS.c.data).where(_ITS_CHUNKS).order_by(CHUNKS.c.offset)
_DATA_BELOW = _DATA.where(CHUNKS.c.offset < bindparam("end"))
_DROP_CHUNKS = delete(CHUNKS).where(_ITS_CHUNKS)
_DROP_BELOW = _DROP_CHUNKS.where(CHUNKS.c.offset < bindparam("end"))
_ADD_CHUNK = insert(CHUNKS)
_ADD_PICTURE = insert(PICTURES)
_RESTART = update(PICTURES).where(_PICTURE).values(total=bindparam("new_total"), stored=0)
_PROGRESS = (
    update(PICTURES)
    .where(_PICTURE)
    .values(stored=bindparam("new_stored"), failures=bindparam("new_failures"), updated_us=bindparam("now"))
)
_KEEP_JPEG = update(PICTURES).where(_PICTURE).values(jpeg=bindparam("bytes"))
_LINK = and_(RECORD_PICTURES.c.unit == PICTURES.c.unit, RECORD_PICTURES.c.sha == PICTURES.c.sha)
_ITS_RECORD = and_(
    RECORDS.c.unit == RECORD_PICTURES.c.unit, RECORDS.c.record_id == RECORD_PICTURES.c.record_id, HERE
)
_KEEP_OPENED = update(PICTURES).where(_PICTURE).values(opened=bindparam("opened_hash"))


class Pictures:
    """Part of the store; all writes run inside its transaction."""

    def __init__(self, db: Database, open_picture: Callable[[bytes], bytes | None]) -> None:
        """``open_picture`` opens a sealed picture, and returns None for one that is not sealed."""
        self._db = db
        self._open = open_picture
        statement = db.insert(PICTURES)
        self._put_open = statement.on_conflict_do_update(
            index_elements=["unit", "sha"],
            set_={name: statement.excluded[name] for name in ("jpeg", "total", "stored")},
        )

    def add_chunk(self, chunk: PictureChunk, now_us: int) -> ChunkResult:
        """Store the new bytes of a chunk; chunks may come in any order.

        If all bytes are present and the hash is wrong, or a chunk has another length of the picture, the picture starts
        again at 0.
        """
        key = {"of": chunk.unit, "hash": chunk.sha256}
        failures, is_whole, pieces = self._begin(chunk, key, now_us)
        if is_whole:
            return ChunkResult(chunk.total_bytes)
        added = list(_lacking(pieces, chunk.offset, chunk.offset + len(chunk.data)))
        if len(pieces) + len(added) > _MAX_PIECES:
            pieces = self._join_start(key, pieces)
            if len(pieces) + len(added) > _MAX_PIECES and chunk.offset > _prefix(pieces):
                # Too many gaps: the unit continues at the first one.
                return ChunkResult(_prefix(pieces), kept=False)
        self._db.run(
            _ADD_CHUNK,
            [
                {
                    "unit": chunk.unit,
                    "sha": chunk.sha256,
                    "offset": first,
                    "data": chunk.data[first - chunk.offset : end - chunk.offset],
                }
                for first, end in added
            ],
        )
        stored = _prefix(sorted(pieces + added))
        is_wrong = stored == chunk.total_bytes and not self._complete(chunk, key, now_us)
        if is_wrong:
            failures += 1
            stored = 0
        if added:
            progress = {"new_stored": stored, "new_failures": failures, "now": now_us}
            self._db.run(_PROGRESS, {**key, **progress})
        return ChunkResult(stored, kept=not is_wrong, hopeless=is_wrong and failures >= _MAX_FAILURES)

    def _begin(self, chunk: PictureChunk, key: dict[str, Any], now_us: int) -> tuple[int, bool, list[_Piece]]:
        """Return how often the picture failed, whether it is complete, and which bytes are stored."""
        row = self._db.run(_FIND, key).first()
        if row is None:
            new = {
                "unit": chunk.unit,
                "sha": chunk.sha256,
                "kind": chunk.kind.value,
                "total": chunk.total_bytes,
                "stored": 0,
                "updated_us": now_us,
            }
            self._db.run(_ADD_PICTURE, new)
            return 0, False, []
        total, failures, _, is_whole = row
        if is_whole:
            return failures, True, []
        if total != chunk.total_bytes:
            self._db.run(_DROP_CHUNKS, key)
            self._db.run(_RESTART, {**key, "new_total": chunk.total_bytes})
            return failures, False, []
        return failures, False, [(first, end) for first, end in self._db.run(_PIECES, key)]

    def _join_start(self, key: dict[str, Any], pieces: list[_Piece]) -> list[_Piece]:
        """Join the bytes from the start up to the first gap into one row."""
        end = _prefix(pieces)
        start = {**key, "end": end}
        joined = b"".join(self._db.run(_DATA_BELOW, start).scalars())
        if joined:
            self._db.run(_DROP_BELOW, start)
            self._db.run(_ADD_CHUNK, {"unit": key["of"], "sha": key["hash"], "offset": 0, "data": joined})
        return [*([(0, end)] if end else []), *(piece for piece in pieces if piece[0] >= end)]

    def _complete(self, chunk: PictureChunk, key: dict[str, Any], now_us: int) -> bool:
        """Join the chunks; False if the hash is wrong.  The chunks are deleted either way.

        A picture that cannot be opened is kept sealed: no read refers to it, and a later key may open it.
        """
        blob = b"".join(self._db.run(_DATA, key).scalars())
        self._db.run(_DROP_CHUNKS, key)
        if hashlib.sha256(blob).digest() != chunk.sha256:
            return False
        jpeg = self._opened(blob)
        if jpeg is None:
            self._db.run(_KEEP_JPEG, {**key, "bytes": blob})
            return True
        sha = hashlib.sha256(jpeg).digest()
        self._db.run(_KEEP_OPENED, {**key, "opened_hash": sha})
        size = len(jpeg)
        open_one = {
            "unit": chunk.unit,
            "sha": sha,
            "kind": chunk.kind.value,
            "total": size,
            "stored": size,
            "updated_us": now_us,
            "jpeg": jpeg,
        }
        self._db.run(self._put_open, open_one)
        return True

    def _opened(self, blob: bytes) -> bytes | None:
        try:
            return self._open(blob)
        except (KeyUnknownError, SealError):
            return None

    def get(self, unit: str, sha256: bytes) -> bytes | None:
        """Return a complete picture; None if it is unknown or incomplete."""
        row = self._db.first(select(PICTURES.c.jpeg).where(_PICTURE), {"of": unit, "hash": sha256})
        return None if row is None else row[0]

    def count(self) -> int:
        """Return the number of complete pictures."""
        (row,) = self._db.all(select(func.count()).select_from(PICTURES).where(PICTURES.c.jpeg.is_not(None)))
        return int(row[0])

    def has_loose(self, before_us: int) -> bool:
        """Return True if there is an unreferenced picture not changed since a time."""
        return self._db.first(select(PICTURES.c.sha).where(*_is_orphan(before_us)).limit(1)) is not None

    def drop_orphans(self, before_us: int) -> int:
        """Delete pictures of purged records, and unreferenced ones not changed since a time."""
        gone = self._db.run(delete(PICTURES).where(*_is_orphan(before_us))).rowcount
        self._db.run(delete(RECORD_PICTURES).where(~exists().select_from(RECORDS).where(_ITS_RECORD)))
        whole = and_(PICTURES.c.unit == CHUNKS.c.unit, PICTURES.c.sha == CHUNKS.c.sha)
        self._db.run(delete(CHUNKS).where(~exists().select_from(PICTURES).where(whole)))
        return int(gone)


def _is_orphan(before_us: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        ~exists().select_from(RECORD_PICTURES.join(RECORDS, _ITS_RECORD)).where(_LINK).correlate(PICTURES),
        or_(PICTURES.c.updated_us < before_us, exists(RECORD_PICTURES).where(_LINK)),
    )


def _prefix(pieces: Sequence[_Piece]) -> int:
    """Number of bytes from the start without a gap; the pieces are in order and without overlap."""
    end = 0
    for first, behind in pieces:
        if first > end:
            break
        end = behind
    return end


def _lacking(pieces: Sequence[_Piece], first: int, end: int) -> Iterator[_Piece]:
    """Return the parts of a range that are not stored yet."""
    at = first
    for low, high in pieces:
        if high <= at:
            continue
        if low >= end:
            break
        if low > at:
            yield at, low
        at = max(at, high)
    if at < end:
        yield at, end
