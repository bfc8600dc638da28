"""Fetches offered files: requested in parts, resumable, several kinds at once.

The contents are not interpreted: ``verify`` of its kind, or the consumer of the file, checks its signature.  Until
then an offer is not trusted, so a file is limited to the maximum size of its kind and never uses the space reserved
for records.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Protocol

from protocol.errors import WireError
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import UPDATE, ChunkRequest, FileOffer, FilePart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_HANDED = "handed"
_REFUSED = "refused"
_PREFIX = "fetch-"
_NS_PER_S = 1_000_000_000
_LOOK_NS = 5 * _NS_PER_S
_PAUSE_NS = 60 * _NS_PER_S
_CATCH_UP_BYTES = 4 * 2**20
_SMALL_BYTES = 64 * 1024
"""Size up to which a file is fetched over any link."""
_MAX_DAMAGED = 3


class TransferState(StrEnum):
    """State of the offered file of one kind."""

    IDLE = "idle"
    """No file is offered, or not one that is to be fetched."""
    REFUSED = "refused"
    """Larger than the maximum of its kind, or refused by ``verify``."""
    WAITING = "waiting"
    """Waiting for an unmetered link, for disk space, or for the consumer."""
    FETCHING = "fetching"
    HANDED = "handed"
    """Fetched completely, and verified if its kind has ``verify``; ready for the consumer."""


class FileRefusedError(Exception):
    """A fetched file is not accepted.  The message says why; it is shown at the station."""


class Want(Enum):
    """Returns whether an offered file is to be fetched."""

    NOW = "now"
    LATER = "later"
    NO = "no"


@dataclass(frozen=True, slots=True)
class FileKind:
    """Settings of one kind of file; CONTRIBUTING.md says how to add one."""

    name: str
    """On the wire; also selects the topic of the offer, see ``protocol.wire.topics.offer_topic``."""
    folder: Path
    """Folder for fetched bytes, not shared with others."""
    file_name: str
    """Name of the complete file in ``folder``.

    With ``verify`` it is the verified file in use, replaced by the next one; without, its consumer removes it.
    """
    max_bytes: int
    """Maximum size; larger files are refused."""
    wants: Callable[[FileOffer], Want]
    """Called every few seconds; avoids fetching a file that would be refused."""
    free_only: bool = False
    """True: only over an unmetered link, except small files."""
    verify: Callable[[Path], None] | None = None
    """Checks the signature, the unit and the version inside a complete file, before it is put at ``file_name``.

    Raises FileRefusedError; a refused file is deleted and not fetched again unless it is offered again.  Called in the
    uplink's thread, which sends nothing meanwhile: a few seconds at most.
    """
    on_installed: Callable[[Path], None] | None = None
    """Called in the uplink's thread after a verified file was put at ``file_name``; must return at once.

    It is not called for a file of an earlier run: consumers open ``file_name`` when they start.
    """


@dataclass(slots=True)
class FetchCounts:
    """Since the start of the process."""

    chunk_requests: int = 0
    """Requests for bytes of a file."""
    parts: int = 0
    """Messages with bytes that were accepted."""
    strays: int = 0
    """Messages with bytes that were not requested."""
    damaged: int = 0
    """Files discarded because their hash differs from the offered one."""
    unwritten: int = 0
    """Failed writes and reads of fetched bytes."""
    too_large: int = 0
    """Offers refused because of their size."""
    refused: int = 0
    """Files refused by ``verify``."""


class Room(Protocol):
    """Free space of a disk."""

    def __call__(self, path: Path) -> int:
        """Return the free bytes of the disk of an existing path; raises OSError."""


def disk_free_bytes(path: Path) -> int:
    """Return the free bytes of the disk of an existing path; raises OSError."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


class FileTransfer:
    """Transfer of one kind of file.  Used by the uplink's thread; counts, state and progress may be read by any."""

    def __init__(
        self,
        kind: FileKind,
        *,
        unit: str,
        boot_id: bytes,
        timeout_s: float,
        min_free_bytes: int = 0,
        room: Room = disk_free_bytes,
    ) -> None:
        """``min_free_bytes`` are kept free on the disk."""
        self.kind = kind
        self._unit = unit
        self._boot_id = boot_id
        self._timeout_ns = round(timeout_s * _NS_PER_S)
        self._min_free_bytes = min_free_bytes
        self._room = room
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._asked_ns: int | None = None
        self._look_due_ns = 0
        self._wanted = False
        self._damaged = 0
        self.offer: FileOffer | None = None
        self.fetched = 0
        """Bytes of the offered file that were fetched."""
        self.state = TransferState.IDLE
        self.reason = ""
        """Why the offered file was refused."""
        self.counts = FetchCounts()

    def offered(self, offer: FileOffer | None) -> None:
        """Replace the offer; None withdraws it."""
        if offer == self.offer:
            return
        self.offer, self._asked_ns, self._look_due_ns, self._damaged = offer, None, 0, 0
        self.state, self.reason = TransferState.IDLE, ""
        if offer is not None and offer.size_bytes > self.kind.max_bytes:
            self.state = TransferState.REFUSED
            self.reason = f"{offer.size_bytes} bytes, more than the {self.kind.max_bytes} of its kind"
            self.counts.too_large += 1
        keep = None if offer is None or self.state is TransferState.REFUSED else self._path(offer)
        with suppress(OSError):  # what cannot be listed or deleted now is in the way of nothing
            for path in self.kind.folder.glob(f"{_PREFIX}*"):
                if path != keep:
                    path.unlink(missing_ok=True)
        self._begin_at(0 if keep is None else _size_bytes(keep))

    def take(self, part: FilePart) -> None:
        """Accept some bytes."""
        offer = self.offer
        if offer is None or self.state is TransferState.REFUSED or not self._is_next(offer, part):
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
        """Return the request to send now, if any; also completes pending work on fetched bytes."""
        try:
            return self._next_request(t_mono_ns, metered=metered)
        except OSError:
            # A disk that fails delays files; the uplink goes on.
            self._pause()
            return None

    def _next_request(self, t_mono_ns: int, *, metered: bool) -> bytes | None:
        offer = self.offer
        if offer is None or self.state is TransferState.REFUSED or not self._is_wanted(offer, t_mono_ns):
            return None
        if metered and self.kind.free_only and offer.size_bytes > _SMALL_BYTES:
            self.state = TransferState.WAITING
            return None
        self.state = TransferState.FETCHING
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
        """Note that the request was sent."""
        self._asked_ns = t_mono_ns
        self.counts.chunk_requests += 1

    def link_went(self) -> None:
        """Forget pending requests: they will not be answered."""
        self._asked_ns = None

    def _is_next(self, offer: FileOffer, part: FilePart) -> bool:
        return (
            part.sha256 == offer.sha256
            and part.offset == self.fetched
            and part.offset + len(part.data) <= offer.size_bytes
        )

    def _is_wanted(self, offer: FileOffer, t_mono_ns: int) -> bool:
        if t_mono_ns < self._look_due_ns:
            return self._wanted
        self._look_due_ns = t_mono_ns + _LOOK_NS
        self._wanted = False
        if self._noted(_HANDED, offer) is not None and (self.kind.verify is None or self._whole.exists()):
            self.state = TransferState.HANDED
            return False
        refusal = self._noted(_REFUSED, offer)
        if refusal is not None:
            self.state, self.reason = TransferState.REFUSED, refusal
            return False
        want = self.kind.wants(offer)
        if want is Want.NO:
            self.state = TransferState.IDLE
        elif want is Want.LATER or self._is_taken or not self._has_room(offer):
            self.state = TransferState.WAITING
        else:
            self._wanted = True
        return self._wanted

    def _has_room(self, offer: FileOffer) -> bool:
        place = self.kind.folder
        while not place.exists():
            place = place.parent
        try:
            return self._room(place) - (offer.size_bytes - self.fetched) >= self._min_free_bytes
        except OSError:
            return False

    @property
    def _whole(self) -> Path:
        return self.kind.folder / self.kind.file_name

    @property
    def _is_taken(self) -> bool:
        """True while the last file waits for a consumer that removes it."""
        return self.kind.verify is None and self._whole.exists()

    def _noted(self, name: str, offer: FileOffer) -> str | None:
        """Return the text noted for this offer under a name; None if there is no note."""
        try:
            mark, _, text = (self.kind.folder / name).read_text(encoding="utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return text if mark == _mark(offer) else None

    def _note(self, name: str, offer: FileOffer, text: str = "") -> None:
        noted = f"{_mark(offer)}\n{text}" if text else _mark(offer)
        (self.kind.folder / name).write_text(noted, encoding="utf-8")

    def _begin_at(self, size: int) -> None:
        self.fetched, self._hashed, self._digest = size, 0, hashlib.sha256()

    def _catch_up(self, offer: FileOffer) -> None:
        """After a restart: hash what was fetched before, in small steps."""
        try:
            with self._path(offer).open("rb") as file:
                file.seek(self._hashed)
                block = file.read(min(_CATCH_UP_BYTES, self.fetched - self._hashed))
        except OSError:
            # They may never be readable: all is fetched again, over them.
            self._begin_at(0)
            raise
        self._digest.update(block)
        self._hashed += len(block)
        if not block:
            self._begin_at(_size_bytes(self._path(offer)))

    def _append(self, offer: FileOffer, data: bytes) -> bool:
        path = self._path(offer)
        try:
            self.kind.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(self.fetched)
                file.write(data)
        except OSError:
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        """After a failed write: wait for the next check; records have priority."""
        self.counts.unwritten += 1
        self._wanted, self._look_due_ns = False, (self._look_due_ns or 0) + _PAUSE_NS

    def _finish(self, offer: FileOffer) -> None:
        path = self._path(offer)
        if self._digest.digest() != offer.sha256 or self.fetched != offer.size_bytes:
            self.counts.damaged += 1
            self._damaged += 1
            self._begin_at(0)
            with suppress(OSError):  # what cannot be deleted is written over
                path.unlink(missing_ok=True)
            if self._damaged >= _MAX_DAMAGED:
                self.offer, self.state = None, TransferState.IDLE
            return
        try:
            self._hand_over(offer, path)
        except OSError:
            self._pause()
            if not path.exists():
                self._begin_at(0)

    def _hand_over(self, offer: FileOffer, path: Path) -> None:
        """Verify a complete file if its kind asks for it, and put it at its place; raises OSError."""
        kind = self.kind
        if kind.verify is not None:
            try:
                kind.verify(path)
            except FileRefusedError as error:
                self._refuse(offer, path, str(error))
                return
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(self._whole)
        _sync_folder(kind.folder)
        self._note(_HANDED, offer)
        self._begin_at(0)
        self.fetched = offer.size_bytes
        self._hashed = self.fetched
        self.state, self._wanted = TransferState.HANDED, False
        if kind.on_installed is not None:
            kind.on_installed(self._whole)

    def _refuse(self, offer: FileOffer, path: Path, reason: str) -> None:
        """Delete a file that was not accepted and remember it."""
        path.unlink(missing_ok=True)
        self._begin_at(0)
        self._note(_REFUSED, offer, reason)
        self.counts.refused += 1
        self.state, self.reason, self._wanted = TransferState.REFUSED, reason, False

    def _path(self, offer: FileOffer) -> Path:
        return self.kind.folder / f"{_PREFIX}{offer.sha256.hex()}"


def _mark(offer: FileOffer) -> str:
    return f"{offer.sha256.hex()} {offer.attempt}"


def _size_bytes(path: Path) -> int:
    """Size of a file; 0 if there is none, or nobody can tell."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Transfers:
    """Transfers of all kinds that a unit accepts, each with its own requests.  Used by the uplink's thread."""

    def __init__(self, unit: str, transfers: Sequence[FileTransfer]) -> None:
        """``transfers`` in the order of their requests; raises ValueError if there are two of a kind."""
        self._unit = unit
        self._by_kind = {transfer.kind.name: transfer for transfer in transfers}
        if len(self._by_kind) != len(transfers):
            raise ValueError("two transfers of one kind")
        self._asking: FileTransfer | None = None

    def offered(self, kind: str, payload: bytes) -> bool:
        """Accept a message on the topic of a kind, empty to withdraw the offer; False for a kind that is not accepted.

        Raises WireError.
        """
        offer = decode(payload, FileOffer) if payload else None
        if offer is not None and offer.unit != self._unit:
            raise WireError("an offer for another unit")
        if offer is not None and offer.kind != kind:
            raise WireError(f"an offer of kind {offer.kind} on the topic of {kind}")
        transfer = self._by_kind.get(kind)
        if transfer is not None:
            transfer.offered(offer)
        return transfer is not None

    def take(self, payload: bytes) -> bool:
        """Accept bytes of a file; False if it is not offered.  Raises WireError."""
        part = decode(payload, FilePart)
        if part.unit != self._unit:
            raise WireError("bytes for another unit")
        for transfer in self._by_kind.values():
            if transfer.offer is not None and transfer.offer.sha256 == part.sha256:
                transfer.take(part)
                return True
        return False

    def next_request(self, t_mono_ns: int, *, metered: bool) -> bytes | None:
        """Return the request to send now, if any."""
        for transfer in self._by_kind.values():
            request = transfer.next_request(t_mono_ns, metered=metered)
            if request is not None:
                self._asking = transfer
                return request
        return None

    def request_sent(self, t_mono_ns: int) -> None:
        """Note that the request of ``next_request`` was sent."""
        if self._asking is not None:
            self._asking.request_sent(t_mono_ns)
            self._asking = None

    def link_went(self) -> None:
        """Forget pending requests: they will not be answered."""
        for transfer in self._by_kind.values():
            transfer.link_went()

    def counters(self) -> dict[str, int]:
        """Return counters of all kinds but updates, which ``UpdateReporter`` has; any thread."""
        return {
            f"files.{transfer.kind.name}.{name}": value
            for transfer in self._others()
            for name, value in asdict(transfer.counts).items()
        }

    def gauges(self) -> dict[str, int]:
        """Return of all kinds but updates the version that is offered and the one fetched, 0 for none; any thread."""
        found = {}
        for transfer in self._others():
            offered = 0 if transfer.offer is None else transfer.offer.release
            found[f"files.{transfer.kind.name}.offered"] = offered
            found[f"files.{transfer.kind.name}.fetched"] = offered if transfer.state is TransferState.HANDED else 0
        return found

    def _others(self) -> list[FileTransfer]:
        return [transfer for kind, transfer in self._by_kind.items() if kind != UPDATE]
