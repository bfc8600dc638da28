"""Notes the signed heads of all series in the audit log, so that an older head cannot take the place of a newer one.

A head is signed by its unit, but so was each one before it: whoever removes the newest records and puts an older head
back leaves nothing that contradicts itself.  Units witness the log, so what it says of heads stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocol.errors import WireError
from protocol.seal.head import Head
from protocol.wire.codec import decode
from station.store.rows import AuditRow, AuditSearch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from protocol.merkle.entry import LogEntry
    from station.store import Store

WHAT: Final = "note heads of series"
_WHO = "station"
EVERY_US = 3_600_000_000
_AT_ONCE = 100
"""Heads per entry, which is bounded in size."""


def note_heads(store: Store, now_us: int) -> int:
    """Add entries about heads that came since the last ones; return how many heads.  Raises StoreError.

    Does nothing if another worker did so within the hour.
    """
    latest = store.audit_page(AuditSearch(what=WHAT), limit=1)
    since_us = latest[0][1].utc_us if latest else 0
    if 0 <= now_us - since_us < EVERY_US:
        return 0
    with store.transaction():
        # After the clock was set back all are noted again.
        heads = [_line(head) for head in _decoded(store.heads(since_us if since_us <= now_us else 0))]
        for first in range(0, len(heads), _AT_ONCE):
            lines = heads[first : first + _AT_ONCE]
            store.audit(AuditRow(now_us, _WHO, WHAT, " ".join(lines), len(lines)))
    return len(heads)


@dataclass(frozen=True, slots=True)
class _Noted:
    number: int
    seq: int
    link: str


class NotedHeads:
    """Compares the heads in the store with those that the log's entries have."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str], _Noted] = {}

    def take(self, number: int, entry: LogEntry) -> None:
        """Take an entry of any kind."""
        if entry.what != WHAT or entry.who != _WHO:
            return
        for line in entry.filter.split(" "):
            match line.split("/"):
                case [unit, life, seq, link] if seq.isdecimal():
                    noted = _Noted(number, int(seq), link)
                    before = self._noted.get((unit, life))
                    if before is None or before.seq <= noted.seq:
                        self._noted[unit, life] = noted

    def faults(self, store: Store) -> Iterator[str]:
        """Yield what contradicts the log."""
        heads = {(head.unit, head.life.hex()): head for head in _decoded(store.heads(0))}
        for (unit, life), noted in sorted(self._noted.items()):
            named = f"{unit}, life {life[:8]}" if life else unit
            head = heads.get((unit, life))
            if head is None:
                yield f"{named}: entry {noted.number} has its head at record {noted.seq}, and the head is gone"
            elif head.seq < noted.seq:
                yield (
                    f"{named}: entry {noted.number} has its head at record {noted.seq}, the stored one is older, at "
                    f"{head.seq}: the newest records were removed"
                )
            elif head.seq == noted.seq and head.link.hex() != noted.link:
                yield f"{named}: entry {noted.number} has another head at record {noted.seq}"


def _line(head: Head) -> str:
    return f"{head.unit}/{head.life.hex()}/{head.seq}/{head.link.hex()}"


def _decoded(payloads: Iterable[bytes]) -> Iterator[Head]:
    """What is no head is among the store's faults."""
    for payload in payloads:
        try:
            yield decode(payload, Head)
        except WireError:
            continue
