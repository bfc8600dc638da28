"""Verbs about hits: acknowledge, decide, outcome, and plates to watch for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from agent.hits.errors import HitRefusedError
from agent.hits.machine import MAX_NAME, MAX_NOTE, Verification
from agent.hits.records import Actor, Checks
from agent.hits.watch import Entered, as_plate, clean
from agent.runtime.commands import Arguments, CommandRefusedError, HexId, Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.audit import Auditor
    from agent.hits.watch import Watched
    from agent.hotlist.records import Match
    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document, Json
    from agent.runtime.hits import HitRecord, HitService
    from agent.runtime.view_audit import ViewAudit

_STORED_S = 3.0
"""How long an answer waits for the disk."""
_MAX_MATCHES = 16
Code = Annotated[str, Field(max_length=32)]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class NoAuditor:
    """Writes nothing down."""

    def add(
        self, who: str, action: str, obj: str, *, purpose: str = "", case_number: str = "", outcome: str = "ok"
    ) -> None:
        """See :class:`~agent.audit.Auditor`."""


class HitArguments(Arguments):
    """Arguments of ``acknowledge``."""

    hit_id: HexId


class CheckArguments(Arguments):
    """What the officer compared: true for equal, false for different, null for not compared."""

    characters: bool | None
    region: bool | None
    vehicle: bool | None


class DisposeArguments(Arguments):
    """Arguments of ``dispose``."""

    hit_id: HexId
    decision: Literal["confirm", "reject"]
    checks: CheckArguments
    reason: Code = ""
    confirming_agency: Name = ""
    reference: Name = ""
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""


class OutcomeArguments(Arguments):
    """Arguments of ``outcome``."""

    hit_id: HexId
    code: Code


class WatchArguments(Arguments):
    """Arguments of ``watch_plate``."""

    text: Annotated[str, Field(max_length=32)]
    region: Annotated[str, Field(max_length=16)] = "?"
    reason: Annotated[str, Field(max_length=120)]
    hours: Annotated[float, Field(gt=0, le=1000, strict=False)] = 8.0


class EntryArguments(Arguments):
    """Arguments of ``unwatch_plate``."""

    entry_id: Annotated[str, Field(max_length=64)]


class NoArguments(Arguments):
    """No arguments."""


class HitVerbs:
    """The verbs; used by the command thread."""

    def __init__(
        self, service: HitService, auditor: Auditor | None = None, views: ViewAudit | None = None
    ) -> None:
        """Views are counted in ``views``; if omitted, each is an entry."""
        self._service = service
        self._auditor = auditor or NoAuditor()
        self._views = views

    def verbs(self) -> tuple[Verb, ...]:
        """The verbs."""
        return (
            Verb("acknowledge", HitArguments, self.acknowledge, ("stored",), ("unknown_hit",), signed_on=False),
            Verb(
                *("dispose", DisposeArguments, self.dispose, ("state", "stored")),
                ("unknown_hit", "already_decided", "not_verified", "bad_reason"),
            ),
            Verb(
                *("outcome", OutcomeArguments, self.outcome, ("stored",)),
                ("unknown_hit", "not_decided", "bad_outcome"),
            ),
            Verb(
                *("watch_plate", WatchArguments, self.watch_plate),
                ("entry_id", "text", "region", "expires_utc_us", "matches"),
                ("bad_plate", "bad_region", "no_reason", "bad_hours", "too_many", "not_permitted"),
            ),
            Verb("unwatch_plate", EntryArguments, self.unwatch_plate, (), ("unknown_entry",)),
            Verb("watched_plates", NoArguments, self.watched_plates, ("watched",)),
        )

    def acknowledge(self, arguments: HitArguments, caller: Caller) -> Document:
        """Note that a hit was seen."""
        hit_id = arguments.hit_id
        stored = self._decide(lambda: self._service.acknowledge(_id(hit_id), _actor(caller)))
        self._audit(caller, "acknowledge", hit_id)
        return {"stored": stored}

    def dispose(self, arguments: DisposeArguments, caller: Caller) -> Document:
        """Confirm or reject a hit."""
        checks = arguments.checks
        given = Verification(
            Checks(checks.characters, checks.region, checks.vehicle),
            arguments.reason,
            arguments.confirming_agency,
            arguments.reference,
            arguments.note,
        )
        act = self._service.confirm if arguments.decision == "confirm" else self._service.reject
        try:
            stored = self._decide(lambda: act(_id(arguments.hit_id), given, _actor(caller)))
        except CommandRefusedError as refusal:
            self._audit(caller, arguments.decision, arguments.hit_id, refusal.code)
            raise
        self._audit(caller, arguments.decision, arguments.hit_id)
        return {"state": "confirmed" if arguments.decision == "confirm" else "rejected", "stored": stored}

    def outcome(self, arguments: OutcomeArguments, caller: Caller) -> Document:
        """Record an outcome."""
        stored = self._decide(
            lambda: self._service.note_outcome(_id(arguments.hit_id), arguments.code, _actor(caller))
        )
        self._audit(caller, "outcome", arguments.hit_id)
        return {"stored": stored}

    def watch_plate(self, arguments: WatchArguments, caller: Caller) -> Document:
        """Check a typed plate against the lists, and watch for it."""
        rules = self._service.rules()
        try:
            rules.refuse_unless_may_enter(caller.role)
            told = Entered(arguments.text, arguments.region, arguments.reason, arguments.hours)
            entered = clean(told, rules.max_watch_h)
            new = self._service.watch(entered, _actor(caller))
        except HitRefusedError as error:
            self._audit(caller, "watch_plate", "", error.code)
            raise CommandRefusedError(error.code, str(error)) from error
        # Whoever audits must see what was looked up: the entry is a sealed record, and never in a log.
        self._audit(caller, "watch_plate", f"{new.entry_id} {new.text} {new.region}", purpose=new.reason)
        plate = as_plate(new.text, new.region)
        matches = () if plate is None else self._service.look_up(plate)
        listed = [match for match in matches if match.entry.entry_id != new.entry_id]
        return {**_watched_document(new), "matches": [_match_document(m) for m in listed[:_MAX_MATCHES]]}

    def unwatch_plate(self, arguments: EntryArguments, caller: Caller) -> Document:
        """Stop watching for a plate."""
        try:
            self._service.unwatch(arguments.entry_id)
        except HitRefusedError as error:
            raise CommandRefusedError(error.code, str(error)) from error
        self._audit(caller, "unwatch_plate", arguments.entry_id)
        return {}

    def watched_plates(self, _: NoArguments, caller: Caller) -> Document:
        """List the plates that officers watch for."""
        self._view(caller, "watched_plates")
        return {
            "watched": [
                {**_watched_document(entry), "reason": entry.reason, "officer": entry.officer}
                for entry in self._service.watched
            ]
        }

    @staticmethod
    def _decide(act: Callable[[], list[HitRecord]]) -> bool:
        """Return whether everything is on the disk; if not, it is kept in memory and written as soon as possible."""
        try:
            records = act()
        except HitRefusedError as error:
            raise CommandRefusedError(error.code, str(error)) from error
        return all(record.on_disk.wait(_STORED_S) for record in records)

    def _view(self, caller: Caller, action: str) -> None:
        if self._views is None:
            self._audit(caller, action, "")
        else:
            self._views.note(caller.badge, action)

    def _audit(self, caller: Caller, action: str, obj: str, outcome: str = "ok", *, purpose: str = "") -> None:
        self._auditor.add(caller.badge, action, obj, purpose=purpose, outcome=outcome)


def _id(text: str) -> bytes:
    return bytes.fromhex(text)


def _actor(caller: Caller) -> Actor:
    officer = caller.officer
    return Actor() if officer is None else Actor(officer.badge, officer.shift_id)


def _watched_document(entry: Watched) -> Document:
    return {
        "entry_id": entry.entry_id,
        "text": entry.text,
        "region": entry.region,
        "expires_utc_us": entry.expires_utc_us,
    }


def _match_document(match: Match) -> Json:
    listed, entry = match.list, match.entry
    return {
        "list_id": listed.list_id,
        "list_name": listed.name,
        "owner": listed.owner,
        "version": listed.version,
        "as_of_utc_us": listed.as_of_utc_us,
        "priority": listed.priority.value,
        "entry_id": entry.entry_id,
        "text": entry.text,
        "region": entry.region,
        "region_match": match.region_match.value,
        "rule": match.rule.value,
        "reason": entry.reason,
        "make": entry.make,
        "model": entry.model,
        "colour": entry.colour,
        "year": entry.year,
    }
