"""Sends pictures in resumable chunks: those of hits first, plates before overviews, one picture at a time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.rows import SENDING
from agent.sync.pauses import GrowingPause
from protocol.wire.codec import encode, payload_ref
from protocol.wire.control.chunk import MAX_CHUNK_BYTES, PictureChunk

if TYPE_CHECKING:
    from agent.buffer.rows import PictureRow
    from agent.sync.counts import UplinkCounts
    from agent.sync.ports import Waiting

_ENVELOPE_BYTES = 512
_MIN_CHUNK_BYTES = 512
_SLOW_CHUNK_BYTES = 4096
_PASSED_TO_GROW = 64
"""Consecutive successful chunks before larger ones are tried again; doubled for each failure of those."""
_MAX_FAILURES = 8
_FIRST_PAUSE_S, _MAX_PAUSE_S = 2.0, 300.0
_MAX_UNRECEIPTED = 64


@dataclass(slots=True)
class _Current:
    """The picture that is being sent."""

    row: PictureRow
    jpeg: bytes
    offset: int
    next_bytes: int = 0
    """Size of the chunk to send."""


@dataclass(slots=True)
class _Sent:
    """A picture of which chunks were sent."""

    size_bytes: int
    t_mono_ns: int
    refs: list[bytes]


class PictureSender:
    """Splits waiting pictures into chunks.  Part of the uplink, used only by its thread."""

    def __init__(
        self, unit: str, boot_id: bytes, waiting: Waiting, counts: UplinkCounts, chunk_bytes: int
    ) -> None:
        self._unit = unit
        self._boot_id = boot_id
        self._waiting = waiting
        self._counts = counts
        self._configured_bytes = min(chunk_bytes, MAX_CHUNK_BYTES)
        self._chunk_bytes = self._configured_bytes
        self._max_bytes = self._configured_bytes
        """Chunk size within the peer's limit."""
        self._fits = True
        """False if the peer's limit is too small for the smallest chunk."""
        self._passed = 0
        self._failures: dict[int, int] = {}
        """Number of failures by chunk size."""
        self._pause = GrowingPause(_FIRST_PAUSE_S, _MAX_PAUSE_S)
        self._went_back: dict[bytes, int] = {}
        """Offsets from which pictures were last sent again because the station lacked their bytes."""
        self._after = dict.fromkeys(SENDING, 0)
        self._current: _Current | None = None
        self._pending: bytes | None = None
        self._unreceipted: OrderedDict[bytes, _Sent] = OrderedDict()
        self._resume_at: dict[bytes, int] = {}

    def limit(self, max_packet_bytes: int | None) -> None:
        """Keep chunks below the largest packet that the peer accepts."""
        self._max_bytes = self._configured_bytes
        self._fits = max_packet_bytes is None or max_packet_bytes >= _ENVELOPE_BYTES + _MIN_CHUNK_BYTES
        if max_packet_bytes is not None:
            room = max(_MIN_CHUNK_BYTES, max_packet_bytes - _ENVELOPE_BYTES)
            self._max_bytes = min(self._configured_bytes, room)
        self._chunk_bytes = min(self._chunk_bytes, self._max_bytes)

    def broke(self, t_mono_ns: int) -> None:
        """The link was lost during a chunk: MQTT 3.1.1 has no error for a packet that is too large, it disconnects."""
        if self._chunk_bytes <= _MIN_CHUNK_BYTES:
            self._wait(t_mono_ns)
        self._shrink()

    def passed(self) -> None:
        """Note that a chunk was acknowledged."""
        self._passed += 1
        larger = min(self._max_bytes, self._chunk_bytes * 2)
        if self._passed >= _PASSED_TO_GROW << self._failures.get(larger, 0):
            self._passed = 0
            self._chunk_bytes = larger

    def setback(self, t_mono_ns: int) -> None:
        """Chunks had no effect: pause, longer each time, and send smaller ones."""
        if self._wait(t_mono_ns):
            self._shrink()

    def _wait(self, t_mono_ns: int) -> bool:
        begins = self._pause.begin(t_mono_ns)
        self._counts.picture_pauses += begins
        return begins

    def _shrink(self) -> None:
        size = self._chunk_bytes
        self._failures[size] = min(_MAX_FAILURES, self._failures.get(size, 0) + 1)
        self._chunk_bytes = max(_MIN_CHUNK_BYTES, size // 2)
        self._passed = 0
        self._pending = None

    def next_chunk(self, t_mono_ns: int, *, room_bytes: int) -> bytes | None:
        """Return the next chunk to publish, the same one until ``sent``; None if no picture waits.

        With a small ``room_bytes``, as on a slow link, chunks are small, because a new read may wait for one.
        """
        if not self._fits or self._pause.is_on(t_mono_ns):
            return None
        if self._pending is not None:
            return self._pending
        if self._current is None:
            self._current = self._find()
            if self._current is None:
                return None
            row = self._current.row
            self._unreceipted[row.sha256] = _Sent(row.size_bytes, t_mono_ns, [])
        current = self._current
        current.next_bytes = min(self._chunk_bytes, max(_SLOW_CHUNK_BYTES, room_bytes))
        self._pending = encode(
            PictureChunk(
                unit=self._unit,
                boot_id=self._boot_id,
                read_id=current.row.read_id,
                kind=current.row.kind,
                sha256=current.row.sha256,
                total_bytes=current.row.size_bytes,
                offset=current.offset,
                data=current.jpeg[current.offset : current.offset + current.next_bytes],
            )
        )
        return self._pending

    def sent(self, t_mono_ns: int) -> None:
        """Note that the chunk was sent."""
        current, chunk = self._current, self._pending
        self._pending = None
        if current is None or chunk is None:
            return
        self._counts.chunks_sent += 1
        way = self._unreceipted.get(current.row.sha256)
        if way is not None:
            way.refs.append(payload_ref(chunk))
            way.t_mono_ns = t_mono_ns
        current.offset += current.next_bytes
        if current.offset >= current.row.size_bytes:
            self._current = None

    def stored(self, sha256: bytes, stored_bytes: int) -> None:
        """Note how much of a picture the station has."""
        way = self._unreceipted.get(sha256)
        if way is None:
            return
        if stored_bytes > self._went_back.get(sha256, 0):
            self._pause.succeeded()
        if stored_bytes >= way.size_bytes:
            del self._unreceipted[sha256]
            self._went_back.pop(sha256, None)

    def go_back(self, sha256: bytes, offset: int, t_mono_ns: int) -> None:
        """Continue a picture from ``offset``, as the station requested."""
        current = self._current if self._current is not None and self._current.row.sha256 == sha256 else None
        if current is None and sha256 not in self._unreceipted:
            return
        if self._went_back.get(sha256, -1) >= offset:
            # Sending again made no progress.
            self.setback(t_mono_ns)
        self._went_back[sha256] = offset
        if current is not None:
            current.offset = max(0, min(offset, current.row.size_bytes - 1))
            self._pending = None
        else:
            self._start_over()
            # The outbox is updated as well, but possibly after the next chunk is due.
            self._resume_at[sha256] = offset

    def refused(self, ref: bytes) -> bytes | None:
        """Drop the picture of a permanently refused chunk; return its hash, None if unknown."""
        for sha256, way in self._unreceipted.items():
            if ref in way.refs:
                del self._unreceipted[sha256]
                if self._current is not None and self._current.row.sha256 == sha256:
                    self._current, self._pending = None, None
                return sha256
        return None

    def overdue(self, t_mono_ns: int, patience_ns: int) -> bool:
        """True if a picture's receipt is overdue."""
        oldest = next(iter(self._unreceipted.values()), None)
        return oldest is not None and self._current is None and t_mono_ns - oldest.t_mono_ns > patience_ns

    def rewind(self) -> None:
        """Start again with the waiting pictures, each from what the station has confirmed."""
        self._start_over()
        self._went_back.clear()

    def _start_over(self) -> None:
        self._after = dict.fromkeys(SENDING, 0)
        self._current, self._pending = None, None
        self._unreceipted.clear()
        self._resume_at.clear()

    def _find(self) -> _Current | None:
        if len(self._unreceipted) >= _MAX_UNRECEIPTED:
            return None
        for priority in SENDING:
            while rows := self._waiting.pictures(priority, after_pic=self._after[priority], limit=1):
                row = rows[0]
                jpeg = self._waiting.jpeg(row.pic)
                self._after[priority] = row.pic
                if jpeg is not None:
                    offset = self._resume_at.pop(row.sha256, row.stored_bytes)
                    return _Current(row, jpeg, offset if 0 <= offset < row.size_bytes else 0)
        return None
