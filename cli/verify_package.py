"""``patrol-lpr verify`` of an evidence package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli.show import print_json
from cli.terminal import PlainConsole, plain
from station.evidence.examine import PackageError, examine_package
from station.evidence.page_parts import MAX_PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from protocol.seal.keys import VerifyKey


def verify_package(path: Path, keys: Mapping[str, Iterable[VerifyKey]] | None, *, as_json: bool) -> int:
    """Print the findings; 0 if nothing was altered, else 1.  Raises PackageError."""
    try:
        with path.open("rb") as file:
            found = examine_package(file.read(MAX_PAGE_BYTES + 1), keys)
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from error
    if as_json:
        print_json({"verified": found.is_right, "package": found})
        return 0 if found.is_right else 1
    console = PlainConsole()
    console.print(
        plain(f"evidence package of {found.record_id}, unit {found.unit}: {found.records} records, ")
        + f"{found.pictures} pictures",
    )  # fmt: skip
    for problem in found.problems:
        console.print(Text(plain(problem), "red"))
    if not found.keys_given:
        for unit, shown in found.keys.items():
            console.print(plain(f"{unit}: {shown}"))
        console.print(
            "The units' keys are from the file itself: compare these fingerprints with those of the units "
            "(`patrol-lpr keys show`), or give the keys with --key.",
        )
    signed = (
        f"the station signed the export: {found.station}"
        if found.station
        else "the station did not sign the export"
    )
    console.print(signed)
    if found.in_log:
        console.print("the export is in the station's log")
    console.print(Text("unaltered", "green") if found.is_right else Text("NOT verified", "red"))
    return 0 if found.is_right else 1
