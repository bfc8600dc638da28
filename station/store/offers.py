"""Offers of files to units: one per unit and kind of file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from protocol.wire.codec import encode
from protocol.wire.control.transfer import UPDATE, FileOffer, FilePart
from protocol.wire.topics import Channel, build, check_unit, offer_topic
from station.store.rows import OfferedFile
from station.store.tables import OFFERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.wire.control.transfer import ChunkRequest
    from station.store.database import Database
    from station.store.files import OfferedFiles

_ALL = select(
    OFFERS.c.unit, OFFERS.c.kind, OFFERS.c.release, OFFERS.c.sha, OFFERS.c.size, OFFERS.c.attempt, OFFERS.c.parts
).order_by(OFFERS.c.unit, OFFERS.c.kind)
_OFFERED = select(OFFERS.c.size, OFFERS.c.kind).where(
    OFFERS.c.unit == bindparam("of"), OFFERS.c.sha == bindparam("hash"), OFFERS.c.release != 0
)
_IN_USE = select(OFFERS.c.kind, OFFERS.c.sha).where(OFFERS.c.release != 0).distinct()


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


def offers(db: Database, units: Iterable[str] | None = None) -> list[Offered]:
    """Return all offers, or those to some units, including withdrawn ones.  Raises StoreError."""
    statement = _ALL if units is None else _ALL.where(OFFERS.c.unit.in_(sorted(set(units))))
    return [
        Offered(unit, OfferedFile(kind, release, sha, size, tuple(parts.split(",") if parts else ())), attempt)
        for unit, kind, release, sha, size, attempt, parts in db.all(statement)
    ]


def in_use(db: Database, kind: str) -> frozenset[bytes]:
    """Return the hashes of the offered files of a kind.  Inside a transaction."""
    return frozenset(bytes(row.sha) for row in db.all(_IN_USE) if row.kind == kind)


def answer(db: Database, files: OfferedFiles, request: ChunkRequest) -> tuple[str, bytes] | None:
    """Return the requested bytes of a file offered to the unit; None for any other file.  Raises StoreError."""
    row = db.first(_OFFERED, {"of": request.unit, "hash": request.sha256})
    if row is None or not request.offset < row.size:
        return None
    data = files.read(row.kind, request.sha256, request.offset)
    part = FilePart(unit=request.unit, sha256=request.sha256, offset=request.offset, data=data)
    return build(request.unit, Channel.PART), encode(part)
