"""Interfaces of the uplink: the outbox to read from, and the transfers that fetch files when nothing else waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.buffer.rows import OutboxRow, PicturePriority, PictureRow


class Waiting(Protocol):
    """Read access to the outbox."""

    def changes(self) -> int:
        """Return a number that changes with every commit; called often, so it must be cheap."""

    def given_up(self) -> int:
        """Return how many records were deleted unsent so far, evicted or expired."""

    def priorities(self) -> list[int]:
        """Return the priorities that have waiting records."""

    def records_of(self, priority: int, *, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the oldest records of a priority above a sequence number."""

    def pictures(self, priority: PicturePriority, *, after_pic: int, limit: int) -> list[PictureRow]:
        """Return the oldest pictures of a priority above a number."""

    def jpeg(self, pic: int) -> bytes | None:
        """Return the bytes of a picture."""


class Downloads(Protocol):
    """Downloads, made when nothing else waits to be sent."""

    def offered(self, kind: str, payload: bytes) -> bool:
        """Accept an offer of a kind of file, empty to withdraw it; False if there is no transfer.  Raises WireError."""

    def take(self, payload: bytes) -> bool:
        """Accept bytes; False if no transfer is for them.  Raises WireError."""

    def next_request(self, t_mono_ns: int, *, metered: bool) -> bytes | None:
        """Return the request to send now, if any."""

    def request_sent(self, t_mono_ns: int) -> None:
        """Note that it was sent."""

    def link_went(self) -> None:
        """Forget pending requests: they will not be answered."""
