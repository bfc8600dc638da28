"""Pictures, put together from chunks: known by unit and hash, resumable, believed only when the hash is right."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import KeyUnknownError, SealError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from protocol.wire.control.chunk import PictureChunk

_MAX_FAILURES = 3


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk."""

    stored_bytes: int
    """How many bytes from the start are here now."""
    hopeless: bool = False
    """True when the whole picture came several times and never matched its hash."""


def add_chunk(
    con: sqlite3.Connection,
    chunk: PictureChunk,
    now_us: int,
    open_picture: Callable[[bytes], bytes | None] = lambda _: None,
) -> ChunkResult:
    """Keep a chunk that continues its picture.

    A chunk that lies behind is known already, one that lies ahead is not kept.  When the last byte comes and the hash
    is wrong, or the unit changes its mind about the length, the picture starts again at 0.
    """
    key = (chunk.unit, chunk.sha256)
    row = con.execute(
        "SELECT total, stored, failures, coalesce(jpeg, opened) IS NOT NULL FROM pictures WHERE unit = ? AND sha = ?",
        key,
    ).fetchone()
    total, stored, failures, complete = row or (chunk.total_bytes, 0, 0, False)
    if complete:
        return ChunkResult(total)
    if row is None:
        con.execute(
            "INSERT INTO pictures (unit, sha, kind, total, stored, updated_us) VALUES (?, ?, ?, ?, 0, ?)",
            (*key, chunk.kind.value, total, now_us),
        )
    elif total != chunk.total_bytes:
        total, stored = chunk.total_bytes, 0
        con.execute("DELETE FROM chunks WHERE unit = ? AND sha = ?", key)
        con.execute("UPDATE pictures SET total = ?, stored = 0 WHERE unit = ? AND sha = ?", (total, *key))
    fresh = chunk.data[max(0, stored - chunk.offset) :]
    if chunk.offset > stored or not fresh:
        return ChunkResult(stored)
    con.execute("INSERT INTO chunks VALUES (?, ?, ?, ?)", (*key, stored, fresh))
    stored += len(fresh)
    if stored == total and not _complete(con, key, now_us, open_picture):
        failures += 1
        stored = 0
    con.execute(
        "UPDATE pictures SET stored = ?, failures = ?, updated_us = ? WHERE unit = ? AND sha = ?",
        (stored, failures, now_us, *key),
    )
    return ChunkResult(stored, hopeless=stored == 0 and failures >= _MAX_FAILURES)


def _complete(
    con: sqlite3.Connection, key: tuple[str, bytes], now_us: int, open_picture: Callable[[bytes], bytes | None]
) -> bool:
    """Join the chunks; False when the hash is wrong.  The chunks are gone either way.

    What cannot be opened is kept as it came: no read names it, and a later key may open it.
    """
    rows = con.execute("SELECT data FROM chunks WHERE unit = ? AND sha = ? ORDER BY offset", key)
    blob = b"".join(row[0] for row in rows)
    con.execute("DELETE FROM chunks WHERE unit = ? AND sha = ?", key)
    if hashlib.sha256(blob).digest() != key[1]:
        return False
    jpeg = _opened(blob, open_picture)
    if jpeg is None:
        con.execute("UPDATE pictures SET jpeg = ? WHERE unit = ? AND sha = ?", (blob, *key))
        return True
    sha = hashlib.sha256(jpeg).digest()
    con.execute("UPDATE pictures SET opened = ? WHERE unit = ? AND sha = ?", (sha, *key))
    con.execute(
        "INSERT INTO pictures (unit, sha, kind, total, stored, updated_us, jpeg)"
        " SELECT unit, ?1, kind, ?2, ?2, ?3, ?4 FROM pictures WHERE unit = ?5 AND sha = ?6"
        " ON CONFLICT (unit, sha) DO UPDATE SET jpeg = ?4, total = ?2, stored = ?2",
        (sha, len(jpeg), now_us, jpeg, *key),
    )
    return True


def _opened(blob: bytes, open_picture: Callable[[bytes], bytes | None]) -> bytes | None:
    try:
        return open_picture(blob)
    except (KeyUnknownError, SealError):
        return None


def drop_orphans(con: sqlite3.Connection, before_us: int) -> int:
    """Delete the pictures of reads that are gone, and those older than ``before_us`` that no read names."""
    no_read = "NOT EXISTS (SELECT 1 FROM reads r WHERE r.unit = l.unit AND r.read_id = l.read_id)"
    unnamed = (
        "NOT EXISTS (SELECT 1 FROM read_pictures l JOIN reads r ON r.unit = l.unit AND r.read_id = l.read_id"
        " WHERE l.unit = pictures.unit AND l.sha = pictures.sha)"
    )
    gone = con.execute(
        f"DELETE FROM pictures WHERE {unnamed} AND (updated_us < ?"  # noqa: S608 - words of our own
        f" OR EXISTS (SELECT 1 FROM read_pictures l WHERE l.unit = pictures.unit AND l.sha = pictures.sha))",
        (before_us,),
    ).rowcount
    con.execute(f"DELETE FROM read_pictures AS l WHERE {no_read}")  # noqa: S608 - words of our own
    con.execute(
        "DELETE FROM chunks WHERE NOT EXISTS"
        " (SELECT 1 FROM pictures p WHERE p.unit = chunks.unit AND p.sha = chunks.sha)"
    )
    return gone
