"""Offers of updates to units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from protocol.wire.codec import encode
from protocol.wire.control.transfer import FileOffer, FilePart
from protocol.wire.topics import Channel, build, check_unit
from station.store.tables import OFFERS

if TYPE_CHECKING:
    from protocol.update.manifest import Manifest
    from protocol.wire.control.transfer import ChunkRequest
    from station.store.database import Database
    from station.store.files import OfferedFiles

_ALL = select(
    OFFERS.c.unit, OFFERS.c.release, OFFERS.c.sha, OFFERS.c.size, OFFERS.c.attempt, OFFERS.c.parts
).order_by(OFFERS.c.unit)
_SIZE = select(OFFERS.c.size).where(
    OFFERS.c.unit == bindparam("of"), OFFERS.c.sha == bindparam("hash"), OFFERS.c.release != 0
)


@dataclass(frozen=True, slots=True)
class Offered:
    """One unit's offer; a withdrawn one is kept as release 0, so that it is cleared at the broker."""

    unit: str
    release: int
    sha256: bytes
    size_bytes: int
    attempt: int
    parts: tuple[str, ...]

    def message(self) -> tuple[str, bytes]:
        """Return topic and retained payload; an empty one clears."""
        topic = build(self.unit, Channel.COMMAND)
        if not self.release:
            return topic, b""
        return topic, encode(
            FileOffer(
                unit=self.unit,
                release=self.release,
                sha256=self.sha256,
                size_bytes=self.size_bytes,
                attempt=self.attempt,
                parts=self.parts,
            )
        )


def offer(db: Database, unit: str, manifest: Manifest, kept: tuple[bytes, int], now_us: int) -> None:
    """Offer a stored file to a unit; replaces an earlier offer.  Inside a transaction."""
    sha256, size = kept
    new = {
        "release": manifest.release,
        "sha": sha256,
        "size": size,
        "parts": ",".join(sorted(part.value for part in manifest.parts)),
        "offered_us": now_us,
    }
    statement = db.insert(OFFERS).values(unit=check_unit(unit), attempt=0, **new)
    again = {**new, "attempt": OFFERS.c.attempt + 1}
    db.run(statement.on_conflict_do_update(index_elements=["unit"], set_=again))


def withdraw(db: Database, unit: str) -> bool:
    """Withdraw an offer; False if there is none.  Inside a transaction."""
    statement = update(OFFERS).where(OFFERS.c.unit == unit, OFFERS.c.release != 0).values(release=0)
    return bool(db.run(statement).rowcount)


def offers(db: Database) -> list[Offered]:
    """Return all offers, including withdrawn ones.  Raises StoreError."""
    return [
        Offered(unit, release, sha, size, attempt, tuple(parts.split(",")))
        for unit, release, sha, size, attempt, parts in db.all(_ALL)
    ]


def answer(db: Database, files: OfferedFiles, request: ChunkRequest) -> tuple[str, bytes] | None:
    """Return the requested bytes of the file offered to the unit; None for any other file.  Raises StoreError."""
    row = db.first(_SIZE, {"of": request.unit, "hash": request.sha256})
    if row is None or not request.offset < row[0]:
        return None
    data = files.read(request.sha256, request.offset)
    part = FilePart(unit=request.unit, sha256=request.sha256, offset=request.offset, data=data)
    return build(request.unit, Channel.PART), encode(part)
