"""Rolls a signed file out to a group of units in stages, and says who has which version.

Which units come first follows from a hash of version and unit: a larger share always contains the smaller one, and the
same units are not first every time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UPDATE, UpdateReport
from protocol.wire.topics import check_unit, offer_topic
from station.errors import StoreError
from station.query.versions import fetched
from station.store import AuditRow, OfferedFile, Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from station.asker import Asker
    from station.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ALL = 100


@dataclass(frozen=True, slots=True)
class UnitVersion:
    """What one unit of a group was offered, and what it has."""

    unit: str
    offered: int
    """Version; 0 for none."""
    has: int | None
    """Version that it reported; None if it reported none."""


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A roll-out and its units."""

    rollout: Rollout
    units: tuple[UnitVersion, ...]

    @property
    def offered(self) -> int:
        """Number of units to which this version is offered."""
        return sum(unit.offered == self.rollout.release for unit in self.units)

    @property
    def has(self) -> int:
        """Number of units that reported this version or a later one."""
        return sum((unit.has or 0) >= self.rollout.release for unit in self.units)


def chosen(units: Iterable[str], kind: str, release: int, percent: int) -> list[str]:
    """Return the units that come first; at 100 all, above 0 at least one."""

    def rank(unit: str) -> bytes:
        return hashlib.sha256(f"{kind}/{release}/{unit}".encode()).digest()

    ordered = sorted(units, key=rank)
    return sorted(ordered[: -(-len(ordered) * percent // _ALL)])


class Rollouts:
    """Roll-outs of one operator.  Every method raises StoreError, and then nothing was changed."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    def groups(self) -> dict[str, list[str]]:
        """Return the units of each group that this person may see."""
        found = self._store.groups.all()
        return {name: units for name, members in found.items() if (units := self._seen(members))}

    def set_group(self, name: str, units: Sequence[str]) -> None:
        """Set the units of a group; none removes it.  Raises WireError for an invalid unit."""
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} is no name of a group: use up to 32 of a-z, 0-9 and -")
        for unit in units:
            check_unit(unit)
        before = self._store.groups.all().get(name, [])
        if not units and not before:
            raise StoreError(f"there is no group {name!r}: see `patrol-lpr station groups show`")
        self._refuse_others([*units, *before])
        with self._store.transaction():
            self._note("set group", f"group={name} units={len(set(units))}", len(set(units)))
            self._store.groups.replace(name, units)

    def start(
        self,
        kind: str,
        group: str,
        file: Path,
        *,
        release: int,
        percent: int,
        parts: Sequence[str] = (),
        told: str = "",
    ) -> int:
        """Offer a verified file to a share of a group; return the number of units.

        A version must be above the last one of its kind for the group.  ``told`` goes into the audit trail.  Raises
        WireError for an invalid kind.
        """
        members = self._members(group)
        offer_topic(members[0], kind)
        sha256, size_bytes = self._store.keep_file(file, kind)
        before = self._find(kind, group)
        if before is not None and (
            release < before.release or (release == before.release and sha256 != before.sha256)
        ):
            raise StoreError(
                f"version {before.release} was rolled out to {group} already: units refuse an older one. To go back, "
                "sign the older contents again with a higher version"
            )
        now_us = self._clock_us()
        started_us = before.started_us if before is not None and before.release == release else now_us
        made = Rollout(
            kind, group, release, sha256, size_bytes, tuple(parts), percent, started_us, now_us, self._asker.who
        )
        return self._offer(made, members, told)

    def advance(self, kind: str, group: str, percent: int) -> int:
        """Change the share of units; those that fall out lose their offer; return the number of units."""
        before = self._find(kind, group)
        if before is None:
            raise StoreError(f"nothing of kind {kind} is rolled out to {group}")
        if before.percent == 0:
            raise StoreError(f"{kind} version {before.release} was stopped: start it again with its file")
        return self._offer(replace(before, percent=percent, changed_us=self._clock_us()), self._members(group))

    def stop(self, kind: str, group: str) -> bool:
        """Withdraw the offers of a roll-out; units keep what they have; False if there is none."""
        before = self._find(kind, group)
        if before is None:
            return False
        self._offer(replace(before, percent=0, changed_us=self._clock_us()), self._members(group))
        return True

    def states(self) -> list[RolloutState]:
        """Return every roll-out with what its units were offered and have; recorded in the audit trail."""
        groups = self.groups()
        members = {unit for units in groups.values() for unit in units}
        known = self._store.told(members, self._asker.scope)
        offers = {(one.unit, one.file.kind): one.file.release for one in self._store.offers(members)}
        versions = {unit: {**fetched(told.health), **_running(told.report)} for unit, told in known.items()}
        found = []
        for rollout in self._store.groups.rollouts():
            kind = rollout.kind
            units = [
                UnitVersion(unit, offers.get((unit, kind), 0), versions.get(unit, {}).get(kind))
                for unit in groups.get(rollout.group, [])
            ]
            if units:
                found.append(RolloutState(rollout, tuple(units)))
        with self._store.transaction():
            self._note("show roll-outs", "", len(found))
        return found

    def _offer(self, rollout: Rollout, members: Sequence[str], told: str = "") -> int:
        first = chosen(members, rollout.kind, rollout.release, rollout.percent)
        file = OfferedFile(rollout.kind, rollout.release, rollout.sha256, rollout.size_bytes, rollout.parts)
        there = {one.unit: one.file for one in self._store.offers() if one.file.kind == rollout.kind}
        now_us = self._clock_us()
        asked = f"kind={rollout.kind} group={rollout.group} release={rollout.release} percent={rollout.percent}"
        with self._store.transaction():
            self._note("roll out", f"{asked} {told}".rstrip(), len(first))
            self._store.groups.keep(rollout)
            for unit in members:
                is_offered = unit in there and there[unit].release != 0 and there[unit].sha256 == rollout.sha256
                if unit in first and not is_offered:
                    self._store.offer(unit, file, now_us)
                elif unit not in first and is_offered:
                    self._store.withdraw(unit, rollout.kind)
        return len(first)

    def _members(self, group: str) -> list[str]:
        members = self._store.groups.all().get(group)
        if not members:
            raise StoreError(
                f"there is no group {group!r}: `patrol-lpr station groups set {group} UNIT...` makes it"
            )
        self._refuse_others(members)
        return members

    def _find(self, kind: str, group: str) -> Rollout | None:
        return next((one for one in self._store.groups.rollouts() if (one.kind, one.group) == (kind, group)), None)

    def _seen(self, units: Sequence[str]) -> list[str]:
        scope = self._asker.scope
        return list(units) if scope.is_all else [unit for unit in units if self._store.has_unit(unit, scope)]

    def _refuse_others(self, units: Sequence[str]) -> None:
        if len(self._seen(units)) < len(units):
            raise StoreError(
                "the group has units of another agency: only they, or an administrator, may change it"
            )

    def _note(self, what: str, asked: str, count: int) -> None:
        asker = self._asker
        entry = AuditRow(self._clock_us(), asker.who, what, asked, count, asker.purpose, asker.case_number)
        self._store.audit(entry)


def _running(report: bytes | None) -> dict[str, int]:
    """The release that a unit runs, by its own report; empty if it has sent none."""
    try:
        return {} if report is None else {UPDATE: decode(report, UpdateReport).running}
    except WireError:
        return {}
