"""The policy's rules for hot lists and typed plates, applied where the unit uses them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from agent.hotlist.records import Priority, Rule
from agent.policy.records import Where
from agent.runtime.commands import CommandRefusedError
from protocol.policy.pack import Partial

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.hits.desk import Matching
    from agent.hotlist.records import ListInfo, Match
    from agent.policy.policies import Policies
    from agent.policy.policy import Policy
    from agent.records import PlateText
    from agent.runtime.commands import Officer
    from protocol.policy.pack import EntryRules, ListRules

_US_PER_HOUR = 3_600_000_000
_S_PER_HOUR = 3_600
_OF_PARTS = frozenset({Rule.WILDCARD, Rule.PARTIAL})


class RuledMatcher:
    """A matcher whose matches the policy allows."""

    def __init__(self, inner: Matching, policies: Callable[[], Policies] | None) -> None:
        self._inner = inner
        self._policies = policies

    def match(
        self,
        plate: PlateText,
        *,
        now_utc_us: int | None,
        lat_deg: float | None = None,
        lon_deg: float | None = None,
    ) -> tuple[Match, ...]:
        """Return the matches, best first, without those of lists that the policy does not allow.

        Plates that an officer typed are no list: who may type them is decided when they are.
        """
        found = self._inner.match(plate, now_utc_us=now_utc_us, lat_deg=lat_deg, lon_deg=lon_deg)
        if self._policies is None or not found:
            return found
        # A position without its bound: on a border the strictest policy would hold for the read as well.
        rules = self._policies().at(Where(lat_deg, lon_deg, 0.0 if lat_deg is not None else None)).lists
        return tuple(match for match in found if match.rule is Rule.MANUAL or _allows(rules, match, now_utc_us))

    @property
    def lists(self) -> tuple[ListInfo, ...]:
        """The lists in force."""
        return self._inner.lists


def _allows(rules: ListRules, match: Match, now_utc_us: int | None) -> bool:
    listed = match.list
    if not any(fnmatchcase(listed.owner, pattern) for pattern in rules.owners):
        return False
    if match.rule in _OF_PARTS and not _allows_parts(rules, listed.priority):
        return False
    # Without a time the age is unknown; the hit says so, as it is a lead that may be old.
    return now_utc_us is None or now_utc_us - listed.as_of_utc_us <= rules.stop_age_hours * _US_PER_HOUR


def _allows_parts(rules: ListRules, priority: Priority) -> bool:
    return rules.partial is Partial.ALWAYS or (
        rules.partial is Partial.HIGH_PRIORITY and priority is Priority.HIGH
    )


def strictest(policies: Callable[[], Policies] | None) -> Policy | None:
    """Return the policy that holds at an unknown place, for settings of the whole run; None if policies are off."""
    return None if policies is None else policies().at(Where())


def refuse_entry(rules: EntryRules | None, officer: Officer | None, hours: float) -> None:
    """Raise CommandRefusedError unless the policy lets this officer watch for a plate for so long."""
    if rules is None:
        return
    own = {getattr(officer, "role", ""), *getattr(officer, "rights", ())}
    if not own & set(rules.roles):
        allowed = ", ".join(rules.roles) or "nobody"
        raise CommandRefusedError("not_allowed", f"the policy lets {allowed} add plates: ask one of them")
    if rules.retain is not None and hours * _S_PER_HOUR > rules.retain.seconds:
        raise CommandRefusedError("bad_hours", f"the policy allows at most {rules.retain}: give fewer hours")
