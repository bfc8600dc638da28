"""Who may sign on: PINs with their limits, tokens, and the lockouts that a supervisor lifts.

Comparing a PIN takes half a second and is left to the caller, between :meth:`Gate.begin` and what comes after it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.shift.errors import ShiftError
from agent.shift.sign_on import WRONG, Attempt, usable
from protocol.errors import TokenError
from protocol.roster.roster import Right
from protocol.roster.token import verify_token
from protocol.seal.keys import VerifyKey

if TYPE_CHECKING:
    from agent.shift.journal import Journal
    from agent.shift.moment import Moment
    from agent.shift.ports import OnDuty
    from protocol.roster.envelope import SignedRoster
    from protocol.roster.roster import Officer

_MAX_TOKENS = 1_000


class Gate:
    """Checks credentials against the roster; its counts are in the journal's state."""

    def __init__(self, journal: Journal, unit: str, roster: SignedRoster | None) -> None:
        self._journal = journal
        self._unit = unit
        self.roster = roster
        """The installed roster."""

    def begin(self, badge: str, now: Moment) -> Attempt:
        """Count an attempt, durably; raises ShiftError if it may not be made now."""
        officer = usable(self.roster, now).roster.officer(badge)
        pin_hash = None if officer is None else officer.pin
        attempts = self._journal.state.attempts
        if pin_hash is not None and attempts.of(badge, pin_hash).locked:
            self._journal.audit(badge, "sign on", badge, "locked")
            raise ShiftError("locked", "locked after too many attempts: a supervisor can lift this")
        if (wait_s := math.ceil(attempts.wait_s(badge, now.t_mono_ns))) > 0:
            raise ShiftError("wait", f"too many attempts: wait {wait_s} seconds", wait_s=wait_s)
        self._journal.change(attempts=attempts.begin(badge, pin_hash, now.t_mono_ns))
        self._journal.save(now)
        return Attempt(badge, pin_hash)

    def confirm(self, attempt: Attempt, now: Moment, *, right: bool) -> tuple[Officer, SignedRoster]:
        """Return the officer of an attempt whose PIN was compared; raises ShiftError if it is wrong."""
        roster = usable(self.roster, now)
        officer = roster.roster.officer(attempt.badge)
        # The roster may have been replaced while the PIN was compared.
        if not right or officer is None or officer.pin is None or officer.pin != attempt.pin_hash:
            # What was typed as a badge is only named if it is one: it may be a PIN.
            who = "?" if officer is None else attempt.badge
            self._journal.audit(who, "sign on", who, "refused")
            raise ShiftError("wrong", WRONG)
        self._journal.change(attempts=self._journal.state.attempts.succeed(attempt.badge))
        return officer, roster

    def confirm_token(self, text: str, now: Moment) -> tuple[Officer, SignedRoster]:
        """Return the officer of a signed token, which is accepted once; raises ShiftError."""
        roster = usable(self.roster, now)
        if roster.roster.token_key is None:
            raise ShiftError("no_tokens", "the roster has no token key: sign on with a PIN")
        key = VerifyKey.from_raw(bytes.fromhex(roster.roster.token_key))
        try:
            token = verify_token(text, key, unit=self._unit, now_s=now.utc_s)
        except TokenError as error:
            self._journal.audit("?", "sign on by token", "?", "refused")
            raise ShiftError("token", str(error)) from None
        officer = roster.roster.officer(token.badge)
        used = [item for item in self._journal.state.used_tokens if now.utc_s is None or item[1] > now.utc_s]
        if officer is None or token.nonce in dict(used) or len(used) >= _MAX_TOKENS:
            self._journal.audit(token.badge, "sign on by token", token.badge, "refused")
            raise ShiftError("token", "the token was used already, or is of nobody in the roster: make a new one")
        self._journal.change(used_tokens=(*used, (token.nonce, token.expires_s)))
        self._journal.save(now)
        return officer, roster

    def unlock(self, supervisor: OnDuty, badge: str, now: Moment) -> None:
        """Lift the lockout of a badge; raises ShiftError unless a supervisor asks."""
        self._unlock(supervisor.badge, badge, now, may=supervisor.may(Right.SUPERVISOR))

    def unlock_by_pin(self, attempt: Attempt, badge: str, now: Moment, *, right: bool) -> None:
        """As :meth:`unlock`, by a supervisor who is not signed on."""
        officer, _ = self.confirm(attempt, now, right=right)
        self._unlock(officer.badge, badge, now, may=Right.SUPERVISOR in officer.rights)

    def _unlock(self, who: str, badge: str, now: Moment, *, may: bool) -> None:
        self._journal.audit(who, "unlock", badge, "ok" if may else "refused")
        if may:
            self._journal.change(attempts=self._journal.state.attempts.unlock(badge))
        self._journal.save(now)
        if not may:
            raise ShiftError("not_allowed", "only a supervisor can lift a lockout")
