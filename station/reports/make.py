"""Makes a report: counts of a period, summed by the database, as lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.merkle.documents import PurgeCertificate, parse_document
from station.query.trail import Trail
from station.reports.lines import Line, ReportError, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from station.asker import Asker
    from station.store import Store
    from station.store.reporting import HitCount, Period

WRONG = ("misread", "other_region", "other_vehicle")
"""Reasons of a rejection that say that the plate or the vehicle is not the listed one."""
UNDECIDED = ("new", "acknowledged")
_LOOKING = ("show ", "search ", "export ")
_BEGINS = " begins"


@dataclass(frozen=True, slots=True)
class Report:
    """The lines, and of what they are made."""

    period: Period
    made_us: int
    lines: tuple[Line, ...]

    def table(self, name: str) -> list[Line]:
        """Return the lines of one table."""
        return [one for one in self.lines if one.table == name]


def make_report(
    store: Store,
    asker: Asker,
    clock_us: Callable[[], int],
    period: Period,
    tell: Callable[[float], None] = lambda _: None,
) -> Report:
    """Count; both the begin and the end are in the audit trail.  Raises ReportError for a limited asker.

    ``tell`` is told the share that is done, before each count; what it raises ends this.
    """
    if not asker.scope.is_all:
        raise ReportError(
            "a report counts the records of all agencies and units: ask with an account that may see them"
        )
    trail = Trail(store, asker, clock_us)
    asked = {"since_us": period.since_us, "until_us": period.until_us}
    size = trail.note("report begins", 0, **asked)
    lines = [
        line("period", "since_us", period.since_us),
        line("period", "until_us", period.until_us),
        # What came later is not in it: whoever counts again leaves it out.
        line("through", "entries", size, "log"),
    ]
    for number, count in enumerate(_COUNTS):
        tell(number / len(_COUNTS))
        lines += count(store, period)
    trail.note("report", len(lines), **asked)
    return Report(period, clock_us(), tuple(sorted(lines)))


def _highest_numbers(store: Store, _period: Period) -> Iterator[Line]:
    for unit, life, last in store.reporting.highest_numbers():
        yield line("through", "number", last, unit, life.hex())


def _reads(store: Store, period: Period) -> Iterator[Line]:
    counts = store.reporting
    for retention, count in counts.reads(period).items():
        yield line("reads", "kept", count, retention)
    yield line("reads", "without_a_time", counts.undated_reads())


def _hits(store: Store, period: Period) -> Iterable[Line]:
    return hit_lines(store.reporting.hits(period))


def hit_lines(counts: Iterable[HitCount]) -> list[Line]:
    """Return the lines about hits; empty ones are left out."""
    hits, reasons, outcomes, ages, owners = (Counter[tuple[str, ...]]() for _ in range(5))
    for one in counts:
        which = (one.list_id, one.list_name, one.list_owner)
        state = "undecided" if one.state in UNDECIDED else one.state
        hits[(*which, "hits")] += one.count
        hits[(*which, state)] += one.count
        owners[one.list_owner, "hits"] += one.count
        owners[one.list_owner, state] += one.count
        ages[one.list_id, one.age] += one.count
        if one.reason:
            reasons[one.list_id, one.list_name, one.reason] += one.count
        if one.reason in WRONG:
            hits[(*which, "wrong")] += one.count
            owners[one.list_owner, "wrong"] += one.count
        if one.outcome:
            outcomes[one.list_id, one.list_name, one.outcome] += one.count
    lines = [line("hits", keys[-1], count, *keys[:-1]) for keys, count in hits.items()]
    lines += [line("owners", keys[-1], count, *keys[:-1]) for keys, count in owners.items()]
    for table, found in (("ages", ages), ("reasons", reasons), ("outcomes", outcomes)):
        lines += [line(table, "hits", count, *keys) for keys, count in found.items()]
    return lines


def _purges(store: Store, period: Period) -> Iterator[Line]:
    classes, pictures = Counter[str](), 0
    for row in store.holds.purges():
        certificate = parse_document(row.certificate, PurgeCertificate)
        if period.since_us <= certificate.utc_us < period.until_us:
            pictures += certificate.pictures
            for one in certificate.classes:
                classes[one.retention] += one.records
    for retention, records in classes.items():
        yield line("purged", "records", records, retention)
    yield line("purged", "pictures", pictures)
    for policy, reads, unit_pictures in store.reporting.unit_purges(period):
        yield line("unit_purges", "reads", reads, policy)
        yield line("unit_purges", "pictures", unit_pictures, policy)


def _look_ups(store: Store, period: Period) -> Iterator[Line]:
    for what, purpose, count in store.reporting.trail(period):
        if what.startswith(_LOOKING) and not what.endswith(_BEGINS):
            yield line("look_ups", "entries", count, what, purpose)
    for action, purpose, count in store.reporting.unit_look_ups(period):
        yield line("unit_look_ups", "entries", count, action, purpose)


_COUNTS: tuple[Callable[[Store, Period], Iterable[Line]], ...] = (
    _highest_numbers,
    _reads,
    _hits,
    _purges,
    _look_ups,
)
