"""Offers of files to units: one per unit and kind of file, and copies of the files."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from protocol.wire.codec import encode
from protocol.wire.control.transfer import MAX_PART_BYTES, UPDATE, FileOffer, FilePart
from protocol.wire.topics import Channel, build, check_unit, offer_topic
from station.errors import StoreError
from station.store.rows import OfferedFile
from station.store.tables import OFFERS

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.control.transfer import ChunkRequest
    from station.store.database import Database

_ALL = select(
    OFFERS.c.unit, OFFERS.c.kind, OFFERS.c.release, OFFERS.c.sha, OFFERS.c.size, OFFERS.c.attempt, OFFERS.c.parts
).order_by(OFFERS.c.unit, OFFERS.c.kind)
_OFFERED = select(OFFERS.c.size, OFFERS.c.kind).where(
    OFFERS.c.unit == bindparam("of"), OFFERS.c.sha == bindparam("hash"), OFFERS.c.release != 0
)
_IN_USE = select(OFFERS.c.kind, OFFERS.c.sha).where(OFFERS.c.release != 0).distinct()
_KEEP_S = 86_400.0
"""A copy that no offer names is kept this long: another process may be about to offer it."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One unit's offer of a kind; a withdrawn one is kept as release 0, so that it is cleared at the broker."""

    unit: str
    file: OfferedFile
    attempt: int

    def message(self) -> tuple[str, bytes]:
        """Return topic and retained payload; an empty one clears."""
        topic = offer_topic(self.unit, self.file.kind)
        if not self.file.release:
            return topic, b""
        return topic, encode(
            FileOffer(
                unit=self.unit,
                release=self.file.release,
                sha256=self.file.sha256,
                size_bytes=self.file.size_bytes,
                attempt=self.attempt,
                parts=self.file.parts,
                kind=self.file.kind,
            )
        )


def folder_of(db: Path, kind: str = UPDATE) -> Path:
    """Return the folder of the copies of a kind, beside the station's file."""
    return db.with_name(f"{db.name}-{'updates' if kind == UPDATE else 'files'}")


def keep_file(db: Path, source: Path, kind: str = UPDATE) -> tuple[bytes, int]:
    """Copy a file to the folder of its kind; return its hash and size.  Raises StoreError."""
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        target = _copy(db, kind, digest.digest())
        if target.exists():
            os.utime(target)
        else:
            target.parent.mkdir(exist_ok=True)
            part = target.with_suffix(".part")
            shutil.copyfile(source, part)
            part.replace(target)
        size_bytes = target.stat().st_size
    except OSError as error:
        raise StoreError(f"{source}: cannot be copied for the units: {error}") from error
    return digest.digest(), size_bytes


def offer(db: Database, unit: str, file: OfferedFile, now_us: int) -> None:
    """Offer a copied file to a unit; replaces an earlier offer of its kind.  Inside a transaction.

    Raises WireError for an invalid unit or kind.
    """
    offer_topic(unit, file.kind)
    new = {
        "release": file.release,
        "sha": file.sha256,
        "size": file.size_bytes,
        "parts": ",".join(sorted(file.parts)),
        "offered_us": now_us,
    }
    statement = db.insert(OFFERS).values(unit=check_unit(unit), kind=file.kind, attempt=0, **new)
    again = {**new, "attempt": OFFERS.c.attempt + 1}
    db.run(statement.on_conflict_do_update(index_elements=["unit", "kind"], set_=again))


def withdraw(db: Database, unit: str, kind: str = UPDATE) -> bool:
    """Withdraw an offer; False if there is none.  Inside a transaction."""
    statement = update(OFFERS).where(OFFERS.c.unit == unit, OFFERS.c.kind == kind, OFFERS.c.release != 0)
    return bool(db.run(statement.values(release=0)).rowcount)


def offers(db: Database) -> list[Offered]:
    """Return all offers, including withdrawn ones.  Raises StoreError."""
    return [
        Offered(unit, OfferedFile(kind, release, sha, size, tuple(parts.split(",") if parts else ())), attempt)
        for unit, kind, release, sha, size, attempt, parts in db.all(_ALL)
    ]


def drop_unoffered(db: Database, path: Path, kind: str, now_us: int) -> int:
    """Delete copies of a kind that have not been offered to any unit for a day; return their number."""
    in_use = {row.sha.hex() for row in db.all(_IN_USE) if row.kind == kind}
    dropped = 0
    for copy in folder_of(path, kind).glob(f"*{_suffix(kind)}"):
        # What cannot be deleted now is tried again with the next offer.
        with suppress(OSError):
            if copy.stem not in in_use and copy.stat().st_mtime + _KEEP_S <= now_us / 1e6:
                copy.unlink()
                dropped += 1
    return dropped


def answer(db: Database, path: Path, request: ChunkRequest) -> tuple[str, bytes] | None:
    """Return the requested bytes of a file offered to the unit; None for any other file.  Raises StoreError."""
    row = db.first(_OFFERED, {"of": request.unit, "hash": request.sha256})
    if row is None or not request.offset < row.size:
        return None
    file_path = _copy(path, row.kind, request.sha256)
    again = f"offer the {row.kind} again"
    try:
        with file_path.open("rb") as file:
            file.seek(request.offset)
            data = file.read(MAX_PART_BYTES)
    except OSError as error:
        raise StoreError(f"{file_path}: cannot be read: {error.strerror}; {again}") from error
    if not data:
        raise StoreError(f"{file_path}: truncated; {again}")
    part = FilePart(unit=request.unit, sha256=request.sha256, offset=request.offset, data=data)
    return build(request.unit, Channel.PART), encode(part)


def _copy(db: Path, kind: str, sha256: bytes) -> Path:
    return folder_of(db, kind) / f"{sha256.hex()}{_suffix(kind)}"


def _suffix(kind: str) -> str:
    return ".lprup" if kind == UPDATE else f".{kind}"
