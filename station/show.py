"""The station's tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from station.export import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.rows import StoredRead, UnitRow

_SURE_E4 = 9_000


def reads_table(reads: Iterable[StoredRead], *, title: str | None = None) -> Table:
    """One row a read; what a person must check first is yellow."""
    table = Table("time", "unit", "seq", "plate", "region", "sure", "looks", "place", "pictures", title=title)
    for read in reads:
        sure = f"{read.confidence_e4 / 100:.0f} %"
        doubtful = read.single_look or read.confidence_e4 < _SURE_E4
        table.add_row(
            (iso(read.utc_us) or "no time")[:23].replace("T", " "),
            read.unit,
            str(read.seq),
            f"[bold]{read.text}[/]",
            read.region,
            f"[yellow]{sure}[/]" if doubtful else sure,
            f"{read.n_agreeing}/{read.n_sightings}",
            _place(read),
            str(read.pictures),
        )
    return table


def units_table(units: Iterable[UnitRow]) -> Table:
    """One row a unit; missing reads are red."""
    table = Table("unit", "state", "software", "last seen", "reads", "last seq", "missing", "evicted")
    for unit in units:
        table.add_row(
            unit.unit,
            unit.state,
            unit.software,
            (iso(unit.seen_us) or "-")[:19].replace("T", " ") if unit.seen_us else "-",
            str(unit.reads),
            str(unit.seq_high),
            f"[red]{unit.missing}[/]" if unit.missing else "0",
            str(unit.evicted),
        )
    return table


def _place(read: StoredRead) -> str:
    if read.lat_e7 is None or read.lon_e7 is None:
        return "no fix"
    error = "" if read.error_cm is None else f" ±{read.error_cm / 100:.0f} m"
    mark = "" if read.method == "interpolated" else f" ({read.method})"
    return f"{read.lat_e7 / 1e7:.5f} {read.lon_e7 / 1e7:.5f}{error}{mark}"
