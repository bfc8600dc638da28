"""Times by the clock on the wall in the agency's time zone; lengths are always real time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from station.errors import DeploymentError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

US_PER_S = 1_000_000
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MAX_YEAR = 9000


def to_us(moment: dt.datetime) -> int:
    """µs UTC of an aware time."""
    return (moment - _EPOCH) // _MICROSECOND


def local(utc_us: int, zone: ZoneInfo) -> dt.datetime:
    """The time by the clock.  Raises DeploymentError beyond the calendar."""
    try:
        return (_EPOCH + dt.timedelta(microseconds=utc_us)).astimezone(zone)
    except OverflowError:
        raise DeploymentError(f"{utc_us} µs is beyond the calendar") from None


def parse_time(text: str, zone: ZoneInfo) -> int:
    """µs UTC of a time by the clock such as ``2027-03-14 06:00``, or with its distance from UTC.

    Raises DeploymentError for a time that does not exist or happens twice because the clocks change.
    """
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise DeploymentError(
            f"{text[:40]!r} is no time: write it as 2027-03-14 06:00, or with its distance from UTC, as "
            "2027-03-14T06:00-05:00"
        ) from None
    if not dt.MINYEAR + 1 < found.year < _MAX_YEAR:
        raise DeploymentError(f"{text[:40]!r}: the year {found.year} cannot be planned")
    if found.tzinfo is not None:
        return to_us(found)
    early, late = found.replace(tzinfo=zone, fold=0), found.replace(tzinfo=zone, fold=1)
    if early.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != found:
        raise DeploymentError(f"{text.strip()} does not exist in {zone}: the clocks go forward over it")
    if early.utcoffset() != late.utcoffset():
        raise DeploymentError(
            f"{text.strip()} happens twice in {zone}, because the clocks go back: write "
            f"{early.isoformat(timespec='minutes')} or {late.isoformat(timespec='minutes')}"
        )
    return to_us(early)


def day_start_us(day: dt.date, zone: ZoneInfo) -> int:
    """µs UTC of the first moment of a day; in some zones it is not midnight on one day of the year."""
    return to_us(dt.datetime.combine(day, dt.time(), zone))


def training_over_us(until: dt.date, zone: ZoneInfo) -> int:
    """The end of the last day on which a training is valid."""
    return day_start_us(until + dt.timedelta(days=1), zone)


def day_of(utc_us: int, zone: ZoneInfo) -> dt.date:
    """The day by the clock."""
    return local(utc_us, zone).date()


def week_of(day: dt.date) -> dt.date:
    """The Monday of a day's week."""
    return day - dt.timedelta(days=day.weekday())


def days_us(first: dt.date, count: int, zone: ZoneInfo) -> tuple[int, int]:
    """Begin and end of some days; they are not always 24 hours long."""
    return day_start_us(first, zone), day_start_us(first + dt.timedelta(days=count), zone)


def parse_day(text: str) -> dt.date:
    """A day such as ``2027-03-14``.  Raises DeploymentError."""
    try:
        found = dt.date.fromisoformat(text.strip())
    except ValueError:
        raise DeploymentError(f"{text[:40]!r} is no day: write it as 2027-03-14") from None
    if not dt.MINYEAR + 1 < found.year < _MAX_YEAR:
        raise DeploymentError(f"{text[:40]!r}: the year {found.year} cannot be planned")
    return found


def shown(utc_us: int | None, zone: ZoneInfo) -> str:
    """A time for people, with the distance from UTC: ``2027-03-14 06:00 -05:00``; ``-`` for none."""
    if utc_us is None:
        return "-"
    moment = local(utc_us, zone)
    return f"{moment:%Y-%m-%d %H:%M} {moment.isoformat()[-6:]}"


def typed(utc_us: int, zone: ZoneInfo) -> str:
    """A time as a person would type it: with its distance from UTC only if it happens twice."""
    moment = local(utc_us, zone)
    plain = f"{moment:%Y-%m-%d %H:%M}"
    is_once = moment.replace(fold=0).utcoffset() == moment.replace(fold=1).utcoffset()
    return plain if is_once else moment.isoformat(timespec="minutes")


def clock_s(starts_us: int, ends_us: int, zone: ZoneInfo) -> int:
    """Seconds between two times as the clock shows them, which is not how long it takes when the clocks change."""
    first, last = local(starts_us, zone).replace(tzinfo=None), local(ends_us, zone).replace(tzinfo=None)
    return round((last - first).total_seconds())
