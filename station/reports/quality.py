"""Alarm quality: false alarms that were expected when a list was imported, and those that officers saw.

Expected: the reads of each day times the rate of the list's version in force (the alarm budget, docs/hotlists.md).
Observed, at least: hits rejected because plate, state or vehicle is another one, and hits withdrawn by the final text;
at most: with those that nobody decided.  A car that passes every day is one cause: for the question whether there are
more than expected, equal pairs of texts count once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.query.trail import Trail
from station.reports.lines import ReportError
from station.reports.make import WRONG
from station.reports.poisson import at_least, at_most, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from station.asker import Asker
    from station.lists.inspect import Contents
    from station.store import Store
    from station.store.reporting import FalseAlarms, Period, TextPair

RULES = {"exact": "exact", "approximate": "approximate", "wildcard": "patterns", "partial": "patterns"}
"""Rules of hits, and the rules of a list that raise them; an officer's own entries have no budget."""
LEVEL = 0.05
"""Chance that one line or more parts by chance, over all lines and both directions (Bonferroni)."""
_DAY_US = 86_400_000_000
_MILLION = 1_000_000
_OTHER_LENGTH = "other length"


@dataclass(frozen=True, slots=True)
class ListFigures:
    """What was computed when a version of a list was imported."""

    list_id: str
    version: int
    since_us: int
    """When it was offered to units, or the time of its data."""
    alarms_per_million: Mapping[str, int]
    """By rule of the list; none for one that is off."""


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """One list and rule."""

    list_id: str
    list_name: str
    list_owner: str
    rule: str
    hits: int
    confirmed: int
    false: int
    """Rejected as another plate, state or vehicle, or withdrawn."""
    distinct_false: int
    """The same, equal pairs of texts once."""
    open: int
    """Not decided, or rejected for another reason."""
    expected: float | None
    """Expected false alarms; None without figures of the list."""
    low: float
    """Exact 95 % interval of the mean: from the false ones alone."""
    high: float
    """The same: to the false and open ones together."""
    chance: float
    """Probability of a difference like this or larger, if the figures are right."""
    verdict: str
    """``more``, ``fewer``, ``agrees`` or ``unknown`` (no figures, or no reads)."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """A character that was read, and the one that the list has in its place."""

    read: str
    listed: str
    confirmed: int
    """Hits that were confirmed: the reader was wrong."""
    rejected: int
    """Hits that were rejected as misread: the list's text is not on the plate."""


@dataclass(frozen=True, slots=True)
class AlarmQuality:
    """The whole."""

    period: Period
    cars: int
    """Reads from which the expected numbers are computed."""
    lines: tuple[AlarmLine, ...]
    confusions: tuple[Confusion, ...]

    @property
    def warnings(self) -> list[AlarmLine]:
        """Lines that part from what was expected."""
        return [line for line in self.lines if line.verdict in {"more", "fewer"}]


def figures_of(contents: Contents) -> ListFigures:
    """Return the figures of a verified package; its time is that of its data."""
    rates = {line.rule: round(line.alarms_per_1000 * 1000) for line in contents.rules if line.enabled}
    return ListFigures(contents.settings.list_id, contents.version, contents.as_of_utc_us, rates)


def figures_text(figures: ListFigures) -> str:
    """Return the figures for the audit trail, as pairs."""
    rates = " ".join(f"{rule}={rate}" for rule, rate in sorted(figures.alarms_per_million.items()))
    return f"list={figures.list_id} version={figures.version} {rates}".rstrip()


def offered_figures(offers: Iterable[tuple[int, str]]) -> list[ListFigures]:
    """Return the figures that the audit trail has of offered lists; ``offers`` are times and what was offered."""
    found = []
    for utc_us, text in offers:
        told = dict(pair.split("=", 1) for pair in text.split() if "=" in pair)
        version = told.get("version", "")
        if "list" in told and version.isdecimal():
            rates = {rule: int(told[rule]) for rule in set(RULES.values()) if told.get(rule, "").isdecimal()}
            found.append(ListFigures(told["list"], int(version), utc_us, rates))
    return found


def make_quality(
    store: Store,
    asker: Asker,
    clock_us: Callable[[], int],
    period: Period,
    *,
    more_figures: Sequence[ListFigures] = (),
    cars: int | None = None,
    tell: Callable[[float], None] = lambda _: None,
) -> AlarmQuality:
    """Compare; recorded in the audit trail.  ``cars`` replaces the number of reads that the station still has.

    ``tell`` is told the share that is done, before each count; what it raises ends this.
    """
    if not asker.scope.is_all:
        raise ReportError("this counts the hits of all agencies and units: ask with an account that may see them")
    trail = Trail(store, asker, clock_us)
    trail.note("alarm quality begins", 0, since_us=period.since_us, until_us=period.until_us)
    counts = store.reporting
    tell(0.0)
    figures = [*offered_figures(counts.offered_lists()), *more_figures]
    tell(0.1)
    alarms = counts.false_alarms(period)
    tell(0.4)
    pairs = counts.text_pairs(period)
    tell(0.7)
    quality = compare(period, alarms, pairs, figures, counts.reads_by_day(period), cars=cars)
    trail.note("alarm quality", len(quality.lines), since_us=period.since_us, until_us=period.until_us)
    return quality


def compare(
    period: Period,
    alarms: Iterable[FalseAlarms],
    pairs: Iterable[TextPair],
    figures: Sequence[ListFigures],
    reads_by_day: Mapping[int, int],
    *,
    cars: int | None = None,
) -> AlarmQuality:
    """Compare what was expected with what was observed."""
    reads = sum(reads_by_day.values())
    by_day = _scaled(reads_by_day, reads, cars, period)
    groups: dict[tuple[str, str], list[FalseAlarms]] = defaultdict(list)
    for one in alarms:
        if one.rule in RULES:
            groups[one.list_id, RULES[one.rule]].append(one)
    # A list that raised nothing is compared, too: fewer alarms than expected are a finding.
    for told in figures:
        for rule in told.alarms_per_million:
            groups.setdefault((told.list_id, rule), [])
    level = LEVEL / max(1, 2 * len(groups))
    lines = []
    for (list_id, rule), found in sorted(groups.items()):
        expected = _expected(period, [one for one in figures if one.list_id == list_id], rule, by_day)
        lines.append(_line(list_id, rule, found, expected, level))
    return AlarmQuality(period, round(sum(by_day.values())), tuple(lines), tuple(_confusions(pairs)))


def _scaled(by_day: Mapping[int, int], reads: int, cars: int | None, period: Period) -> dict[int, float]:
    """Return cars by day: as the reads are distributed, or evenly if there are none."""
    if cars is None:
        return {day: float(count) for day, count in by_day.items()}
    if reads:
        return {day: count * cars / reads for day, count in by_day.items()}
    days = max(1, (period.until_us - period.since_us) // _DAY_US)
    return dict.fromkeys(range(days), cars / days)


def _expected(period: Period, figures: list[ListFigures], rule: str, by_day: Mapping[int, float]) -> float | None:
    """Return the sum over the days, each by the version in force at its end; before the first one there was no list."""
    known = sorted((one for one in figures), key=lambda one: (one.since_us, one.version))
    if not known or not sum(by_day.values()):
        return None
    total = 0.0
    for day, cars in by_day.items():
        end_us = period.since_us + (day + 1) * _DAY_US
        in_force = [one for one in known if one.since_us < end_us]
        if in_force:
            total += cars * in_force[-1].alarms_per_million.get(rule, 0) / _MILLION
    return total


def _line(list_id: str, rule: str, found: list[FalseAlarms], expected: float | None, level: float) -> AlarmLine:
    wrong = [one for one in found if one.state == "withdrawn" or one.reason in WRONG]
    false, distinct = sum(one.count for one in wrong), sum(one.distinct for one in wrong)
    hits, confirmed = (
        sum(one.count for one in found),
        sum(one.count for one in found if one.state == "confirmed"),
    )
    still_open = hits - confirmed - false
    verdict, chance = "unknown", 1.0
    if expected is not None:
        more, fewer = at_least(distinct, expected), at_most(false + still_open, expected)
        chance = min(1.0, 2 * min(more, fewer))
        verdict = "more" if more < level else "fewer" if fewer < level else "agrees"
    latest = max(found, key=lambda one: one.version, default=None)
    return AlarmLine(
        list_id=list_id,
        list_name="" if latest is None else latest.list_name,
        list_owner="" if latest is None else latest.list_owner,
        rule=rule,
        hits=hits,
        confirmed=confirmed,
        false=false,
        distinct_false=distinct,
        open=still_open,
        expected=expected,
        low=interval(distinct)[0],
        high=interval(false + still_open)[1],
        chance=chance,
        verdict=verdict,
    )


def _confusions(pairs: Iterable[TextPair]) -> list[Confusion]:
    """Count characters at the same place of texts of the same length; wildcards of the list match anything."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        if "*" in pair.listed:
            continue
        if len(pair.text) != len(pair.listed):
            found[_OTHER_LENGTH, _OTHER_LENGTH][pair.state] += pair.count
            continue
        for read, listed in zip(pair.text, pair.listed, strict=True):
            if listed not in {read, "?"}:
                found[read, listed][pair.state] += pair.count
    rows = [
        Confusion(read, listed, counts["confirmed"], counts["rejected"])
        for (read, listed), counts in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.confirmed - row.rejected, row.read, row.listed))
