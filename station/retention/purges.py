"""Purges: previewed, carried out with a certificate, and recorded in the audit log in one transaction."""

from __future__ import annotations

import datetime as dt
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from statistics import median
from typing import TYPE_CHECKING

from protocol.errors import DocumentError, WireError
from protocol.merkle.documents import (
    PurgeCertificate,
    PurgedClass,
    PurgedDay,
    Rule,
    document_hash,
    parse_document,
    ranges_text,
)
from protocol.wire.codec import decode
from protocol.wire.control.unit_state import Health
from station.errors import ScopeError, StoreError
from station.store.rows import AuditRow, PurgeResult, PurgeRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from station.asker import Asker
    from station.store import Purgeable, Store
    from station.store.rows import HealthRow, PurgedRange, PurgePlan

_US_PER_DAY = 86_400_000_000
_US_PER_HOUR = 3_600_000_000
_MAX_APART_US = _US_PER_DAY // 2
_ASKED = 200
"""Units whose clocks are compared with this machine's."""
_MAX_SILENCE_DAYS = 7
"""A station whose newest record is older may have a wrong clock."""
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class PurgePreview:
    """What a purge would delete."""

    classes: tuple[Purgeable, ...]
    clock_doubt: str
    """Why the clock may be wrong; empty if it agrees with the records."""

    @property
    def records(self) -> int:
        """Number of records of all classes."""
        return sum(row.records for row in self.classes)

    @property
    def held(self) -> int:
        """Number of records that are due and that holds keep."""
        return sum(row.held for row in self.classes)


@dataclass(frozen=True, slots=True)
class StoredPurge:
    """A purge that was carried out."""

    number: int
    certificate: PurgeCertificate
    sha256: bytes
    """Hash of the certificate, which the entry in the audit log has."""


def clock_doubt(now_us: int, store: Store) -> str:
    """Say why a clock may be wrong, as a wrong date would delete everything; empty if nothing speaks against it.

    It is compared with the newest record, and with the clocks of the units that were heard within the hour: records
    that come under a wrong clock have a time of receipt that agrees with it.  Those stay when the clock is right again,
    and do not count against it if the units agree with it.  Raises StoreError.
    """
    ahead_us = _ahead_of_units_us(now_us, store.latest_health(_ASKED))
    if ahead_us is not None and abs(ahead_us) > _MAX_APART_US:
        where = "ahead of" if ahead_us > 0 else "behind"
        return f"this machine's clock is {abs(ahead_us) / _US_PER_DAY:,.1f} days {where} those of the units"
    return _silence_doubt(now_us, store.newest_us(), is_confirmed=ahead_us is not None)


def _ahead_of_units_us(now_us: int, units: Iterable[HealthRow]) -> float | None:
    """None without a unit that knows the time.  A few units with a wrong clock do not matter."""
    ahead_us = []
    for row in units:
        if row.health is None or row.health_us is None or abs(now_us - row.health_us) > _US_PER_HOUR:
            continue
        with suppress(WireError):
            utc_us = decode(row.health, Health).utc_us
            if utc_us is not None:
                ahead_us.append(row.health_us - utc_us)
    return median(ahead_us) if ahead_us else None


def _silence_doubt(now_us: int, newest_us: int | None, *, is_confirmed: bool) -> str:
    if newest_us is None:
        return ""
    silent_us = now_us - newest_us
    if silent_us < -_US_PER_HOUR and not is_confirmed:
        return "this machine's clock is before the newest record"
    if silent_us > _MAX_SILENCE_DAYS * _US_PER_DAY:
        return f"by this machine's clock the newest record came {silent_us / _US_PER_DAY:,.0f} days ago"
    return ""


class Purger:
    """Purges of one operator, or of the station itself.  Every method raises StoreError, and then nothing changed."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    def preview(self, plan: PurgePlan) -> PurgePreview:
        """Return what would be deleted now and what holds keep of it, and whether the clock can be trusted."""
        classes = tuple(self._store.purgeable(plan))
        return PurgePreview(classes, clock_doubt(self._clock_us(), self._store))

    def run(self, plan: PurgePlan, reason: str, policies: Mapping[str, str] | None = None) -> PurgeResult:
        """Delete the records of a plan that no hold keeps, with their pictures, and certify it.

        ``policies`` are the signed ones that the plan is from, with the hashes of their contents.  On a disk that is
        nearly full it is done in parts, each with a certificate of its own.
        """
        parts = [self._run_part(part, reason, policies) for part in self._store.purge_steps(plan)]
        return reduce(_together, parts)

    def _run_part(self, plan: PurgePlan, reason: str, policies: Mapping[str, str] | None) -> PurgeResult:
        now_us = self._clock_us()
        with self._store.transaction():
            gone = self._store.purge(plan)
            holds = self._store.holds
            number = holds.next_purge()
            certificate = PurgeCertificate(
                number=number,
                utc_us=now_us,
                who=self._asker.who[:256],
                reason=reason,
                rules=tuple(Rule(retention=rule.retention, before_us=rule.before_us) for rule in plan.rules),
                expired_us=plan.expired_us,
                policies=dict(policies) if policies else None,
                classes=tuple(map(_class, gone.classes)),
                records=gone.records,
                pictures=gone.pictures,
                days=tuple(PurgedDay(day=_date(day), records=count) for day, count in gone.days),
                held=gone.held,
                holds=tuple(row.number for row in holds.holds() if row.release is None),
                ranges=ranges_hash(gone.ranges),
                by_life=True,
            ).encode()
            holds.add_purge(PurgeRow(number, certificate), gone.ranges)
            self._store.audit(
                AuditRow(
                    now_us,
                    self._asker.who,
                    "purge",
                    reason,
                    gone.records,
                    self._asker.purpose,
                    self._asker.case_number,
                    document_hash(certificate),
                )
            )
        # Deleted contents must not remain in the database's log.
        self._store.forget_freed()
        return gone

    def stored(self) -> list[StoredPurge]:
        """Return all purges, oldest first; recorded in the audit trail.

        Raises StoreError for an altered one, and ScopeError for an account that may see a part: they count the records
        of every agency.
        """
        self._refuse_unless_all()
        found = [stored_purge(row) for row in self._store.holds.purges()]
        with self._store.transaction():
            self._store.audit(
                AuditRow(
                    self._clock_us(), self._asker.who, "show purges", "", len(found), self._asker.purpose,
                    self._asker.case_number,
                )
            )  # fmt: skip
        return found

    def certificate(self, number: int) -> bytes | None:
        """Return the bytes of a certificate, None if there is none; recorded in the audit trail.

        Raises ScopeError as :meth:`stored`.
        """
        self._refuse_unless_all()
        found = next((row.certificate for row in self._store.holds.purges() if row.number == number), None)
        asker = self._asker
        row = AuditRow(
            self._clock_us(), asker.who, "show purge", f"purge={number}", int(found is not None), asker.purpose,
            asker.case_number,
        )  # fmt: skip
        with self._store.transaction():
            self._store.audit(row)
        return found

    def _refuse_unless_all(self) -> None:
        if not self._asker.scope.is_all:
            raise ScopeError("purges are of all agencies and units: they need an account that may see all of them")


def stored_purge(row: PurgeRow) -> StoredPurge:
    """Decode a certificate.  Raises StoreError."""
    try:
        certificate = parse_document(row.certificate, PurgeCertificate)
    except DocumentError as error:
        raise StoreError(f"the certificate of purge {row.number} was altered: {error}") from error
    return StoredPurge(row.number, certificate, document_hash(row.certificate))


def ranges_hash(ranges: Sequence[PurgedRange]) -> str:
    """Return the hash of deleted sequence numbers as a certificate has it."""
    return hashlib.sha256(
        ranges_text(((r.unit, r.life, r.first, r.last) for r in ranges), by_life=True)
    ).hexdigest()


def _class(found: Purgeable) -> PurgedClass:
    return PurgedClass(
        retention=found.retention, records=found.records, first_us=found.first_us, last_us=found.last_us
    )


def _date(day: int) -> str:
    return dt.date.fromordinal(_EPOCH_DAY + day).isoformat()


def _together(one: PurgeResult, other: PurgeResult) -> PurgeResult:
    return PurgeResult(
        one.records + other.records,
        one.pictures + other.pictures,
        one.classes + other.classes,
        one.ranges + other.ranges,
        one.days + other.days,
        other.held,
    )
