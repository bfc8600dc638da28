"""Who asks the station, why, and what they may see."""

from __future__ import annotations

from dataclasses import dataclass

from station.errors import PurposeError

MAX_TEXT = 128
"""Characters of a purpose or case number."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an asker may see: None is everything."""

    agencies: frozenset[str] | None = None
    units: frozenset[str] | None = None
    zones: frozenset[str] | None = None
    """Ids of the zones outside of which nothing may be seen that has a place."""

    def has(self, agency: str, unit: str) -> bool:
        """True if a record of this agency and unit may be seen, if it was made in one of the zones."""
        in_agency = self.agencies is None or agency in self.agencies
        return in_agency and (self.units is None or unit in self.units)

    def meet(self, other: Scope) -> Scope:
        """What both have."""
        return Scope(
            _both(self.agencies, other.agencies), _both(self.units, other.units), _both(self.zones, other.zones)
        )

    def is_within(self, other: Scope) -> bool:
        """True if the other one has all that this one has."""
        parts = ((self.agencies, other.agencies), (self.units, other.units), (self.zones, other.zones))
        return all(_is_part(names, others) for names, others in parts)

    @property
    def is_all(self) -> bool:
        """True if nothing is left out."""
        return self == EVERYTHING


def _is_part(names: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return others is None or (names is not None and names <= others)


def _both(names: frozenset[str] | None, others: frozenset[str] | None) -> frozenset[str] | None:
    return others if names is None else names if others is None else names & others


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Asker:
    """One person, or a program that acts for one.  It is in each entry of the audit trail."""

    who: str
    purpose: str = ""
    """Why they look; needed for records about employees, and for every look-up if ``must_say_why``."""
    case_number: str = ""
    scope: Scope = EVERYTHING
    must_say_why: bool = False
    """True if no record is shown without purpose and case number."""

    def __post_init__(self) -> None:
        """Raises PurposeError for texts that are too long or cannot be printed."""
        for name, text in (("purpose", self.purpose), ("case number", self.case_number)):
            if len(text) > MAX_TEXT or not text.isprintable():
                raise PurposeError(f"the {name} cannot be recorded: use one line of up to {MAX_TEXT} characters")

    @property
    def has_purpose(self) -> bool:
        """True if they said why."""
        return bool(self.purpose.strip())

    @property
    def has_case(self) -> bool:
        """True if they gave a purpose and a case number."""
        return self.has_purpose and bool(self.case_number.strip())
