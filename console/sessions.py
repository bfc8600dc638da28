"""Sessions of browsers, and limits on what they may send.  Pure: times are given."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

MAX_SESSIONS = 64
IDLE_S = 12 * 3600.0
"""A shift and its overlap; the officer's own session ends with the shift."""
REMEMBERED_REQUESTS = 1024
MAX_ADDRESSES = 256
"""Addresses whose rates are remembered."""


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
    over: bool = False
    """True once it was forgotten: its stream must end."""

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
    """All browsers; the one unused for longest is forgotten when there are too many, those of strangers first."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, BrowserSession] = OrderedDict()
        self._forgotten: deque[BrowserSession] = deque(maxlen=MAX_SESSIONS)
        """What they have shown is to be reported."""

    def create(self, t_s: float) -> tuple[str, BrowserSession]:
        """A new session and its id, which goes into the cookie."""
        while len(self._by_id) >= MAX_SESSIONS:
            # Whoever loads the page again and again takes no officer's session away.
            strangers = (name for name, session in self._by_id.items() if session.officer is None)
            self._forget(next(strangers, next(iter(self._by_id))))
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
            self._forget(session_id)
            return None
        session.used_s = t_s
        self._by_id.move_to_end(session_id)
        return session

    def renew(self, session: BrowserSession) -> str | None:
        """Give a session another id, after a sign-on: whoever knew the old one has no part in it.

        None if it was forgotten.
        """
        old = next((name for name, other in self._by_id.items() if other is session), None)
        if old is None:
            return None
        new = secrets.token_urlsafe(32)
        self._by_id[new] = self._by_id.pop(old)
        return new

    def _forget(self, session_id: str) -> None:
        session = self._by_id.pop(session_id)
        session.sign_off()
        session.over = True
        self._forgotten.append(session)

    def to_report(self) -> list[BrowserSession]:
        """Browsers in which somebody has signed on, or that have shown something; also those just forgotten."""
        known = [session for session in self._by_id.values() if session.officer is not None or session.shown]
        forgotten = [session for session in self._forgotten if session.shown]
        self._forgotten.clear()
        self._forgotten.extend(forgotten)
        return known + forgotten

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

    @property
    def wait_s(self) -> float:
        """Seconds from the last :meth:`take` after which there is one again."""
        return max(0.0, (1 - self._left) / self.per_s)


class RateLimits:
    """A rate for each address: what one terminal sends takes nothing from another."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._by_address: OrderedDict[str, RateLimit] = OrderedDict()

    def of(self, address: str) -> RateLimit:
        """The limit of an address; of too many, the one unused for longest is forgotten."""
        limit = self._by_address.pop(address, None) or RateLimit(self._per_s, self._burst)
        self._by_address[address] = limit
        if len(self._by_address) > MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        return limit
