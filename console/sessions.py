"""Sessions of browsers, and limits on what they may send.  Pure: times are given."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

MAX_SESSIONS = 64
IDLE_S = 12 * 3600.0
"""A shift and its overlap; the officer's own session ends with the shift."""
REMEMBERED_REQUESTS = 1024


@dataclass(slots=True)
class BrowserSession:
    """One browser.  The officer's token never leaves the console."""

    csrf: str
    used_s: float
    officer: str | None = None
    """Session token of the agent, from ``sign_on``."""
    shift_id: str = ""
    """The officer's shift."""
    who: str = ""
    """Badge and name, for the page."""
    requests: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Ids of the latest requests: none is accepted twice."""
    terminal: str = field(default_factory=lambda: secrets.token_hex(4))
    """What the audit log calls this browser."""
    shown: Counter[str] = field(default_factory=Counter)
    """How often reads and hits were shown since the last report."""

    def sign_off(self) -> None:
        """This browser acts for nobody any more."""
        self.officer = None
        self.shift_id = self.who = ""

    def is_new_request(self, request_id: str) -> bool:
        """Remember an id; False if it was used before."""
        if request_id in self.requests:
            return False
        self.requests[request_id] = None
        if len(self.requests) > REMEMBERED_REQUESTS:
            self.requests.popitem(last=False)
        return True

    def has_token(self, token: str) -> bool:
        """Compare the CSRF token in constant time."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class Sessions:
    """All browsers; the one unused for longest is forgotten when there are too many."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, BrowserSession] = OrderedDict()

    def create(self, t_s: float) -> tuple[str, BrowserSession]:
        """A new session and its id, which goes into the cookie."""
        while len(self._by_id) >= MAX_SESSIONS:
            self._by_id.popitem(last=False)
        session_id = secrets.token_urlsafe(32)
        session = BrowserSession(secrets.token_urlsafe(32), t_s)
        self._by_id[session_id] = session
        return session_id, session

    def get(self, session_id: str, t_s: float) -> BrowserSession | None:
        """The session with this id, if it was used recently."""
        session = self._by_id.get(session_id)
        if session is None:
            return None
        if t_s - session.used_s > IDLE_S:
            del self._by_id[session_id]
            return None
        session.used_s = t_s
        self._by_id.move_to_end(session_id)
        return session

    def to_report(self) -> list[BrowserSession]:
        """Browsers in which somebody has signed on, or that have shown something."""
        return [session for session in self._by_id.values() if session.officer is not None or session.shown]

    def end_shifts(self, shift_ids: AbstractSet[str]) -> None:
        """These shifts have ended: no browser acts for their officers any more."""
        for session in self._by_id.values():
            if session.officer is not None and session.shift_id in shift_ids:
                session.sign_off()


@dataclass(slots=True)
class RateLimit:
    """Token bucket: ``burst`` at once, then ``per_s``."""

    per_s: float
    burst: float
    _left: float = -1.0
    _at_s: float = 0.0

    def take(self, t_s: float) -> bool:
        """Take one; False if there is none left."""
        if self._left < 0:
            self._left, self._at_s = self.burst, t_s
        self._left = min(self.burst, self._left + (t_s - self._at_s) * self.per_s)
        self._at_s = t_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
