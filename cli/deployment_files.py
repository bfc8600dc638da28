"""Tables of people and planned shifts as people write them: CSV with a header."""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.written import WrittenFileError, read_written
from station.deployment.model import Assignment, Person, PlannedShift
from station.deployment.times import parse_day, parse_time
from station.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from zoneinfo import ZoneInfo

MAX_BYTES = 16 * 2**20
_PEOPLE = frozenset({"badge", "name", "rights", "training_until", "overtime_class", "pin", "active", "account"})
_PLAN = frozenset(
    {
        "id", "badge", "starts", "ends", "overtime_class", "zone", "checkpoint", "task", "vehicle", "equipment",
        "hours", "note",
    }
)  # fmt: skip


def read_people(path: Path) -> list[Person]:
    """People of a CSV file.  Raises DeploymentError naming file and line."""
    found = []
    for number, row in _rows(path, _PEOPLE, {"badge", "name"}):
        with _line(path, number):
            found.append(
                Person(
                    badge=row["badge"],
                    name=row["name"],
                    rights=tuple(row.get("rights", "").split()) or ("officer",),
                    training_until=parse_day(until) if (until := row.get("training_until", "")) else None,
                    overtime_class=row.get("overtime_class", ""),
                    pin=row.get("pin") or None,
                    active=_is_yes(row.get("active") or "yes"),
                    account=row.get("account", ""),
                )
            )
    return found


def read_plan(path: Path, zone: ZoneInfo) -> list[PlannedShift]:
    """Planned shifts of a CSV file; several rows with one id are the assignments of one shift, in order.

    Raises DeploymentError naming file and line.
    """
    found: dict[str, PlannedShift] = {}
    for number, row in _rows(path, _PLAN, {"id", "badge", "starts", "ends"}):
        with _line(path, number):
            found[row["id"]] = _shift(row, zone, found.get(row["id"]))
    return list(found.values())


def _shift(row: dict[str, str], zone: ZoneInfo, before: PlannedShift | None) -> PlannedShift:
    """A shift of its first row, or with the assignment of a further one."""
    starts_us, ends_us = parse_time(row["starts"], zone), parse_time(row["ends"], zone)
    part = Assignment(
        starts_us,
        row.get("zone", ""),
        row.get("checkpoint", ""),
        row.get("task", ""),
        row.get("vehicle", ""),
        tuple(row.get("equipment", "").split()),
    )
    if before is None:
        return PlannedShift(
            id=row["id"],
            badge=row["badge"],
            starts_us=starts_us,
            ends_us=ends_us,
            overtime_class=row.get("overtime_class", ""),
            hours=_hours(row.get("hours", "")),
            assignments=(part,),
            note=row.get("note", ""),
        )
    if before.ends_us != starts_us or before.badge != row["badge"]:
        raise DeploymentError(f"an assignment of {row['id']!r} must begin where the one before it ends")
    return replace(before, ends_us=ends_us, assignments=(*before.assignments, part))


@contextmanager
def _line(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except DeploymentError as error:
        raise DeploymentError(f"{path}, line {number}: {error}") from None


def _rows(path: Path, known: frozenset[str], needed: set[str]) -> list[tuple[int, dict[str, str]]]:
    found = []
    try:
        reader = csv.DictReader(io.StringIO(read_written(path, MAX_BYTES), newline=""), strict=True)
        columns = set(reader.fieldnames or ())
        if wrong := sorted((columns - known) | (needed - columns)):
            raise DeploymentError(f"{path}: the column {wrong[0]!r} is unknown or missing")
        for row in reader:
            if None in row or None in row.values():
                raise DeploymentError(f"{path}, line {reader.line_num}: not as many values as columns")
            found.append((reader.line_num, {name: value.strip() for name, value in row.items()}))
    except OSError as error:
        raise DeploymentError(f"{path}: cannot be read: {error.strerror or error}") from error
    except WrittenFileError as error:
        raise DeploymentError(f"{path}: {error}") from error
    except csv.Error as error:
        raise DeploymentError(f"{path}: not CSV: {error}") from error
    return found


def _hours(text: str) -> tuple[tuple[str, int], ...]:
    """``patrol 8.5; report 1.5``."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, _, hours = part.rpartition(" ")
        try:
            found.append((name.strip(), round(float(hours) * 3600)))
        except (ValueError, OverflowError):
            raise DeploymentError(f"{part[:40]!r} are no hours: write them as `patrol 8.5; report 1.5`") from None
    return tuple(found)


def _is_yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise DeploymentError(f"active is yes or no, not {text[:20]!r}")
    return text == "yes"
