"""Commands about deployment: people, places, plan, rosters; each is recorded in the audit trail, in its transaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from protocol.roster.envelope import KIND, verify_roster
from protocol.signed_file import refuse_unless_newer
from protocol.wire.records.incident import ANSWERS
from station.commands import Commands
from station.deployment.conflicts import Planner, is_refused
from station.deployment.model import (
    Resources,
    check_asset,
    check_checkpoint,
    check_person,
    check_settings,
    with_class,
)
from station.deployment.roster import make_roster
from station.deployment.zones import MAX_ZONES, overlaps, zones_from_geojson
from station.errors import DeploymentError, PlanConflictError, PurposeError, ScopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from protocol.roster.envelope import SignedRoster
    from protocol.roster.roster import Roster
    from protocol.seal.keys import VerifyKey
    from station.deployment.conflicts import Conflict
    from station.deployment.model import Asset, Assignment, Checkpoint, Person, PlannedShift, Settings, Zone

_DAY_US = 86_400_000_000
_US_PER_S = 1_000_000


class Planning(Commands):
    """Commands of one operator.  Every method raises StoreError or DeploymentError, and then nothing was changed."""

    def put_people(self, people: Sequence[Person]) -> None:
        """Add people, or replace those with the same badge; without a PIN's hash the stored one stays.

        Raises PurposeError.
        """
        self._refuse_without_why()
        pins = {one.badge: one.pin for one in self._store.deployment.resources().people}
        kept = [replace(check_person(one), pin=one.pin or pins.get(one.badge)) for one in people]
        classes = self._store.deployment.settings().overtime_classes
        for one in kept:
            if one.overtime_class not in {"", *classes}:
                raise DeploymentError(
                    f"person {one.badge!r}: the overtime class {one.overtime_class!r} is unknown"
                )
        self._put(Resources(people=tuple(kept)), "people", [one.badge for one in kept])

    def put_zones(self, zones: Sequence[Zone]) -> list[tuple[str, str]]:
        """Add or replace zones; return the pairs that overlap, in which reads and minutes count twice."""
        known = {zone.id: zone for zone in self._store.deployment.resources().zones}
        known |= {zone.id: zone for zone in zones}
        if len(known) > MAX_ZONES:
            raise DeploymentError(f"{len(known)} zones are too many: units know at most {MAX_ZONES}")
        self._put(Resources(zones=tuple(zones)), "zones", [zone.id for zone in zones])
        return overlaps(known.values())

    def import_zones(self, geojson: str | bytes) -> tuple[list[Zone], list[tuple[str, str]]]:
        """Add the zones of a GeoJSON file, all or none; return them and the pairs that overlap."""
        zones = zones_from_geojson(geojson)
        return zones, self.put_zones(zones)

    def put_checkpoint(self, place: Checkpoint) -> None:
        """Add or replace a checkpoint."""
        self._put(Resources(checkpoints=(check_checkpoint(place),)), "checkpoint", [place.id])

    def put_asset(self, asset: Asset) -> None:
        """Add or replace a vehicle or equipment."""
        self._put(Resources(assets=(check_asset(asset),)), asset.kind, [asset.id])

    def drop(self, kind: str, name: str) -> bool:
        """Delete a person, zone, checkpoint, vehicle or equipment; False if there was none.

        Raises DeploymentError while a shift that has not ended needs it.
        """
        self._refuse_unless_all()
        now_us = self._clock_us()
        with self._store.transaction():
            users = [
                shift.id
                for shift in self._store.deployment.shifts(now_us, now_us + 3660 * _DAY_US)
                if name in _used(shift, kind)
            ]
            if users:
                raise DeploymentError(
                    f"the {kind} {name!r} is needed by the shift {users[0]}"
                    + (f" and {len(users) - 1} more" if len(users) > 1 else "")
                    + ": change or cancel it first"
                )
            self._note(f"delete {kind}", f"id={name}", 1, now_us)
            return self._store.deployment.drop_resource(kind, name)

    def put_settings(self, settings: Settings) -> None:
        """Replace the agency's settings."""
        self._refuse_unless_all()
        check_settings(settings)
        with self._store.transaction():
            self._store.deployment.put_settings(settings)
            self._note("set deployment", f"time_zone={settings.time_zone}", 0, self._clock_us())

    def change_settings(self, changed: dict[str, Any]) -> None:
        """Replace some of the agency's settings, by name."""
        self.put_settings(replace(self._store.deployment.settings(), **changed))

    def set_incident_answers(
        self, categories: Sequence[str], outcomes: Sequence[str], seen: str | None = None
    ) -> None:
        """Replace what an incident can be, and how it can end; ``none`` and ``unknown`` are always there.

        ``seen`` is :func:`answers_seen` of those that are to be replaced.  Raises PlanConflictError for others.
        """
        self._refuse_unless_all()
        before = self._store.deployment.settings()
        if seen is not None and seen != answers_seen(before):
            told = f"{', '.join(before.categories)}; outcomes {', '.join(before.outcomes) or 'none'}"
            raise PlanConflictError(f"somebody else changed them meanwhile: they are now {told}")
        own = tuple(dict.fromkeys(one for one in outcomes if one not in ANSWERS))
        settings = replace(before, categories=tuple(dict.fromkeys(categories)), outcomes=own)
        if not settings.categories:
            raise DeploymentError("give at least one category of incidents")
        check_settings(settings)
        told = f"categories={','.join(settings.categories)} outcomes={','.join(settings.outcomes)}"
        with self._store.transaction():
            self._store.deployment.put_settings(settings)
            self._note("set incident answers", told, len(settings.categories) + len(own), self._clock_us())

    def preview(self, shift: PlannedShift) -> list[Conflict]:
        """What would be wrong with a shift.  Raises PurposeError."""
        self._refuse_without_why()
        return self._conflicts([shift])[shift.id]

    def plan(self, shifts: Sequence[PlannedShift]) -> dict[str, list[Conflict]]:
        """Add or change shifts, all or none; return the warnings and notes of each.

        Each must name the version that it was made from, 0 for a new one.  Raises PlanConflictError for a shift that
        cannot be planned or was changed meanwhile, and PurposeError.
        """
        self._refuse_without_why()
        self._refuse_unless_all()
        with self._store.transaction():
            store = self._store.deployment
            resources, settings = store.resources(), store.settings()
            complete = [with_class(shift, resources, settings) for shift in shifts]
            self._refuse_outdated(complete)
            found = self._conflicts(complete)
            refused = [
                f"{name}: {one.text}" for name, list_ in found.items() for one in list_ if is_refused([one])
            ]
            if refused:
                more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""  # noqa: PLR2004 - as many as a person reads
                raise PlanConflictError(f"not planned: {'; '.join(refused[:5])}{more}")
            store.put_shifts([replace(shift, version=shift.version + 1) for shift in complete])
            names = ",".join(shift.id for shift in complete[:20])
            self._note("plan shifts", f"id={names}", len(complete), self._clock_us())
        return found

    def replan(self, shifts: Sequence[PlannedShift]) -> dict[str, list[Conflict]]:
        """As :meth:`plan`, in the place of whatever is stored of these shifts."""
        store = self._store.deployment
        stored = {one.id: found.version for one in shifts if (found := store.shift(one.id)) is not None}
        return self.plan([replace(one, version=stored.get(one.id, 0)) for one in shifts])

    def reassign(
        self, shift_id: str, assignment: Assignment, version: int | None = None
    ) -> dict[str, list[Conflict]]:
        """Give a shift another assignment from a moment on; later ones are replaced.  Raises as :meth:`plan`."""
        self._refuse_unless_all()
        shift = self._shift(shift_id)
        if version is not None and version != shift.version:
            raise PlanConflictError(_OUTDATED.format(shift_id))
        kept = tuple(one for one in shift.assignments if one.from_us < assignment.from_us)
        if not kept and assignment.from_us != shift.starts_us:
            raise DeploymentError(f"the shift {shift_id} begins later than the assignment")
        return self.plan([replace(shift, assignments=(*kept, assignment))])

    def cancel(self, shift_id: str, version: int | None = None) -> None:
        """Cancel a shift; it stays visible in the plan.  Raises PlanConflictError if it was changed meanwhile."""
        self._refuse_without_why()
        self._refuse_unless_all()
        with self._store.transaction():
            shift = self._shift(shift_id)
            if version is not None and version != shift.version:
                raise PlanConflictError(_OUTDATED.format(shift_id))
            self._store.deployment.put_shifts([replace(shift, cancelled=True, version=shift.version + 1)])
            self._note("cancel shift", f"id={shift_id}", 1, self._clock_us())

    def roster(self, since_us: int, until_us: int, *, token_key: str | None = None) -> tuple[Roster, int]:
        """Return the roster of the shifts that overlap with a time, not signed yet, and the version for it.

        Raises PurposeError: it has the hashes of PINs.
        """
        self._refuse_without_why()
        self._refuse_unless_all()
        store = self._store.deployment
        settings, now_us = store.settings(), self._clock_us()
        made = make_roster(
            store.resources(), settings, store.shifts(since_us, until_us), now_us, token_key=token_key
        )
        with self._store.transaction():
            self._note("export roster", f"since_us={since_us} until_us={until_us}", len(made.shifts), now_us)
        return made, settings.roster_version + 1

    def offer_roster(self, file: Path, keys: Iterable[VerifyKey], units: Sequence[str]) -> SignedRoster:
        """Verify a signed roster, and offer it to units.

        Raises SignedFileError for one that these keys did not sign, that has expired or is not newer than the last.
        """
        self._refuse_unless_all()
        with file.open("rb") as source:
            found = verify_roster(source, keys)
        settings, now_us = self._store.deployment.settings(), self._clock_us()
        for unit in units:
            refuse_unless_newer(
                found.header, unit=unit, in_force=settings.roster_version, now_s=now_us / _US_PER_S
            )
        for unit in units:
            self.offer_file(unit, KIND, file, release=found.version)
        with self._store.transaction():
            self._store.deployment.put_settings(replace(settings, roster_version=found.version))
            self._note("offer roster", f"version={found.version}", len(units), now_us)
        return found

    def purge_plans(self) -> int:
        """Delete plans, hours, coverage and incidents that are older than the agency keeps them; return how many."""
        settings, now_us = self._store.deployment.settings(), self._clock_us()
        with self._store.transaction():
            self._store.holds.refresh()
            gone = self._store.deployment.purge_plans(now_us - settings.keep_days * _DAY_US)
            self._note("purge plans", f"days={settings.keep_days}", gone, now_us)
        self._store.forget_freed()
        return gone

    def _put(self, resources: Resources, what: str, names: Sequence[str]) -> None:
        self._refuse_unless_all()
        with self._store.transaction():
            self._store.deployment.put_resources(resources)
            self._note(f"set {what}", f"id={','.join(names[:20])}", len(names), self._clock_us())

    def _conflicts(self, shifts: Sequence[PlannedShift]) -> dict[str, list[Conflict]]:
        """Of shifts beside each other and the stored plan."""
        store = self._store.deployment
        changed = {shift.id: shift for shift in shifts}
        first = min((shift.starts_us for shift in shifts), default=0)
        last = max((shift.ends_us for shift in shifts), default=0)
        stored = store.shifts(first - 8 * _DAY_US, last + 8 * _DAY_US)
        others = [shift for shift in stored if shift.id not in changed]
        planner = Planner(store.resources(), store.settings(), [*others, *shifts])
        return {shift.id: planner.conflicts(shift) for shift in shifts}

    def _refuse_outdated(self, shifts: Sequence[PlannedShift]) -> None:
        for shift in shifts:
            stored = self._store.deployment.shift(shift.id)
            if (0 if stored is None else stored.version) != shift.version:
                raise PlanConflictError(_OUTDATED.format(shift.id))

    def _shift(self, shift_id: str) -> PlannedShift:
        found = self._store.deployment.shift(shift_id)
        if found is None:
            raise DeploymentError(f"there is no planned shift {shift_id!r}")
        return found

    def _refuse_without_why(self) -> None:
        if not self._asker.has_purpose:
            raise PurposeError(
                "who is planned is data about employees: give a purpose, which is recorded in the audit trail"
            )

    def _refuse_unless_all(self) -> None:
        """People, places and the plan belong to no unit.  Who may see a part does not change them."""
        if not self._asker.scope.is_all:
            raise ScopeError(
                "the plan covers all agencies and units: it needs an account that may see all of them"
            )


def answers_seen(settings: Settings) -> str:
    """What stands for the categories and outcomes in a form, so that nobody replaces those they have not seen."""
    return hashlib.sha256(repr((settings.categories, settings.outcomes)).encode()).hexdigest()[:16]


_OUTDATED = "the shift {} was changed by somebody else meanwhile: look at it again"


def _used(shift: PlannedShift, kind: str) -> set[str]:
    """Names of a kind that a shift needs."""
    match kind:
        case "person":
            return {shift.badge}
        case "zone":
            return {part.zone for part in shift.assignments}
        case "checkpoint":
            return {part.checkpoint for part in shift.assignments}
        case "vehicle":
            return {part.vehicle for part in shift.assignments}
        case _:
            return {name for part in shift.assignments for name in part.equipment}
