"""Commands about shifts: sign_on, sign_off, shift, activity, unlock."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agent.runtime.commands import Arguments, CommandRefusedError, Verb
from agent.runtime.duty_access import officer_of, refusals
from agent.shift.errors import ShiftError
from agent.shift.ports import OnDuty
from agent.shift.sign_on import Choices
from protocol.wire.codec import Text36
from protocol.wire.records.shift import MAX_CREW, MAX_EQUIPMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document
    from agent.runtime.shifts import Shifts
    from agent.shift.duty import SignedOn
    from agent.shift.pins import PinChecker
    from agent.shift.shifts import ShiftState
    from agent.shift.sign_on import Attempt
    from protocol.roster.roster import Roster

_NS_PER_S = 1_000_000_000
_FRESH_S, _MAX_AGE_S = 5.0, 600.0
_MAX_SPEED_MPS = 60.0
_ID_BYTES = 16
_MAX_TOKEN = 1024
_SIGN_ON_ERRORS = (
    "wrong", "wait", "locked", "no_roster", "roster_expired", "training_expired", "unknown_choice", "too_many",
    "token", "no_tokens",
)  # fmt: skip

Badge = Annotated[str, Field(min_length=1, max_length=32)]
Pin = Annotated[str, Field(max_length=64)]


class SignOn(Arguments):
    """Arguments of ``sign_on``."""

    badge: Annotated[str, Field(max_length=32)] = ""
    pin: Pin = ""
    token: Annotated[str, Field(max_length=_MAX_TOKEN)] = ""
    role: Text36 = ""
    crew: Annotated[tuple[Badge, ...], Field(max_length=MAX_CREW)] = ()
    vehicle: Text36 = ""
    zone: Text36 = ""
    checkpoint: Text36 = ""
    task: Text36 = ""
    equipment: Annotated[tuple[Text36, ...], Field(max_length=MAX_EQUIPMENT)] = ()


class Activity(Arguments):
    """Arguments of ``activity``."""

    kind: Text36


class Unlock(Arguments):
    """Arguments of ``unlock``."""

    badge: Badge
    supervisor: Annotated[str, Field(max_length=32)] = ""
    pin: Pin = ""


class ShiftVerbs:
    """The verbs; used by the command thread, which compares a PIN without holding the lock."""

    def __init__(
        self,
        shifts: Shifts,
        pins: PinChecker,
        on_pin: Callable[[str, str], None] = lambda _badge, _pin: None,
    ) -> None:
        """``on_pin`` is called with badge and PIN after a sign-on with a PIN, for what else it opens."""
        self._shifts = shifts
        self._pins = pins
        self._on_pin = on_pin

    def verbs(self) -> tuple[Verb, ...]:
        """The verbs."""
        signed_on = ("session", "badge", "name", "role", "rights", "shift_id", "resumed", "open_incidents")
        shift = ("shift", "roster")
        return (
            Verb("sign_on", SignOn, self.sign_on, signed_on, _SIGN_ON_ERRORS, signed_on=False),
            Verb("sign_off", Arguments, self.sign_off, ("hours", "worked_s"), ("incidents_open", "no_shift")),
            Verb("shift", Arguments, self.shift, shift, signed_on=False),
            Verb("activity", Activity, self.activity, ("activity", "hours"), ("unknown_choice", "no_shift")),
            Verb("unlock", Unlock, self.unlock, (), (*_SIGN_ON_ERRORS[:5], "not_allowed"), signed_on=False),
        )

    def sign_on(self, given: SignOn, _: Caller) -> Document:
        """Start or continue a shift."""
        choices = Choices(
            role=given.role,
            crew=given.crew,
            vehicle=given.vehicle,
            zone=given.zone,
            checkpoint=given.checkpoint,
            task=given.task,
            equipment=given.equipment,
        )
        try:
            with refusals():
                on, name, rights = self._signed_on(given, choices)
        except CommandRefusedError:
            self._shifts.noted(refused=True)
            raise
        self._shifts.noted(refused=False)
        if not given.token:
            self._on_pin(given.badge, given.pin)
        return {
            "session": on.session,
            "badge": on.shift.badge,
            "name": name,
            "role": on.shift.assignment.role,
            "rights": list(rights),
            "shift_id": on.shift.shift_id,
            "resumed": on.resumed,
            "open_incidents": list(on.open_incidents),
        }

    def _signed_on(self, given: SignOn, choices: Choices) -> tuple[SignedOn, str, list[str]]:
        if given.token:
            with self._shifts.locked() as (duty, now):
                on = duty.sign_on_by_token(given.token, choices, now)
        else:
            attempt, right = self._compared(given.badge, given.pin)
            with self._shifts.locked() as (duty, now):
                on = duty.sign_on(attempt, choices, now, right=right)
        with self._shifts.locked() as (duty, now):
            officer = duty.officer_of(on.session, now)
        return on, "" if officer is None else officer.name, [] if officer is None else sorted(officer.rights)

    def sign_off(self, _: Arguments, caller: Caller) -> Document:
        """End the shift."""
        with refusals(), self._shifts.locked() as (duty, now):
            ended = duty.sign_off(officer_of(caller).shift_id, now)
        return {"hours": dict(ended.hours.by_activity_s), "worked_s": ended.hours.worked_ns // _NS_PER_S}

    def shift(self, _: Arguments, caller: Caller) -> Document:
        """The caller's shift, and what can be chosen."""
        with self._shifts.locked() as (duty, now):
            shift = None
            if isinstance(caller.officer, OnDuty):
                shift = duty.journal.find(caller.officer.shift_id.hex())
            roster = duty.gate.roster
            expired = roster is not None and roster.has_expired(now.utc_s)
        return {
            "shift": None if shift is None else _shift_document(shift),
            "roster": None
            if roster is None
            else {"version": roster.version, "expired": expired, **_choices(roster.roster)},
        }

    def activity(self, given: Activity, caller: Caller) -> Document:
        """Go on with another activity."""
        with refusals(), self._shifts.locked() as (duty, now):
            shift = duty.switch_activity(officer_of(caller).shift_id, given.kind, now)
        return {"activity": shift.hours.activity, "hours": dict(shift.hours.by_activity_s)}

    def unlock(self, given: Unlock, caller: Caller) -> Document:
        """Lift a lockout."""
        with refusals():
            if given.supervisor:
                attempt, right = self._compared(given.supervisor, given.pin)
                with self._shifts.locked() as (duty, now):
                    duty.gate.unlock_by_pin(attempt, given.badge, now, right=right)
            elif isinstance(caller.officer, OnDuty):
                with self._shifts.locked() as (duty, now):
                    duty.gate.unlock(caller.officer, given.badge, now)
            else:
                raise ShiftError("not_allowed", "a supervisor must sign on, or give badge and PIN")
        return {}

    def _compared(self, badge: str, pin: str) -> tuple[Attempt, bool]:
        with self._shifts.locked() as (duty, now):
            attempt = duty.gate.begin(badge, now)
        return attempt, self._pins.is_right(pin, attempt.pin_hash)


def _shift_document(shift: ShiftState) -> Document:
    plan = shift.plan
    return {
        "shift_id": shift.shift_id,
        "badge": shift.badge,
        **asdict(shift.assignment),
        "activity": shift.hours.activity,
        "hours": shift.hours.by_activity_s,
        "planned_hours": None if plan is None else dict(plan.activities),
        "planned_s": None if plan is None else plan.planned_s,
        "worked_s": shift.hours.worked_ns // _NS_PER_S,
        "overtime_s": shift.overtime_s,
        "started_utc_us": shift.started_utc_us,
        "training": shift.training,
        "incidents": shift.incidents,
    }


def _choices(roster: Roster) -> Document:
    return {
        "roles": list(roster.roles),
        "vehicles": list(roster.vehicles),
        "zones": [{"id": zone.id, "name": zone.name} for zone in roster.zones],
        "checkpoints": [{"id": place.id, "name": place.name} for place in roster.checkpoints],
        "tasks": list(roster.tasks),
        "equipment": list(roster.equipment),
        "activities": list(roster.activities),
        "categories": list(roster.categories),
        "outcomes": list(roster.answers(roster.outcomes)),
        "contributions": list(roster.answers(roster.contributions)),
        "tokens": roster.token_key is not None,
    }
