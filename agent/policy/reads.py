"""Applies the policies to the reads of a unit, and counts what they did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.policy.hashing import plate_hash
from agent.policy.position import where_of
from agent.policy.records import NON_HIT, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.policy.policies import Policies
    from agent.policy.records import Decision
    from agent.records import Geotag, TimeTag

_NS_PER_US = 1_000


@dataclass(slots=True)
class PolicyCounts:
    """Since the start of the process."""

    kept: int = 0
    """Reads that were kept in full."""
    hashed: int = 0
    """Reads of which a keyed hash was kept."""
    not_kept: int = 0
    """Reads of which the policy keeps nothing."""
    in_pause: int = 0
    """Reads that were not kept because of their place or time: made before the camera's frames were skipped."""
    no_hash_key: int = 0
    """Reads that were not kept because the key for their hash is missing."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """Decides about each read.  Used by the commit thread; the counts may be read by any."""

    policies: Callable[[], Policies]
    hash_key: bytes | None = None
    counts: PolicyCounts = field(default_factory=PolicyCounts)

    def decide(self, read_class: str, when: TimeTag, where: Geotag) -> Decision | None:
        """Return what is kept of a read; None if nothing is.  Every class but ``nonhit`` is that of a hit."""
        t_utc_us = None if when.utc_ns is None else when.utc_ns // _NS_PER_US
        decision = self.policies().decide(
            read_class, hit=read_class != NON_HIT, where=where_of(where), t_utc_us=t_utc_us
        )
        if decision.kept is Kept.FULL:
            self.counts.kept += 1
        elif decision.kept is Kept.HASH and self.hash_key is not None:
            self.counts.hashed += 1
        else:
            self._count_dropped(decision)
            return None
        return decision

    def _count_dropped(self, decision: Decision) -> None:
        if decision.pause is not None:
            self.counts.in_pause += 1
        elif decision.kept is Kept.HASH:
            self.counts.no_hash_key += 1
        else:
            self.counts.not_kept += 1

    def hash_of(self, text: str) -> bytes:
        """Return the keyed hash of a plate.  Raises ValueError without a key; ``decide`` keeps nothing then."""
        if self.hash_key is None:
            raise ValueError("there is no key for hashes of plates")
        return plate_hash(self.hash_key, text)
