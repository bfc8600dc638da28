"""Proofs of records: kept beside them, and after a purge instead of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.seal.evidence import Evidence

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from protocol.seal import OpenedRecord

_RECORD_BYTES = (
    "coalesce((SELECT payload FROM reads x WHERE x.unit = e.unit AND x.read_id = e.record_id),"
    " (SELECT payload FROM datings x WHERE x.unit = e.unit AND x.record_id = e.record_id),"
    " (SELECT payload FROM tombstones x WHERE x.unit = e.unit AND x.record_id = e.record_id))"
)


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A proof, and what it proves while that is still here."""

    evidence: Evidence
    salt: bytes | None
    """None after the record was deleted under its retention policy."""
    record: bytes | None


def keep(con: sqlite3.Connection, proof: OpenedRecord) -> None:
    """Store a proof.  Inside a transaction."""
    e = proof.evidence
    con.execute(
        "INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (e.unit, e.seq, proof.record_id, e.prev, e.digest, e.key_id, e.signature, proof.salt),
    )


def forget_purged(con: sqlite3.Connection) -> None:
    """Drop the salts of records that are gone: their digests can no longer be tried against guesses."""
    con.execute(
        f"UPDATE evidence AS e SET salt = NULL WHERE salt IS NOT NULL AND {_RECORD_BYTES} IS NULL"  # noqa: S608 - ours
    )


def each(con: sqlite3.Connection, unit: str) -> Iterator[EvidenceRow]:
    """Yield a unit's proofs by sequence number."""
    rows = con.execute(
        f"SELECT seq, prev, digest, key, signature, salt, {_RECORD_BYTES}"  # noqa: S608 - column names of our own
        " FROM evidence e WHERE unit = ? ORDER BY seq",
        (unit,),
    )
    for seq, prev, digest, key, signature, salt, record in rows:
        yield EvidenceRow(Evidence(unit, seq, prev, digest, key, signature), salt, record)
