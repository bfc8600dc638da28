"""What the policy in force says about hits: which lists may raise them, how old they may be, who may enter plates."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from agent.hits.errors import HitRefusedError
from agent.hotlist.records import Priority, Rule
from protocol.policy.pack import Partial

if TYPE_CHECKING:
    from agent.hotlist.records import Match
    from agent.policy.records import Shown

_US_PER_S = 1_000_000
_PATTERNS = frozenset({Rule.WILDCARD, Rule.PARTIAL})


@dataclass(frozen=True, slots=True)
class HitRules:
    """The rules at one place; without a policy everything but age is permitted."""

    max_age_s: float
    """An older list is stale."""
    stop_age_s: float | None = None
    """A list older than this raises no hits; None: any."""
    owners: tuple[str, ...] = ("*",)
    """Patterns of the owners whose lists may raise hits."""
    partial: Partial = Partial.ALWAYS
    """For which lists wildcards and partial plates may be used."""
    roles: tuple[str, ...] | None = None
    """Roles that may enter plates; None: any officer."""
    max_watch_h: float = 24.0
    """Hours for which an entered plate is watched for, at most."""
    recorded: bool = True
    """False where nothing may be recorded: no hit is raised."""
    shown: Shown | None = None
    """What pictures may show; None: everything."""
    keep_s: float | None = None
    """How long hits may be kept; None: no policy limits it."""
    policy: str = ""
    """Id and version of the policy; empty for none."""

    def permit(self, match: Match, utc_us: int | None) -> bool:
        """Return whether a match may raise a hit."""
        if not self.recorded:
            return False
        if match.rule is Rule.MANUAL:
            return True
        listed = match.list
        if not any(fnmatchcase(listed.owner, pattern) for pattern in self.owners):
            return False
        if match.rule in _PATTERNS and not self._permits_patterns(listed.priority):
            return False
        if self.stop_age_s is None or utc_us is None:
            return True
        return utc_us - listed.as_of_utc_us <= self.stop_age_s * _US_PER_S

    def _permits_patterns(self, priority: Priority) -> bool:
        if self.partial is Partial.HIGH_PRIORITY:
            return priority is Priority.HIGH
        return self.partial is Partial.ALWAYS

    def refuse_unless_may_enter(self, role: str) -> None:
        """Raises HitRefusedError for a role that may not enter plates."""
        if self.roles is not None and role not in self.roles:
            allowed = f"only: {', '.join(self.roles)}" if self.roles else "nobody here"
            raise HitRefusedError("not_permitted", f"the policy in force lets {allowed} enter plates")
