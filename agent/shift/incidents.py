"""Incidents: drafts that an officer saves as often as needed, closed with an outcome and what the reader contributed.

A draft is opened in a shift and belongs to its officer; after an automatic sign-off it stays, and is asked for at the
next sign-on.  ``none`` and ``unknown`` are answers; no answer is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.shift.errors import ShiftError

if TYPE_CHECKING:
    from protocol.roster.roster import Roster

MAX_DRAFTS = 32
"""Drafts on one unit."""
_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class IncidentText:
    """What an officer writes; texts are bounded by the caller, as on the wire."""

    where: str = ""
    category: str = ""
    case_number: str = ""
    notes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """Ids of reads, 32 hexadecimal digits."""
    hits: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """References to other systems; no names."""
    contribution: str = ""
    outcome: str = ""

    @property
    def answered(self) -> bool:
        """True if the two questions are answered."""
        return bool(self.contribution and self.outcome)


@dataclass(frozen=True, slots=True)
class IncidentDraft:
    """One incident that is not closed."""

    incident_id: str
    revision: int
    shift_id: str
    badge: str
    boot: str
    t_mono_ns: int
    utc_us: int | None
    time_source: str
    uncertainty_ms: float | None
    place: dict[str, int | str | None]
    """As on the wire."""
    saved_utc_us: int | None
    text: IncidentText


def check_text(text: IncidentText, roster: Roster | None, *, closing: bool) -> None:
    """Raise ShiftError for codes that the roster does not have, and when closing for missing answers."""
    if closing and not text.answered:
        missing = " and ".join(name for name in ("outcome", "contribution") if not getattr(text, name))
        raise ShiftError("unanswered", f"{missing}: choose an answer; `none` and `unknown` are answers")
    if roster is None:
        return
    for name, given, allowed in (
        ("category", text.category, ("", *roster.categories)),
        ("outcome", text.outcome, ("", *roster.answers(roster.outcomes))),
        ("contribution", text.contribution, ("", *roster.answers(roster.contributions))),
    ):
        if given not in allowed:
            raise ShiftError("unknown_choice", f"{name}: choose one of {', '.join(allowed[1:])}")


def saved(draft: IncidentDraft, text: IncidentText, utc_us: int | None) -> IncidentDraft:
    """Return the draft with another text."""
    return replace(draft, text=text, saved_utc_us=utc_us if utc_us is not None else draft.saved_utc_us)


def first_dated(draft: IncidentDraft, utc_us: int | None) -> IncidentDraft:
    """Return a draft that was saved before the time was known as saved now; any other as it is."""
    return replace(draft, saved_utc_us=utc_us) if draft.saved_utc_us is None and utc_us is not None else draft


def overdue(
    drafts: tuple[IncidentDraft, ...], utc_us: int | None, *, keep_days: float
) -> tuple[IncidentDraft, ...]:
    """Return drafts that nobody has touched for so long that the unit must give them away, unanswered."""
    if utc_us is None:
        return ()
    return tuple(
        draft
        for draft in drafts
        if draft.saved_utc_us is not None and utc_us - draft.saved_utc_us > keep_days * _US_PER_DAY
    )
