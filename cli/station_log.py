"""``patrol-lpr station log``, ``audit --export`` and ``purges``: state and exports of the audit log, certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole, beside
from hw.output import output
from protocol.seal import KeyRing, load_keyring
from station.query.export import iso

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from station.audit_log.state import LogState
    from station.query import Query
    from station.retention.purges import StoredPurge


def ring_of(keys: Path | None) -> KeyRing:
    """Return the keys of a folder; none without one."""
    return KeyRing() if keys is None else load_keyring(keys)


def show_state(state: LogState, *, as_json: bool) -> None:
    """Print size, latest checkpoint and witnesses."""
    if as_json:
        print_json(state)
        return
    out = PlainConsole()
    signed = (
        "none"
        if state.checkpoint_us is None
        else f"{state.checkpoint_size:,} entries, {_time(state.checkpoint_us)}"
    )
    out.print(f"{state.size:,} entries, root {state.root}")
    out.print(f"latest signed checkpoint: {signed}")
    table = TextTable("unit", "witnessed", "received")
    for row in state.witnesses:
        table.add_row(row.unit, f"{row.size:,} entries", _time(row.received_us))
    print_table(table, out)
    for unit in state.refused_by:
        out.print(
            f"{unit} keeps a checkpoint that this log does not continue: entries were cut off or altered, or the "
            "database is an old backup",
            style="red",
        )


def export_log(query: Query, target: Path, keys: Path | None, numbers: Sequence[int]) -> None:
    """Write the log, or some entries with their proofs."""
    with output(target, private=True) as out:
        count = query.export_log(out, ring_of(keys), numbers)
    beside(target).print(f"{count:,} entries written; check them with `patrol-lpr verify {target}`")


def export_certificate(query: Query, target: Path, keys: Path | None, purge: int) -> None:
    """Write the certificate of a purge with its proof."""
    with output(target, private=True) as out:
        query.export_certificate(out, ring_of(keys), purge)
    beside(target).print(f"purge {purge} written; check it with `patrol-lpr verify {target}`")


def show_purges(purges: Sequence[StoredPurge], *, as_json: bool) -> None:
    """Print the certificates."""
    if as_json:
        print_json([purge_values(purge) for purge in purges])
        return
    table = TextTable("number", "time", "by", "why", "records", "pictures", "held", "days dropped")
    for purge in purges:
        told = purge.certificate
        table.add_row(
            str(purge.number), _time(told.utc_us), told.who, told.reason, f"{told.records:,}", f"{told.pictures:,}",
            Text(f"{told.held:,}", "yellow" if told.held else ""), str(len(told.days)),
        )  # fmt: skip
    print_table(table)


def purge_values(purge: StoredPurge) -> dict[str, object]:
    """Return what ``purges --json`` says of one."""
    told = purge.certificate
    return {
        "number": purge.number,
        "time": iso(told.utc_us),
        "who": told.who,
        "why": told.reason,
        "records": told.records,
        "pictures": told.pictures,
        "held": told.held,
        "holds": told.holds,
        "classes": [
            {"class": c.retention, "records": c.records, "from": iso(c.first_us), "to": iso(c.last_us)}
            for c in told.classes
        ],
        "days": [{"day": day.day, "records": day.records} for day in told.days],
        "policies": told.policies or {},
        "sha256": purge.sha256.hex(),
    }


def _time(utc_us: int) -> str:
    return (iso(utc_us) or "")[:19].replace("T", " ")
