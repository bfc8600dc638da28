"""A report as tables for people: the same for the page, the printed page and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from station.reports.definition import Definition
    from station.reports.lines import Line
    from station.reports.make import Report

Cell = str | int
_STATES = ("hits", "confirmed", "rejected", "wrong", "withdrawn", "expired", "undecided")
_STATE_HEADS = ("hits", "confirmed", "rejected", "of these wrong", "withdrawn", "expired", "undecided")
_AGES = ("12", "24", "48", "168", "over", "unknown")
_AGE_HEADS = ("up to 12 h", "up to 24 h", "up to 48 h", "up to 7 days", "older", "unknown")
_EMPTY = "none"


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: int
    """Number of columns that are texts; the others are numbers."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A report with its definition."""

    definition: Definition
    period: str
    made: str
    tables: tuple[Table, ...]
    through: tuple[tuple[str, int], ...]
    """Lives of units and the log, and up to which number they are in it."""


def present(report: Report, definition: Definition) -> Presented:
    """Return the tables that the definition wants, in its order."""
    zone = ZoneInfo(definition.timezone)
    since, until, made = (
        datetime.fromtimestamp(us / 1e6, zone)
        for us in (report.period.since_us, report.period.until_us, report.made_us)
    )
    return Presented(
        definition,
        f"{since:%Y-%m-%d} to {until:%Y-%m-%d} (not included), {definition.timezone}",
        f"{made:%Y-%m-%d %H:%M} {definition.timezone}",
        tuple(_TABLES[name](report.table(name), definition) for name in definition.tables),
        tuple((_series(*one.keys), one.value) for one in report.table("through")),
    )


def _series(unit: str, life: str, _: str) -> str:
    return f"{unit}, life {life[:8]}" if life else unit


def _reads(lines: list[Line], _: Definition) -> Table:
    undated = sum(one.value for one in lines if one.measure == "without_a_time")
    rows = [(one.keys[0] or _EMPTY, one.value) for one in lines if one.measure == "kept"]
    note = "Reads made in the period that the station still has, by retention class."
    if undated:
        note += f" {undated:,} reads have no time and are in no period."
    return _table("reads", "Reads kept", note, ("class", "reads"), rows=[*rows, *_total(rows)], texts=1)


def _purged(lines: list[Line], _: Definition) -> Table:
    pictures = sum(one.value for one in lines if one.measure == "pictures")
    rows = [(one.keys[0] or _EMPTY, one.value) for one in lines if one.measure == "records"]
    note = f"Records that the station deleted in the period, by its certificates; with them {pictures:,} pictures."
    return _table(
        "purged", "Purged at the station", note, ("class", "records"), rows=[*rows, *_total(rows)], texts=1
    )


def _unit_purges(lines: list[Line], _: Definition) -> Table:
    rows = _pivot(lines, 1, ("reads", "pictures"))
    note = "Reads that units deleted under their policy before they were sent, as the units signed it."
    return _table("unit_purges", "Purged on the units", note, ("policy", "reads", "pictures"), rows=rows, texts=1)


def _hits(lines: list[Line], _: Definition) -> Table:
    note = (
        "A hit is a lead. Confirmed: an officer compared plate, state and vehicle, and the agency of the entry "
        "confirmed it. Wrong: rejected because the plate, the state or the vehicle is another one. Undecided: nobody "
        "decided."
    )
    columns = ("list", "name", "owner", *_STATE_HEADS)
    return _table("hits", "Hits by list", note, columns, rows=_pivot(lines, 3, _STATES), texts=3)


def _owners(lines: list[Line], definition: Definition) -> Table:
    total = sum(one.value for one in lines if one.measure == "hits") or 1
    rows: list[tuple[Cell, ...]] = []
    foreign = 0
    for row in _pivot(lines, 1, _STATES):
        is_own = row[0] in definition.own_lists
        foreign += 0 if is_own else int(row[1])
        rows.append((row[0], "own" if is_own else "other agency", _share(int(row[1]), total), *row[1:]))
    note = f"Share of hits from lists of other agencies: {_share(foreign, total)}."
    if not definition.own_lists:
        note += " No owner is named as the agency itself (own_lists)."
    columns = ("owner", "agency", "share of hits", *_STATE_HEADS)
    return _table("owners", "Hits by owner of the list", note, columns, rows=rows, texts=3)


def _ages(lines: list[Line], _: Definition) -> Table:
    counts = {(one.keys[0], one.keys[1]): one.value for one in lines}
    rows: list[tuple[Cell, ...]] = [
        (of_list, *(counts.get((of_list, age), 0) for age in _AGES))
        for of_list in sorted({key for key, _ in counts})
    ]
    note = "Age of the list's data when the plate was seen."
    return _table("ages", "Age of the lists at the hits", note, ("list", *_AGE_HEADS), rows=rows, texts=1)


def _reasons(lines: list[Line], _: Definition) -> Table:
    columns = ("list", "name", "reason")
    return _counted("reasons", "Why hits were rejected", "Reasons that officers gave.", columns, lines)


def _outcomes(lines: list[Line], _: Definition) -> Table:
    note = "Latest outcome that an officer recorded; what a court decided is not known here."
    return _counted("outcomes", "Outcomes of hits", note, ("list", "name", "outcome"), lines)


def _look_ups(lines: list[Line], _: Definition) -> Table:
    note = "Entries of the audit trail by which people saw or exported records."
    return _counted("look_ups", "Look-ups at the station", note, ("action", "purpose"), lines)


def _unit_look_ups(lines: list[Line], _: Definition) -> Table:
    note = "Look-ups of officers in the vehicles, as the units signed them."
    return _counted("unit_look_ups", "Look-ups in the vehicles", note, ("action", "purpose"), lines)


_TABLES: dict[str, Callable[[list[Line], Definition], Table]] = {
    "reads": _reads,
    "purged": _purged,
    "unit_purges": _unit_purges,
    "hits": _hits,
    "owners": _owners,
    "ages": _ages,
    "reasons": _reasons,
    "outcomes": _outcomes,
    "look_ups": _look_ups,
    "unit_look_ups": _unit_look_ups,
}


def _table(
    name: str, title: str, note: str, columns: tuple[str, ...], *, rows: Sequence[tuple[Cell, ...]], texts: int
) -> Table:
    return Table(name, title, note, columns, tuple(rows), texts)


def _counted(name: str, title: str, note: str, columns: tuple[str, ...], lines: list[Line]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (*(key or _EMPTY for key in one.keys[: len(columns)]), one.value) for one in lines
    ]
    return _table(name, title, note, (*columns, "number"), rows=rows, texts=len(columns))


def _pivot(lines: list[Line], keys: int, measures: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    counts = {(one.keys[:keys], one.measure): one.value for one in lines}
    return [
        (*(key or _EMPTY for key in of), *(counts.get((of, measure), 0) for measure in measures))
        for of in sorted({of for of, _ in counts})
    ]


def _total(rows: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [("all", sum(count for _, count in rows))] if len(rows) != 1 else []


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %"
