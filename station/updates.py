"""What the station wants its units to run: offers, the files they are about, and what the units report."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.codec import encode
from protocol.wire.control.transfer import MAX_PART_BYTES, ChunkRequest, FileOffer, FilePart
from protocol.wire.topics import Channel, build, check_unit
from station.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from protocol.update.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Offered:
    """One unit's offer; a withdrawn one stays as release 0, so that the broker is told."""

    unit: str
    release: int
    sha256: bytes
    size_bytes: int
    attempt: int
    parts: tuple[str, ...]

    def message(self) -> tuple[str, bytes]:
        """Topic and retained payload; empty clears."""
        topic = build(self.unit, Channel.COMMAND)
        if not self.release:
            return topic, b""
        offer = FileOffer(
            unit=self.unit,
            release=self.release,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            attempt=self.attempt,
            parts=self.parts,
        )
        return topic, encode(offer)


def folder_of(db: Path) -> Path:
    """Where the offered files lie: beside the station's file."""
    return db.with_name(f"{db.name}-updates")


def keep_file(db: Path, source: Path) -> tuple[bytes, int]:
    """Copy a file to where it is served from; return its hash and size.  Raises StoreError."""
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        target = folder_of(db) / f"{digest.hexdigest()}.lprup"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            part = target.with_suffix(".part")
            shutil.copyfile(source, part)
            part.replace(target)
    except OSError as error:
        raise StoreError(f"{source}: cannot be kept for the units: {error}") from error
    return digest.digest(), target.stat().st_size


def offer(con: sqlite3.Connection, unit: str, manifest: Manifest, kept: tuple[bytes, int], now_us: int) -> None:
    """Offer a kept file to a unit in place of what was offered before.  Inside a transaction."""
    parts = ",".join(sorted(part.value for part in manifest.parts))
    con.execute(
        "INSERT INTO offers VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6) ON CONFLICT (unit) DO UPDATE SET release = ?2,"
        " sha = ?3, size = ?4, parts = ?5, offered_us = ?6, attempt = attempt + 1",
        (check_unit(unit), manifest.release, *kept, parts, now_us),
    )


def withdraw(con: sqlite3.Connection, unit: str) -> bool:
    """Take an offer back; False when there is none.  Inside a transaction."""
    return con.execute("UPDATE offers SET release = 0 WHERE unit = ? AND release", (unit,)).rowcount > 0


def offers(con: sqlite3.Connection) -> list[Offered]:
    """All, withdrawn ones too."""
    rows = con.execute("SELECT unit, release, sha, size, attempt, parts FROM offers ORDER BY unit")
    return [
        Offered(unit, release, sha, size, attempt, tuple(parts.split(",")))
        for unit, release, sha, size, attempt, parts in rows
    ]


def answer(con: sqlite3.Connection, db: Path, wish: ChunkRequest) -> tuple[str, bytes] | None:
    """The next bytes of what is offered to the unit; None for anything else that it may wish.  Raises StoreError."""
    row = con.execute(
        "SELECT size FROM offers WHERE unit = ? AND sha = ? AND release", (wish.unit, wish.sha256)
    ).fetchone()
    if row is None or not wish.offset < row[0]:
        return None
    path = folder_of(db) / f"{wish.sha256.hex()}.lprup"
    try:
        with path.open("rb") as file:
            file.seek(wish.offset)
            data = file.read(MAX_PART_BYTES)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}; offer the update again") from error
    if not data:
        raise StoreError(f"{path}: shorter than it was; offer the update again")
    part = FilePart(unit=wish.unit, sha256=wish.sha256, offset=wish.offset, data=data)
    return build(wish.unit, Channel.PART), encode(part)
