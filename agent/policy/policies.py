"""The policies of a unit: which one holds depends on the agency and on the position; in doubt the strictest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.policy.policy import Policy
from agent.policy.records import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.policy.records import Decision, Pause, Where
    from protocol.policy.pack import PolicyPack


class Policies:
    """All policies that are installed for an agency.  Immutable; any thread."""

    def __init__(self, packs: Iterable[PolicyPack], agency: str, strict: PolicyPack) -> None:
        """``strict`` holds where no other does."""
        found = sorted((Policy(pack) for pack in packs if pack.is_for(agency)), key=Policy.strictness)
        self._local = tuple(policy for policy in found if policy.has_areas)
        self._anywhere = tuple(policy for policy in found if not policy.has_areas)
        self._strict = Policy(strict)

    @property
    def names(self) -> tuple[str, ...]:
        """Id and version of all that may hold somewhere; that of the strict one if there is no other."""
        return tuple(policy.name for policy in (*self._anywhere, *self._local)) or (self._strict.name,)

    @property
    def is_signed(self) -> bool:
        """False if the strict default alone holds."""
        return bool(self._anywhere or self._local)

    @property
    def label(self) -> str:
        """The names in one text, for records."""
        first, *others = self.names
        return f"{first} and {len(others)} more" if others else first

    def at(self, where: Where) -> Policy:
        """Return the policy that holds at a position."""
        possible = [policy for policy in self._local if policy.may_hold(where)]
        if not any(policy.surely_holds(where) for policy in possible):
            # It may be outside of all areas as well.
            possible += self._anywhere or (self._strict,)
        return min(possible, key=Policy.strictness)

    def pause(self, where: Where, now_utc_us: int | None) -> Pause | None:
        """Return why nothing is recorded here and now, None if recording is allowed.

        Fences hold whatever policy is in force: their places do not move with borders.
        """
        holds = self.at(where)
        others = (policy for policy in (*self._anywhere, *self._local) if policy is not holds)
        fenced = (found for policy in others if (found := policy.fence_at(where)) is not None)
        return holds.recording_allowed(where, now_utc_us) or next(fenced, None)

    def decide(self, read_class: str, *, hit: bool, where: Where, t_utc_us: int | None) -> Decision:
        """Say what is kept of a read, by its own position and time."""
        decision = self.at(where).keep(read_class, hit=hit, t_utc_us=t_utc_us)
        pause = self.pause(where, t_utc_us)
        if pause is None:
            return decision
        return replace(decision, kept=Kept.NONE, why=str(pause), expires_utc_us=None, period_s=None, pause=pause)

    @property
    def shortest_s(self) -> int | None:
        """The shortest period of all policies: for records whose class and time are unknown."""
        return min((s for policy in self._all if (s := policy.shortest_s) is not None), default=None)

    @property
    def shortest_hit_s(self) -> int | None:
        """The shortest period of hits; None if no policy keeps any."""
        return min((s for policy in self._all if (s := policy.hit_s) is not None), default=None)

    @property
    def _all(self) -> tuple[Policy, ...]:
        return (*self._anywhere, *self._local) or (self._strict,)
