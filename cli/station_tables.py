"""Tables of the station's commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.text import Text

from cli.show import TextTable
from cli.terminal import shown_region
from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UpdateReport
from protocol.wire.enums import GeotagMethod, RegionMatch, UpdateState
from protocol.wire.records.read import Read
from station.query.export import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from protocol.wire.parts import Place
    from station.query import StoredHit, StoredRecord
    from station.query.versions import FileVersion
    from station.store import AuditRow, Gap, Purgeable, SeriesRow, UnitRow

_SURE_E4 = 9_000
_MAX_GAPS = 6


def reads_table(records: Iterable[StoredRecord], *, title: str = "") -> TextTable:
    """One row per read; low confidence is yellow.  A day or unit shared by all is in the title."""
    rows = [(record, record.body) for record in records if isinstance(record.body, Read)]
    days = {_time(record)[:10] for record, _ in rows}
    units = {record.unit for record, _ in rows}
    shared = [*(units if len(units) == 1 else ()), *(days if len(days) == 1 else ())]
    table = TextTable(title=", ".join([title, *shared] if title else shared), box=SIMPLE_HEAD)
    table.add_column("time", no_wrap=True)
    if len(units) > 1:
        table.add_column("unit")
    for name in ("seq", "plate", "region", "conf", "frames", "position"):
        table.add_column(name, no_wrap=True)
    for record, read in rows:
        sure = f"{read.confidence_e4 / 100:.0f} %"
        doubtful = read.single_frame or read.confidence_e4 < _SURE_E4
        table.add_row(
            _time(record)[11:] if len(days) == 1 else _time(record),
            *([record.unit] if len(units) > 1 else ()),
            str(record.seq),
            Text(read.text, style="bold"),
            shown_region(read.region, read.region_confidence_e4 / 1e4),
            Text(sure, "yellow" if doubtful else ""),
            f"{read.n_agreeing}/{read.n_sightings}",
            _place(read.place),
        )
    return table


def hits_table(hits: Iterable[StoredHit]) -> TextTable:
    """One row per hit, with the age of its list and what was decided.  A day or unit shared by all is in the title."""
    rows = list(hits)
    days = {_time(stored.record)[:10] for stored in rows}
    units = {stored.record.unit for stored in rows}
    shared = [*(units if len(units) == 1 else ()), *(days if len(days) == 1 else ())]
    table = TextTable(title=", ".join(shared), box=SIMPLE_HEAD)
    table.add_column("time")
    if len(units) > 1:
        table.add_column("unit")
    for name, min_width in (
        ("plate", None),
        ("listed", 7),
        ("match", 8),
        ("list", 8),
        ("age", 6),
        ("decision", 10),
    ):
        table.add_column(name, min_width=min_width)
    for stored in rows:
        hit, decision = stored.hit, stored.decision
        different = hit.region_match is RegionMatch.DIFFERENT
        by = "" if decision is None else f" by {decision.officer}"
        outcome = f", {stored.outcome}" if stored.outcome else ""
        table.add_row(
            _time(stored.record)[11:] if len(days) == 1 else _time(stored.record),
            *([stored.record.unit] if len(units) > 1 else ()),
            Text(f"{hit.text} {hit.region}", style="bold"),
            Text(f"{hit.listed_text} {hit.listed_region}", "yellow" if different else ""),
            f"{hit.rule.value} {hit.probability_e4 / 100:.0f} %",
            hit.list_name,
            Text(_age(stored.list_age_s), "yellow" if hit.list_stale else ""),
            Text(f"{stored.state}{by}{outcome}", {"confirmed": "green", "new": "red"}.get(stored.state, "")),
        )
    return table


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    hours = seconds // 3600
    return f"{hours} h" if hours else f"{seconds // 60} min"


def purge_table(classes: Iterable[Purgeable]) -> TextTable:
    """One row per retention class."""
    table = TextTable("class", "records", "held", "received from", "to")
    for row in classes:
        held = Text(f"{row.held:,}", "yellow" if row.held else "")
        table.add_row(row.retention, f"{row.records:,}", held, _short(row.first_us), _short(row.last_us))
    return table


def units_table(
    units: Iterable[tuple[UnitRow, list[Gap]]], files: Mapping[str, Sequence[FileVersion]]
) -> TextTable:
    """One row per unit with its gaps; missing reads are red."""
    table = TextTable(
        "unit", "state", "software", "last seen", "reads", "last seq", "missing", "evicted", "gaps", "release",
        "lists and policies",
    )  # fmt: skip
    for unit, gaps in units:
        table.add_row(
            unit.unit,
            _state(unit),
            unit.software,
            "-" if unit.seen_us is None else _short(unit.seen_us),
            "" if unit.reads is None else f"{unit.reads:,}",
            str(unit.seq_high),
            Text(f"{unit.missing:,}", "red" if unit.missing else ""),
            f"{unit.evicted:,}",
            _gaps([gap for gap in gaps if not gap.explained]),
            _release(unit),
            ", ".join(map(_file, files[unit.unit])) or "-",
        )
    return table


def _file(file: FileVersion) -> str:
    """A kind with the version that the unit has, and the one that it is offered if it is behind."""
    has = "?" if file.has is None else str(file.has)
    return f"{file.kind} {has}, wanted {file.offered}" if file.is_behind else f"{file.kind} {has}"


def _state(unit: UnitRow) -> Text:
    """The state, and before it what an operator must do something about."""
    shown = Text()
    if unit.conflicts:
        shown.append("two units use this name; ", "red")
    if unit.refused_today:
        shown.append(f"over its quota, {unit.refused_today:,} messages refused today; ", "red")
    return shown.append(f"{unit.state}: {unit.reason}" if unit.reason else unit.state)


def _release(unit: UnitRow) -> Text:
    """Running release, state of the latest update, and the wanted release if it differs."""
    try:
        told = None if unit.report is None else decode(unit.report, UpdateReport)
    except WireError:
        told = None
    if told is None:
        return Text(f"wanted {unit.desired}" if unit.desired else "-")
    words = [str(told.running)]
    if told.running != told.committed:
        words.append("on trial")
    elif told.release != told.running or told.state is not UpdateState.COMMITTED:
        words.append(
            f"({told.release} {told.state.value.replace('_', ' ')}{': ' if told.reason else ''}{told.reason})"
        )
    if unit.desired and unit.desired != told.committed:
        words.append(f"wanted {unit.desired}")
    return Text(" ".join(words))


def unit_values(unit: UnitRow, gaps: list[Gap], files: Sequence[FileVersion]) -> dict[str, object]:
    """Return what ``units --json`` says of a unit."""
    return {
        "unit": unit.unit,
        "state": unit.state,
        "reason": unit.reason,
        "software": unit.software,
        "last_seen": iso(unit.seen_us),
        "reads": unit.reads,
        "last_seq": unit.seq_high,
        "missing": unit.missing,
        "evicted": unit.evicted,
        "gaps": [[gap.first, gap.last] for gap in gaps if not gap.explained],
        "lives": unit.lives,
        "name_conflicts": unit.conflicts,
        "refused_today": unit.refused_today,
        "release": str(_release(unit)),
        "wanted_release": unit.desired or None,
        "files": [{"kind": one.kind, "offered": one.offered or None, "has": one.has} for one in files],
    }


def sequence_values(series: SeriesRow) -> dict[str, object]:
    """Return what ``audit --json`` says of the sequence numbers of a unit's life."""
    return {
        "unit": series.unit,
        "life": series.life.hex(),
        "first_received": iso(series.first_us) if series.first_us else None,
        "received": series.seen,
        "declared_lost": [(gap.first, gap.last) for gap in series.gaps if gap.explained],
        "missing": series.missing,
        "removed": series.removed,
        "overlaps": series.overlaps,
        "last_overlap": None if series.overlap_us is None else iso(series.overlap_us),
        "forks": series.forks,
    }


def counters_table(counters: Iterable[tuple[str, int]], *, title: str) -> TextTable:
    """Counters of a unit from its last health message."""
    table = TextTable("counter", "value", title=title)
    for name, value in counters:
        table.add_row(name, f"{value:,}")
    return table


def ranges_table(lives: Iterable[SeriesRow]) -> TextTable:
    """One row per life of a unit: sequence numbers received, declared lost, missing, and removed from the database."""
    rows = list(lives)
    has_lives = any(row.life for row in rows)
    heads = ("unit", *(("life",) if has_lives else ()), "received", "declared lost", "missing", "removed here")
    table = TextTable(*heads, title="sequence numbers")
    for row in rows:
        table.add_row(
            row.unit,
            *((row.life.hex()[:8] or "-",) if has_lives else ()),
            _ranges(row.seen) or "none",
            _ranges([(gap.first, gap.last) for gap in row.gaps if gap.explained]) or "none",
            _bad(row.missing),
            _bad(row.removed),
        )
    return table


def conflict_lines(lives: Iterable[SeriesRow]) -> list[str]:
    """Return a sentence for each life that shows that two units use one name."""
    lines = []
    for row in lives:
        name = f"{row.unit}, life {row.life.hex()[:8] or '-'}"
        if row.overlaps:
            when = "" if row.overlap_us is None else f", last {_short(row.overlap_us)}"
            lines.append(f"{name}: spoke {row.overlaps:,} times after a later life of this unit had begun{when}")
        if row.forks:
            lines.append(f"{name}: {row.forks:,} numbers name two records")
    if lines:
        lines.append("two units use one name, or a copy of a card is in use: enrol one of them under another name")
    return lines


def _bad(ranges: Sequence[tuple[int, int]]) -> Text:
    return Text(_ranges(ranges), "red") if ranges else Text("none", "green")


def audit_table(rows: Iterable[AuditRow]) -> TextTable:
    """One row per question or command."""
    table = TextTable("time", "who", "what", "filter", "count", "purpose", "case")
    for row in rows:
        table.add_row(
            _short(row.utc_us), row.who, row.what, row.filter, f"{row.count:,}", row.purpose, row.case_number
        )
    return table


def _time(read: StoredRecord) -> str:
    if read.utc_us is None:
        return "no time"
    return f"{_short(read.utc_us)}{' (anchored)' if read.dated else ''}"


def _short(utc_us: int) -> str:
    return (iso(utc_us) or "")[:19].replace("T", " ")


def _gaps(missing: list[Gap]) -> str:
    return _ranges([(gap.first, gap.last) for gap in missing])


def _ranges(ranges: Sequence[tuple[int, int]]) -> str:
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_MAX_GAPS]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _place(place: Place) -> str:
    if place.lat_deg is None or place.lon_deg is None:
        return "no fix"
    error = "" if place.error_cm is None else f" ±{place.error_cm / 100:.0f} m"
    # ~ says that the place is not between two fixes.
    mark = "" if place.method is GeotagMethod.INTERPOLATED else "~"
    return f"{mark}{place.lat_deg:.5f} {place.lon_deg:.5f}{error}"
