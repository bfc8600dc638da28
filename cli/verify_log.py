"""``patrol-lpr verify`` for an exported audit log, or for some entries and certificates with their proofs."""

from __future__ import annotations

import datetime as dt
import json
from typing import IO, TYPE_CHECKING

from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from protocol.errors import KeyFileError
from protocol.merkle.examine import examine_log
from protocol.merkle.export import read_log
from protocol.seal.keys import LOG_PUBLIC, UNIT_PUBLIC, VerifyKey, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from protocol.merkle.examine import LogFindings
    from protocol.merkle.export import LogHeader

_MAX_CHECKPOINT_BYTES = 16_384


def verify_log(
    file: IO[bytes], key_files: Sequence[Path], checkpoints: Sequence[Path], *, as_json: bool = False
) -> int:
    """Print the findings; 0 if nothing was altered, removed or cut off.  Raises WireError for what is no export."""
    header, rows = read_log(file)
    logs, units = _keys(key_files)
    found = examine_log(header, rows, keys=logs, units=units, kept=list(_kept(checkpoints)))
    if as_json:
        print_json({"verified": found.is_right, "keys_given": bool(logs), "log": found})
    else:
        _print(found, header, has_key=bool(logs))
    return 0 if found.is_right else 1


def findings_table(found: LogFindings) -> TextTable:
    """One row per figure."""
    table = TextTable("audit log", "")
    table.add_row("entries", f"{found.entries:,} of {found.size:,}")
    table.add_row("signed checkpoints", f"{found.checkpoints:,}, the latest of {found.covered:,} entries")
    if found.is_whole and found.size > found.covered:
        table.add_row("not covered by a checkpoint yet", f"{found.size - found.covered:,}")
    for unit, (size, utc_s) in sorted(found.witnesses.items()):
        when = "time unknown" if not utc_s else f"{dt.datetime.fromtimestamp(utc_s, dt.UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(f"countersigned by {unit}", f"{size:,} entries, {when}")
    for kind, count in sorted(found.documents.items()):
        table.add_row(
            {"purge": "certificates of purges", "hold": "holds", "release": "releases"}[kind], f"{count:,}"
        )
    return table


def _print(found: LogFindings, header: LogHeader, *, has_key: bool) -> None:
    out = PlainConsole()
    print_table(findings_table(found), out)
    for fault in found.faults:
        out.print(fault, style="red")
    if not has_key and header.public_key is not None:
        out.print(f"key of the log: {fingerprint(header.public_key)}")
        out.print(
            "The keys are from the file itself: compare this fingerprint with that of the station's log.pub "
            "(`patrol-lpr keys show`), or give the keys with --key.",
        )
    out.print(
        "complete and unaltered" if found.is_right else "NOT verified", style="green" if found.is_right else "red"
    )


def _keys(paths: Sequence[Path]) -> tuple[list[VerifyKey], dict[str, list[VerifyKey]]]:
    """``log.pub`` of the station, and ``unit-ID.pub``."""
    logs: list[VerifyKey] = []
    units: dict[str, list[VerifyKey]] = {}
    for path in paths:
        name = UNIT_PUBLIC.fullmatch(path.name)
        if name is not None:
            units.setdefault(name[1], []).append(VerifyKey.load(path))
        elif path.name.endswith(".pub") and path.name.startswith(LOG_PUBLIC.partition(".")[0]):
            logs.append(VerifyKey.load(path))
        else:
            raise KeyFileError(f"{path}: the file name must be log.pub, or unit-ID.pub with the unit's id")
    return logs, units


def _kept(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Checkpoints that others keep: the text itself, or a unit's ``witness.json``."""
    for path in paths:
        with path.open("rb") as file:
            text = file.read(_MAX_CHECKPOINT_BYTES).decode(errors="replace")
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
        note = told.get("note") if isinstance(told, dict) else text
        yield path.name, note if isinstance(note, str) else ""
