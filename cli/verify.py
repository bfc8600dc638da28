"""``patrol-lpr verify FILE``: check offline that a series, audit log or evidence package is unaltered."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.text import Text

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from cli.verify_log import verify_log
from cli.verify_package import verify_package
from protocol.errors import KeyFileError, PatrolError, WireError
from protocol.merkle.export import is_log
from protocol.seal.keys import UNIT_PUBLIC, VerifyKey, fingerprint
from protocol.seal.series import UnitFindings, examine, read_series
from station.evidence.examine import is_package

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protocol.seal.series import Header

_MAX_SHOWN = 8
_HEAD_BYTES = 32


class VerifyError(PatrolError):
    """The file cannot be examined."""


def _refuse_checkpoints(path: Path, checkpoints: Sequence[Path]) -> None:
    """Nobody may take "complete and unaltered" for a comparison that was not made."""
    if checkpoints:
        raise VerifyError(
            f"{path}: --checkpoint is for an audit log, and this is none; export it with "
            "`patrol-lpr station audit --export`"
        )


def run(path: Path, key_files: list[Path], checkpoints: Sequence[Path] = (), *, as_json: bool = False) -> int:
    """Print the findings; 0 if all is complete and unaltered, else 1.  ``checkpoints`` are of an audit log."""
    console = PlainConsole()
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise VerifyError(f"{path}: cannot be read: {error.strerror}") from error
    if is_package(head):
        _refuse_checkpoints(path, checkpoints)
        return verify_package(path, _trusted(key_files) if key_files else None, as_json=as_json)
    try:
        with path.open("rb") as file:
            if is_log(file):
                return verify_log(file, key_files, checkpoints, as_json=as_json)
            _refuse_checkpoints(path, checkpoints)
            header, proofs = read_series(file)
            keys = _trusted(key_files) if key_files else _enclosed(header)
            findings = examine(proofs, keys)
    except OSError as error:
        raise VerifyError(f"{path}: cannot be read: {error.strerror}") from error
    except WireError as error:
        raise VerifyError(f"{path}: {error}") from error
    # A key that was given names a unit that must be there; the keys in the file may be of units without records.
    absent = sorted(set(keys) - {unit.unit for unit in findings}) if key_files else []
    right = bool(findings) and not absent and all(unit.is_right for unit in findings)
    if as_json:
        keys_of = {unit: fingerprint(raw) for unit, raw in header.keys}
        told = {
            "verified": right,
            "keys_given": bool(key_files),
            "keys": keys_of,
            "units": findings,
            "absent": absent,
        }
        print_json(told)
        return 0 if right else 1
    print_table(findings_table(findings), console)
    for name in absent:
        console.print(f"{name}: its key was given, and the file has no record of it", style="red")
    if not key_files:
        for unit, raw in header.keys:
            console.print(f"{unit}: {fingerprint(raw)}")
        console.print(
            "The keys are from the file itself: compare these fingerprints with those of the units "
            "(`patrol-lpr keys show`), or give the keys with --key.",
        )
    console.print(Text("complete and unaltered", "green") if right else Text("NOT verified", "red"))
    return 0 if right else 1


def examine_file(path: Path) -> list[UnitFindings]:
    """Examine a series with the keys in it."""
    with path.open("rb") as file:
        header, proofs = read_series(file)
        return examine(proofs, _enclosed(header))


def _trusted(paths: list[Path]) -> dict[str, list[VerifyKey]]:
    keys: dict[str, list[VerifyKey]] = defaultdict(list)
    for path in paths:
        name = UNIT_PUBLIC.fullmatch(path.name)
        if name is None:
            raise KeyFileError(f"{path}: the file name must be unit-ID.pub, with the unit's id")
        keys[name[1]].append(VerifyKey.load(path))
    return keys


def _enclosed(header: Header) -> dict[str, list[VerifyKey]]:
    keys: dict[str, list[VerifyKey]] = defaultdict(list)
    for unit, raw in header.keys:
        keys[unit].append(VerifyKey.from_raw(raw))
    return keys


_COMPLETE = Text("complete and unaltered", "green")


def findings_table(findings: list[UnitFindings]) -> TextTable:
    """One row per finding."""
    table = TextTable("unit", "numbers", "records", "reads", "finding", "where", box=SIMPLE_HEAD)
    for unit in findings:
        head = (_named(unit), f"{unit.first:,}-{unit.last:,}", f"{unit.records:,}", f"{unit.reads:,}")
        rows = list(_rows(unit)) or [(_COMPLETE, "")]
        for number, row in enumerate(rows):
            table.add_row(*(head if not number else ("",) * 4), *row)
    return table


def _named(unit: UnitFindings) -> str:
    return f"{unit.unit}, life {unit.life[:8]}" if unit.life else unit.unit


def _rows(unit: UnitFindings) -> list[tuple[Text, str]]:
    bad = (
        ("changed", unit.changed), ("signed by an unknown key", unit.unknown_key), ("out of order", unit.reordered),
        ("twice", unit.doubled), ("missing", unit.missing), ("chain broken at", unit.broken),
        ("signed head wrong", unit.head_wrong), ("announced by the unit, not here", unit.unsent),
        ("audit entries missing", unit.audit_missing), ("audit log broken at entry", unit.audit_broken),
    )  # fmt: skip
    good = (("declared lost by the unit", unit.declared), ("new chain after declared damage", unit.restarts))
    rows = [(Text(what, "red"), _places(where)) for what, where in bad if where]
    if not rows:
        rows = [(_COMPLETE, "")]
    rows += [(Text(what), _places(where)) for what, where in good if where]
    if unit.audit_entries:
        rows.append((Text("entries of the audit log"), f"{unit.audit_entries:,}"))
    if unit.unknown:
        rows.append((Text("of a type not known to this version"), f"{unit.unknown:,} records"))
    if unit.deleted:
        rows.append((Text("content deleted under retention policy"), f"{unit.deleted:,} records"))
    return rows


def _places(where: list[int] | list[tuple[int, int]]) -> str:
    shown = [
        str(item) if isinstance(item, int) else str(item[0]) if item[0] == item[1] else f"{item[0]}-{item[1]}"
        for item in where[:_MAX_SHOWN]
    ]
    more = len(where) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
