"""From an offer of the station to a whole file for root to look at: asked for bit by bit, resumed after anything."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart
from protocol.wire.enums import UpdateState
from updater.release_state import State, linked, read_state

if TYPE_CHECKING:
    from pathlib import Path

INBOX_NAME = "inbox.lprup"
_HANDED = "handed"
_PREFIX = "fetch-"
_NS_PER_S = 1_000_000_000
_LOOK_NS = 5 * _NS_PER_S
_PAUSE_NS = 60 * _NS_PER_S
_CATCH_UP_BYTES = 4 * 2**20
_SMALL_BYTES = 64 * 1024
"""A configuration: it goes over any link."""
_MAX_DAMAGED = 3


@dataclass(slots=True)
class FetchCounts:
    """Since the start of the process."""

    chunk_requests: int = 0
    """Times that bytes of an update were asked for."""
    parts: int = 0
    """Messages with bytes that were taken."""
    strays: int = 0
    """Messages with bytes that nobody had asked for."""
    damaged: int = 0
    """Updates thrown away because their hash was not the one that was offered."""
    unwritten: int = 0
    """Times that the disk did not take what was fetched."""


class Fetcher:
    """Used by the uplink's thread; counts, state and progress may be read by any."""

    def __init__(
        self, *, unit: str, boot_id: bytes, folder: Path, home: Path, free_only: bool, timeout_s: float
    ) -> None:
        """``folder`` is where fetched bytes lie, ``home`` that of the releases; ``free_only``: see ``[update]``."""
        self._unit = unit
        self._boot_id = boot_id
        self._folder = folder
        self._home = home
        self._free_only = free_only
        self._timeout_ns = round(timeout_s * _NS_PER_S)
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._asked_ns: int | None = None
        self._look_due_ns = 0
        self._wanted = False
        self._damaged = 0
        self.offer: FileOffer | None = None
        self.fetched = 0
        """Bytes of the offered file that are here."""
        self.state = UpdateState.IDLE
        self.counts = FetchCounts()

    def offered(self, payload: bytes) -> None:
        """Take what came on ``dn/cmd``; empty withdraws the offer.  Raises WireError."""
        offer = decode(payload, FileOffer) if payload else None
        if offer is not None and offer.unit != self._unit:
            raise WireError("an offer for another unit")
        if offer == self.offer:
            return
        self.offer, self._asked_ns, self._look_due_ns, self._damaged = offer, None, 0, 0
        self.state = UpdateState.IDLE
        keep = None if offer is None else self._path(offer)
        for path in self._folder.glob(f"{_PREFIX}*"):
            if path != keep:
                path.unlink(missing_ok=True)
        self._begin_at(0 if keep is None or not keep.exists() else keep.stat().st_size)

    def take(self, payload: bytes) -> None:
        """Take what came on ``dn/part``; raises WireError."""
        part = decode(payload, FilePart)
        offer = self.offer
        if offer is None or part.unit != self._unit or not self._is_next(offer, part):
            self.counts.strays += 1
            return
        self._asked_ns = None
        self.counts.parts += 1
        if not self._append(offer, part.data):
            return
        self.fetched += len(part.data)
        if self._hashed == part.offset:
            self._digest.update(part.data)
            self._hashed = self.fetched

    def next_request(self, t_mono_ns: int, *, metered: bool) -> bytes | None:
        """Return what to ask for now, if anything; also does what is left to do with what is here."""
        offer = self.offer
        if offer is None or not self._is_wanted(offer, t_mono_ns):
            return None
        if metered and self._free_only and offer.size_bytes > _SMALL_BYTES:
            self.state = UpdateState.WAITING
            return None
        self.state = UpdateState.FETCHING
        if self._hashed < self.fetched:
            self._catch_up(offer)
            return None
        if self.fetched >= offer.size_bytes:
            self._finish(offer)
            return None
        if self._asked_ns is not None and t_mono_ns - self._asked_ns < self._timeout_ns:
            return None
        return encode(
            ChunkRequest(unit=self._unit, boot_id=self._boot_id, sha256=offer.sha256, offset=self.fetched)
        )

    def request_sent(self, t_mono_ns: int) -> None:
        """Note that the wish went out."""
        self._asked_ns = t_mono_ns
        self.counts.chunk_requests += 1

    def link_went(self) -> None:
        """Whatever was asked for will not come."""
        self._asked_ns = None

    def _is_next(self, offer: FileOffer, part: FilePart) -> bool:
        return (
            part.sha256 == offer.sha256
            and part.offset == self.fetched
            and part.offset + len(part.data) <= offer.size_bytes
        )

    def _is_wanted(self, offer: FileOffer, t_mono_ns: int) -> bool:
        """Root decides whether it is taken; this only saves fetching what would surely be refused."""
        if t_mono_ns < self._look_due_ns:
            return self._wanted
        self._look_due_ns = t_mono_ns + _LOOK_NS
        running, committed = linked(self._home, "current"), linked(self._home, "committed")
        noted = read_state(self._home) or State()
        if self._is_handed(offer):
            self.state, self._wanted = UpdateState.HANDED, False
        elif running is None or offer.release <= noted.floor or offer.release in (running, *noted.failed):
            self.state, self._wanted = UpdateState.IDLE, False
        elif running != committed or (self._folder / INBOX_NAME).exists():
            self.state, self._wanted = UpdateState.WAITING, False
        else:
            self._wanted = True
        return self._wanted

    def _is_handed(self, offer: FileOffer) -> bool:
        try:
            return (self._folder / _HANDED).read_text(encoding="ascii") == _mark(offer)
        except (OSError, UnicodeDecodeError):
            return False

    def _begin_at(self, size: int) -> None:
        self.fetched, self._hashed, self._digest = size, 0, hashlib.sha256()

    def _catch_up(self, offer: FileOffer) -> None:
        """After a restart: hash what is here already, a little at a time."""
        with self._path(offer).open("rb") as file:
            file.seek(self._hashed)
            block = file.read(min(_CATCH_UP_BYTES, self.fetched - self._hashed))
        self._digest.update(block)
        self._hashed += len(block)
        if not block:
            self._begin_at(self._path(offer).stat().st_size)

    def _append(self, offer: FileOffer, data: bytes) -> bool:
        path = self._path(offer)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(self.fetched)
                file.write(data)
        except OSError:
            # Without room the next look decides; reads have the first claim on the disk.
            self.counts.unwritten += 1
            self._wanted, self._look_due_ns = False, (self._look_due_ns or 0) + _PAUSE_NS
            return False
        return True

    def _finish(self, offer: FileOffer) -> None:
        path = self._path(offer)
        if self._digest.digest() != offer.sha256 or self.fetched != offer.size_bytes:
            self.counts.damaged += 1
            self._damaged += 1
            path.unlink(missing_ok=True)
            self._begin_at(0)
            if self._damaged >= _MAX_DAMAGED:
                self.offer, self.state = None, UpdateState.IDLE
            return
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(self._folder / INBOX_NAME)
        (self._folder / _HANDED).write_text(_mark(offer), encoding="ascii")
        self._begin_at(0)
        self.fetched = offer.size_bytes
        self._hashed = self.fetched
        self.state, self._wanted = UpdateState.HANDED, False

    def _path(self, offer: FileOffer) -> Path:
        return self._folder / f"{_PREFIX}{offer.sha256.hex()}"


def _mark(offer: FileOffer) -> str:
    return f"{offer.sha256.hex()} {offer.attempt}"
