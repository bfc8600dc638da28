"""Definitions of reports that the agency made itself: checked, stored, and recorded in the audit trail."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from station.reports.definition import (
    Definition,
    example_text,
    load_definition,
    parse_definition,
    shipped_definitions,
)
from station.reports.lines import ReportError
from station.reports.periods import period_of
from station.store.rows import AuditRow, DefinitionRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.asker import Asker
    from station.store import Store

MAX_OWN = 100
MAX_OWN_BYTES = 48 * 1024
"""What a form may have."""
_SOME_YEAR = "2026"


@dataclass(frozen=True, slots=True)
class OwnDefinition:
    """One of the agency's own."""

    row: DefinitionRow
    definition: Definition | None
    problem: str
    """Why this version cannot use it; empty if it can."""


class OwnDefinitions:
    """Of one person.  Every method raises StoreError."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    def all(self) -> list[OwnDefinition]:
        """Return all, by id."""
        return [_own(row) for row in self._store.definitions.all()]

    def usable(self) -> dict[str, Definition]:
        """Return the examples and the agency's own, by id."""
        own = [one.definition for one in self.all() if one.definition is not None]
        return shipped_definitions() | {one.id: one for one in own}

    def find(self, name: str) -> Definition:
        """Return the definition with this id, or that of a file.  Raises ReportError, with the ids that there are."""
        usable = self.usable()
        if name in usable:
            return usable[name]
        for one in self.all():
            if one.row.id == name:
                raise ReportError(f"your definition {name} cannot be used by this version: {one.problem}")
        path = Path(name)
        if path.suffix or path.parent != Path() or path.exists():
            return load_definition(path)
        raise ReportError(f"there is no report {name!r}: use {', '.join(usable)}, or a file such as {name}.toml")

    def text(self, identity: str) -> str | None:
        """Return what to edit: an own definition, or an example under an id of its own; None if there is none."""
        for row in self._store.definitions.all():
            if row.id == identity:
                return row.text
        if identity not in shipped_definitions():
            return None
        return example_text(identity).replace(f'id = "{identity}"', f'id = "own-{identity}"', 1)

    def save(self, text: str) -> Definition:
        """Check and store a definition; replaces that of its id.  Raises ReportError."""
        self._refuse_unless_all()
        text = text.replace("\r\n", "\n").strip() + "\n"
        found = checked(text)
        now_us = self._clock_us()
        row = DefinitionRow(found.id, text, self._asker.who, now_us)
        with self._store.transaction():
            others = {one.id for one in self._store.definitions.all()} - {found.id}
            if len(others) >= MAX_OWN:
                raise ReportError(f"there are {MAX_OWN} definitions: delete one that is not needed")
            self._store.definitions.keep(row)
            digest = hashlib.sha256(text.encode()).hexdigest()
            self._note("save report definition", f"definition={found.id} sha256={digest}", now_us)
        return found

    def remove(self, identity: str) -> None:
        """Delete a definition.  Raises ReportError if there is none."""
        self._refuse_unless_all()
        with self._store.transaction():
            if not self._store.definitions.drop(identity):
                raise ReportError(f"there is no definition {identity} of your own")
            self._note("delete report definition", f"definition={identity}", self._clock_us())

    def _refuse_unless_all(self) -> None:
        if not self._asker.scope.is_all:
            raise ReportError(
                "your account is limited to some agencies or units: somebody without a limit has to do this"
            )

    def _note(self, what: str, about: str, now_us: int) -> None:
        asker = self._asker
        self._store.audit(AuditRow(now_us, asker.who, what, about, 1, asker.purpose, asker.case_number))


def checked(text: str) -> Definition:
    """Parse a definition that is to be kept.  Raises ReportError."""
    if len(text.encode("utf-8", "replace")) > MAX_OWN_BYTES:
        raise ReportError(f"larger than {MAX_OWN_BYTES >> 10} KiB: this is no definition of a report")
    found = parse_definition(text, "definition")
    if found.id in shipped_definitions():
        raise ReportError(f"definition: id: {found.id} is an example that comes with the product; use another id")
    if not found.title.strip():
        raise ReportError("definition: title: is empty")
    period_of(_SOME_YEAR, found.timezone)
    return found


def _own(row: DefinitionRow) -> OwnDefinition:
    try:
        return OwnDefinition(row, checked(row.text), "")
    except ReportError as error:
        return OwnDefinition(row, None, str(error))
