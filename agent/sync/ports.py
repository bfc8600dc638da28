"""What the uplink needs from around it: the outbox to read from, and what fetches files when nothing else waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.buffer.rows import OutboxRow, PicturePriority, PictureRow


class Waiting(Protocol):
    """What waits in the outbox."""

    def changes(self) -> int:
        """Return a number that is another one after every change; asked often, so it must be cheap."""

    def given_up(self) -> int:
        """Return how many records have left unsent so far, evicted or expired."""

    def priorities(self) -> list[int]:
        """Return the priorities of which records wait."""

    def records_of(self, priority: int, *, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the oldest records of a priority above a sequence number."""

    def pictures(self, priority: PicturePriority, *, after_pic: int, limit: int) -> list[PictureRow]:
        """Return the oldest pictures of a lane above a number."""

    def jpeg(self, pic: int) -> bytes | None:
        """Return the bytes of a picture."""


class Downloads(Protocol):
    """What comes down when nothing else waits to go up."""

    def offered(self, kind: str, payload: bytes) -> bool:
        """Take an offer of a kind of file, empty to withdraw it; False when it is for nobody.  Raises WireError."""

    def take(self, payload: bytes) -> bool:
        """Take bytes; False when they are for nobody.  Raises WireError."""

    def next_request(self, t_mono_ns: int, *, metered: bool) -> bytes | None:
        """Return what to ask for now."""

    def request_sent(self, t_mono_ns: int) -> None:
        """Note that it went out."""

    def link_went(self) -> None:
        """Nothing more will come of what was asked for."""
