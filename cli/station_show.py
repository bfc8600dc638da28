"""``patrol-lpr station show``: one record with all its values and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from hw.output import output
from station.errors import StoreError
from station.query.export import flat_values
from station.query.stored import picture_name

if TYPE_CHECKING:
    from pathlib import Path

    from station.query import Query, StoredRecord


def show(query: Query, record_id: str, *, unit: str | None, out: Path | None, as_json: bool) -> None:
    """Print a record, and write its pictures to a folder.  Raises StoreError if it is not there."""
    try:
        wanted = bytes.fromhex(record_id)
    except ValueError as error:
        raise StoreError(
            f"{record_id!r} is no id: it has 32 hexadecimal digits, see `station reads --json`"
        ) from error
    stored = query.find_record(wanted, unit=unit)
    if stored is None:
        raise StoreError(f"{record_id}: not at this station: it was deleted, or has not arrived")
    files = [] if out is None else _write_pictures(query, stored, out)
    values = {"schema": stored.record.envelope.schema_id, **flat_values(stored), "files": files}
    if as_json:
        print_json(values)
        return
    table = TextTable("", "")
    for name, value in values.items():
        table.add_row(name, ", ".join(files) if name == "files" else "" if value is None else str(value))
    print_table(table, PlainConsole())


def _write_pictures(query: Query, stored: StoredRecord, folder: Path) -> list[str]:
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for ref, jpeg in query.pictures(stored):
        path = folder / picture_name(stored, ref)
        with output(path, private=True) as file:
            file.write(jpeg)
        files.append(str(path))
    return files


def export_pictures(query: Query, folder: Path, *, schema: str, unit: str | None) -> int:
    """Write the pictures of all records of a type to a folder, one folder for each unit; return how many."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, jpeg: bytes) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        with output(folder / name, private=True) as file:
            file.write(jpeg)

    return query.export_pictures(write, schema=schema, unit=unit)
