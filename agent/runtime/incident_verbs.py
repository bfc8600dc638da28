"""Commands about incidents: incident_save, incident_close, incidents."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agent.geotag.units import place_of
from agent.runtime.commands import Arguments, HexId, Verb
from agent.runtime.duty_access import officer_of, refusals
from agent.runtime.whereabouts import here
from agent.shift.errors import ShiftError
from agent.shift.incidents import MAX_DRAFTS, IncidentDraft, IncidentText, check_text, saved
from agent.shift.moment import Moment
from protocol.wire.codec import Text16, Text36, Text64, Text128, Text256
from protocol.wire.records.incident import MAX_LINKS, MAX_NOTES, MAX_PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.hits.records import Hit
    from agent.records import Fix, Geotag
    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document
    from agent.runtime.shifts import Shifts
    from agent.runtime.view_audit import ViewAudit
    from agent.shift.duty import Duty
    from agent.shift.ports import OnDuty
    from protocol.roster.roster import Roster

_ID_BYTES = 16


class IncidentSave(Arguments):
    """Arguments of ``incident_save``."""

    incident_id: HexId | None = None
    where: Text128 = ""
    category: Text36 = ""
    case_number: Text64 = ""
    notes: Annotated[tuple[Text256, ...], Field(max_length=MAX_NOTES)] = ()
    reads: Annotated[tuple[HexId, ...], Field(max_length=MAX_LINKS)] = ()
    hits: Annotated[tuple[HexId, ...], Field(max_length=MAX_LINKS)] = ()
    people: Annotated[tuple[Text64, ...], Field(max_length=MAX_PEOPLE)] = ()
    contribution: Text16 = ""
    outcome: Text16 = ""

    def text(self) -> IncidentText:
        """For the draft."""
        return IncidentText(**self.model_dump(exclude={"incident_id"}))


class IncidentClose(Arguments):
    """Arguments of ``incident_close``."""

    incident_id: HexId
    contribution: Text16
    outcome: Text16


class IncidentVerbs:
    """The verbs; used by the command thread."""

    def __init__(
        self,
        shifts: Shifts,
        random_bytes: Callable[[int], bytes],
        last_fix: Callable[[], Fix | None],
        *,
        hit_of: Callable[[bytes], Hit | None] = lambda _: None,
        views: ViewAudit | None = None,
    ) -> None:
        """``hit_of`` finds the hit that an incident is opened from; views and drafts are counted in ``views``."""
        self._shifts = shifts
        self._random_bytes = random_bytes
        self._last_fix = last_fix
        self._hit_of = hit_of
        self._views = views

    def verbs(self) -> tuple[Verb, ...]:
        """The verbs."""
        return (
            Verb(
                *("incident_save", IncidentSave, self.incident_save, ("incident_id",)),
                errors=("unknown_choice", "no_incident", "too_many_incidents"),
            ),
            Verb(
                *("incident_close", IncidentClose, self.incident_close, ("incident_id",)),
                errors=("unknown_choice", "unanswered", "no_incident"),
            ),
            Verb("incidents", Arguments, self.incidents, ("incidents",)),
        )

    def incident_save(self, given: IncidentSave, caller: Caller) -> Document:
        """Save a draft; without an id, open one: at time and place of its first hit, otherwise here and now."""
        with refusals(), self._shifts.locked() as (duty, now):
            text = given.text()
            check_text(text, _roster(duty), closing=False)
            officer = officer_of(caller)
            if given.incident_id is not None:
                draft = saved(_own_draft(duty, officer, given.incident_id), text, now.utc_us)
            elif len(duty.state.drafts) >= MAX_DRAFTS:
                raise ShiftError("too_many_incidents", f"{MAX_DRAFTS} incidents are open: close some first")
            else:
                draft = self._new_draft(officer, text, now)
            duty.put_draft(draft, now)
        if given.incident_id is not None:
            self._note(officer, "save incident", draft.incident_id)
        return {"incident_id": draft.incident_id}

    def incident_close(self, given: IncidentClose, caller: Caller) -> Document:
        """Close an incident with its two answers."""
        with refusals(), self._shifts.locked() as (duty, now):
            draft = _own_draft(duty, officer_of(caller), given.incident_id)
            text = replace(draft.text, contribution=given.contribution, outcome=given.outcome)
            check_text(text, _roster(duty), closing=True)
            duty.close_draft(saved(draft, text, now.utc_us), now)
        return {"incident_id": draft.incident_id}

    def incidents(self, _: Arguments, caller: Caller) -> Document:
        """The caller's open incidents."""
        officer = officer_of(caller)
        with self._shifts.locked() as (duty, _now):
            drafts = duty.drafts_of(officer.badge)
        if drafts:
            self._note(officer, "view incidents")
        return {
            "incidents": [
                {"incident_id": draft.incident_id, "utc_us": draft.utc_us, **asdict(draft.text)}
                for draft in drafts
            ]
        }

    def _note(self, officer: OnDuty, action: str, obj: str = "") -> None:
        if self._views is not None:
            self._views.note(officer.badge, action, obj)

    def _new_draft(self, officer: OnDuty, text: IncidentText, now: Moment) -> IncidentDraft:
        then, where = self._scene(text, now)
        return IncidentDraft(
            incident_id=self._random_bytes(_ID_BYTES).hex(),
            revision=0,
            shift_id=officer.shift_id.hex(),
            badge=officer.badge,
            boot=then.boot,
            t_mono_ns=then.t_mono_ns,
            utc_us=then.utc_us,
            time_source=then.tag.source.value,
            uncertainty_ms=then.tag.uncertainty_ms,
            place=place_of(where).model_dump(by_alias=True, mode="json"),
            saved_utc_us=now.utc_us,
            text=text,
        )

    def _scene(self, text: IncidentText, now: Moment) -> tuple[Moment, Geotag]:
        """Time and place of the first hit that the unit knows them of; without one, here and now."""
        for hit_id in text.hits:
            hit = self._hit_of(bytes.fromhex(hit_id))
            if hit is not None and hit.when is not None and hit.where is not None:
                return Moment(hit.t_mono_ns, hit.boot_id or now.boot_id, hit.when), hit.where
        return now, here(self._last_fix(), now.t_mono_ns)


def _roster(duty: Duty) -> Roster | None:
    return None if duty.gate.roster is None else duty.gate.roster.roster


def _own_draft(duty: Duty, officer: OnDuty, incident_id: str) -> IncidentDraft:
    for draft in duty.drafts_of(officer.badge):
        if draft.incident_id == incident_id:
            return draft
    raise ShiftError("no_incident", "no open incident of yours has this id: see `incidents`")
