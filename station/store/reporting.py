"""Counts for reports, summed by the database: no record is loaded.

Times are those of the records, by the station's dating; a record without a time is in no period.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, distinct, func, literal, or_, select

from protocol.wire.records.audit import RECORD_TYPE as AUDIT_TYPE
from protocol.wire.records.purge import RECORD_TYPE as PURGE_TYPE
from station.store.related import DISPOSITIONS, HITS, search_table
from station.store.tables import AUDIT, HERE, RECORDS, SEEN, UNDATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Subquery, Table

    from station.store.database import Database

AGES_H = (12, 24, 48, 168)
"""Limits of the ages of lists in hours; older ones, and unknown ages, are counted apart."""
_US_PER_H = 3_600_000_000
_AUDIT_ENTRIES = search_table(AUDIT_TYPE)
_PURGES = search_table(PURGE_TYPE)
_DECIDING = ("acknowledged", "confirmed", "rejected", "expired")
_LOOK_UPS = ("look_up", "watch_plate", "watched_plates", "view_hit")
"""Actions of officers on a unit by which they see plates."""


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since_us``, included, to ``until_us``, not included; UTC."""

    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class HitCount:
    """Hits that are alike."""

    list_id: str
    list_name: str
    list_owner: str
    rule: str
    state: str
    """As :attr:`station.query.hits.StoredHit.state`."""
    reason: str
    """Why they were rejected; empty for other states."""
    outcome: str
    age: str
    """``12`` for at most 12 hours ..., ``over`` or ``unknown``."""
    count: int


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Hits of one list, version and rule by state and reason."""

    list_id: str
    list_name: str
    list_owner: str
    version: int
    rule: str
    state: str
    reason: str
    count: int
    distinct: int
    """Different pairs of read text and listed text."""


@dataclass(frozen=True, slots=True)
class TextPair:
    """A read text, a listed text, and how often officers decided so about them."""

    text: str
    listed: str
    state: str
    count: int


class Reporting:
    """Part of the store."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def _all(self, statement: Any) -> Sequence[Any]:
        return self._db.all(statement)

    def reads(self, period: Period) -> dict[str, int]:
        """Return how many reads of the period are kept, by retention class."""
        made = RECORDS.c.utc_us
        statement = (
            select(RECORDS.c.retention, func.count())
            .where(RECORDS.c.schema == "read/1", HERE, made >= period.since_us, made < period.until_us)
            .group_by(RECORDS.c.retention)
        )
        return {retention or "": int(count) for retention, count in self._all(statement)}

    def undated_reads(self) -> int:
        """Return how many reads have no time yet."""
        # The first condition is that of the index.
        statement = select(func.count()).where(
            UNDATED, RECORDS.c.utc_us.is_(None), RECORDS.c.schema == "read/1", HERE
        )
        return int(self._all(statement)[0][0])

    def reads_by_day(self, period: Period) -> dict[int, int]:
        """Return how many reads of the period are kept, by day of the period, from 0."""
        made = RECORDS.c.utc_us
        day = ((made - period.since_us) // literal(24 * _US_PER_H)).label("day")
        statement = (
            select(day, func.count())
            .where(RECORDS.c.schema == "read/1", HERE, made >= period.since_us, made < period.until_us)
            .group_by(day)
        )
        return {int(number): int(count) for number, count in self._all(statement)}

    def hits(self, period: Period) -> list[HitCount]:
        """Return the hits of the period."""
        hits = _decided_hits(period)
        columns = [hits.c[name] for name in ("list_id", "list_name", "list_owner", "rule", "state")]
        columns += [hits.c.reason, hits.c.outcome, hits.c.age]
        statement = select(*columns, func.count()).group_by(*columns).order_by(*columns)
        return [HitCount(**_texts(row, columns), count=int(row[-1])) for row in self._all(statement)]

    def false_alarms(self, period: Period) -> list[FalseAlarms]:
        """Return the hits of the period by list, version and rule."""
        hits = _decided_hits(period)
        columns = [hits.c[name] for name in ("list_id", "list_name", "list_owner", "rule", "state", "reason")]
        version = hits.c.list_version
        # No text of a plate has a space.
        pair = hits.c.text + literal(" ") + hits.c.listed_text
        statement = (
            select(*columns, version, func.count(), func.count(distinct(pair)))
            .group_by(*columns, version)
            .order_by(*columns, version)
        )
        return [
            FalseAlarms(**_texts(row, columns), version=int(row[-3]), count=int(row[-2]), distinct=int(row[-1]))
            for row in self._all(statement)
        ]

    def text_pairs(self, period: Period) -> list[TextPair]:
        """Return texts of confirmed hits, and of those rejected as misread, whose read and listed texts differ."""
        hits = _decided_hits(period)
        columns = (hits.c.text, hits.c.listed_text, hits.c.state)
        decided = or_(hits.c.state == "confirmed", and_(hits.c.state == "rejected", hits.c.reason == "misread"))
        statement = (
            select(*columns, func.count()).where(decided, hits.c.text != hits.c.listed_text).group_by(*columns)
        )
        return [TextPair(text, listed, state, int(n)) for text, listed, state, n in self._all(statement)]

    def unit_purges(self, period: Period) -> list[tuple[str, int, int]]:
        """Return policy, reads and pictures that units deleted themselves in the period."""
        counted = (_PURGES.c.policy, _PURGES.c.reads, _PURGES.c.pictures)
        statement = (
            select(*counted, func.count())
            .select_from(_dated(_PURGES, PURGE_TYPE.schema))
            .where(*_within(period))
            .group_by(*counted)
        )
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        # Added here: a hostile unit's numbers have a sum that SQLite cannot compute.
        for policy, reads, pictures, count in self._all(statement):
            sums[policy][0] += int(reads) * int(count)
            sums[policy][1] += int(pictures) * int(count)
        return [(policy, reads, pictures) for policy, (reads, pictures) in sorted(sums.items())]

    def unit_look_ups(self, period: Period) -> list[tuple[str, str, int]]:
        """Return action, purpose and number of the look-ups on units."""
        entries = _AUDIT_ENTRIES
        statement = (
            select(entries.c.action, entries.c.purpose, func.count())
            .select_from(_dated(entries, AUDIT_TYPE.schema))
            .where(*_within(period), entries.c.action.in_(_LOOK_UPS))
            .group_by(entries.c.action, entries.c.purpose)
            .order_by(entries.c.action, entries.c.purpose)
        )
        return [(action, purpose or "", int(n)) for action, purpose, n in self._all(statement)]

    def trail(self, period: Period) -> list[tuple[str, str, int]]:
        """Return action, purpose and number of the entries of the audit trail."""
        statement = (
            select(AUDIT.c.what, AUDIT.c.purpose, func.count())
            .where(AUDIT.c.utc_us >= period.since_us, AUDIT.c.utc_us < period.until_us)
            .group_by(AUDIT.c.what, AUDIT.c.purpose)
            .order_by(AUDIT.c.what, AUDIT.c.purpose)
        )
        return [(what, purpose, int(n)) for what, purpose, n in self._all(statement)]

    def highest_numbers(self) -> list[tuple[str, bytes, int]]:
        """Return each life of each unit with its highest sequence number that was received."""
        series = (SEEN.c.unit, SEEN.c.life)
        statement = select(*series, func.max(SEEN.c.last)).group_by(*series).order_by(*series)
        return [(unit, bytes(life), int(last)) for unit, life, last in self._all(statement)]

    def offered_lists(self) -> list[tuple[int, str]]:
        """Return when hot lists were offered to units, and what the audit trail says of them."""
        statement = (
            select(AUDIT.c.utc_us, AUDIT.c.filter)
            .where(AUDIT.c.what.in_(("offer", "roll out")), AUDIT.c.filter.like("% list=%"))
            .order_by(AUDIT.c.utc_us)
        )
        return [(int(utc_us), text) for utc_us, text in self._all(statement)]


def _texts(row: Any, columns: Sequence[ColumnElement[str]]) -> dict[str, str]:
    """The values of columns that are texts, by their names; the database may have none."""
    return {column.key or "": value or "" for column, value in zip(columns, row, strict=False)}


def _dated(table: Table, schema: str) -> Any:
    """Records first: PostgreSQL locks tables in this order, and a purge locks the records before the search tables."""
    own = and_(
        RECORDS.c.unit == table.c.unit, RECORDS.c.record_id == table.c.record_id, RECORDS.c.schema == schema
    )
    return RECORDS.join(table, and_(own, HERE))


def _within(period: Period) -> tuple[ColumnElement[bool], ...]:
    return RECORDS.c.utc_us >= period.since_us, RECORDS.c.utc_us < period.until_us


def _decided_hits(period: Period) -> Subquery:
    """Each hit once, by its latest stage, with its state as :class:`station.query.hits.StoredHit` has it."""
    latest, decided, outcome = (
        _latest_stages(),
        _last(DISPOSITIONS.c.action.in_(_DECIDING)),
        _last(DISPOSITIONS.c.outcome != ""),
    )
    state = case(
        (decided.c.action != "acknowledged", decided.c.action),
        (latest.c.stage == "withdrawn", "withdrawn"),
        (decided.c.action.is_not(None), decided.c.action),
        else_="new",
    )
    age_us = latest.c.utc_us - latest.c.list_as_of_us
    age = case(
        (age_us.is_(None), "unknown"),
        *((age_us <= hours * _US_PER_H, str(hours)) for hours in AGES_H),
        else_="over",
    )
    return (
        select(
            *(latest.c[name] for name in ("list_id", "list_name", "list_owner", "list_version", "rule", "text")),
            latest.c.listed_text,
            state.label("state"),
            case((decided.c.action == "rejected", decided.c.reason), else_="").label("reason"),
            func.coalesce(outcome.c.outcome, "").label("outcome"),
            age.label("age"),
        )
        .select_from(
            latest.outerjoin(decided, _same_hit(latest, decided)).outerjoin(outcome, _same_hit(latest, outcome))
        )
        .where(latest.c.place == 1, latest.c.utc_us >= period.since_us, latest.c.utc_us < period.until_us)
        .subquery()
    )


def _latest_stages() -> Subquery:
    rank = case((HITS.c.stage == "withdrawn", 2), (HITS.c.stage == "final", 1), else_=0)
    place = func.row_number().over(
        partition_by=(HITS.c.unit, HITS.c.hit_id), order_by=(rank.desc(), RECORDS.c.seq.desc())
    )
    names = (
        "unit",
        "hit_id",
        "stage",
        "list_id",
        "list_name",
        "list_owner",
        "list_version",
        "list_as_of_us",
        "rule",
    )
    return (
        select(
            *(HITS.c[name] for name in names),
            HITS.c.text,
            HITS.c.listed_text,
            RECORDS.c.utc_us,
            place.label("place"),
        )
        .select_from(_dated(HITS, "hit/1"))
        .subquery()
    )


def _last(which: ColumnElement[bool]) -> Subquery:
    """The last disposition of each hit for which a condition holds."""
    place = func.row_number().over(
        partition_by=(DISPOSITIONS.c.unit, DISPOSITIONS.c.hit_id), order_by=RECORDS.c.seq.desc()
    )
    names = ("unit", "hit_id", "action", "reason", "outcome")
    every = (
        select(*(DISPOSITIONS.c[name] for name in names), place.label("place"))
        .select_from(_dated(DISPOSITIONS, "disposition/1"))
        .where(which)
        .subquery()
    )
    return select(every).where(every.c.place == 1).subquery()


def _same_hit(one: Subquery, other: Subquery) -> ColumnElement[bool]:
    return and_(one.c.unit == other.c.unit, one.c.hit_id == other.c.hit_id)
