"""Exports of many reads: one person requests, another one approves, the file can be fetched once.

Each step is in the audit trail, in its transaction.  The file is in the database, in parts, until it was fetched or its
time is over; any process of the station makes it or serves it.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from station.asker import Asker
from station.errors import ExportError, ScopeError
from station.noted import AHEAD_US, has_ended
from station.query.export import write_csv, write_geojson
from station.query.export_xml import write_gpx, write_kml
from station.query.query import READ_SCHEMA, Query
from station.store.rows import AuditRow
from station.store.rows_accounts import ExportRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from station.query.export import TextOut
    from station.query.stored import StoredRecord
    from station.store import Store
    from station.store.search import ReadSearch

MAX_RECORDS = 1_000_000
KEPT_US = 24 * 3_600_000_000
"""How long a file can be fetched."""
_FETCH_US = 3_600_000_000
"""How long a download may take."""
_LEASE_US = 120_000_000
"""A process that has not written for so long has ended."""
_PART_BYTES = 256 * 1024
_TELL_EVERY = 500


class ExportState(StrEnum):
    """Where a request is."""

    REQUESTED = "requested"
    APPROVED = "approved"
    RUNNING = "running"
    READY = "ready"
    FETCHED = "fetched"
    REFUSED = "refused"
    STOPPED = "stopped"
    FAILED = "failed"
    EXPIRED = "expired"


_OPEN = (ExportState.REQUESTED, ExportState.APPROVED, ExportState.RUNNING, ExportState.READY)
KINDS = ("csv", "geojson", "kml", "gpx")


class _StoppedError(Exception):
    """The person who asked for it, or a supervisor, does not want it any more."""


@dataclass(frozen=True, slots=True)
class Exports:
    """Every method raises StoreError, and then nothing was changed."""

    store: Store
    clock_us: Callable[[], int]

    def request(self, asker: Asker, kind: str, body: str) -> str:
        """Ask for an export of a search; return its id.  Raises ExportError without purpose and case number."""
        if kind not in KINDS:
            raise ExportError(f"{kind!r} cannot be exported: use {', '.join(KINDS)}")
        if not asker.has_case:
            raise ExportError("an export needs a purpose and a case number")
        now_us, export_id = self.clock_us(), secrets.token_hex(8)
        row = ExportRow(
            export_id, asker.who, kind, body, asker.purpose, asker.case_number, now_us, ExportState.REQUESTED.value,
            scope=asker.scope,
        )  # fmt: skip
        with self.store.transaction():
            self.store.exports.add(row)
            self._note(asker, "export request", f"export={export_id} kind={kind}", now_us)
        return export_id

    def seen_by(self, asker: Asker, *, approves: bool, limit: int) -> list[ExportRow]:
        """Return a person's own requests; with ``approves`` also those for no more than this person may see."""
        self._end_abandoned()
        account = None if approves else asker.who
        found: list[ExportRow] = []
        page = self.store.exports.all(account=account, limit=limit)
        while page and len(found) < limit:
            # Those of other agencies count for nothing: however many they are, one's own are found.
            found += [row for row in page if row.account == asker.who or row.scope.is_within(asker.scope)]
            page = (
                self.store.exports.all(account=account, limit=limit, after=page[-1]) if len(page) == limit else []
            )
        return found[:limit]

    def get(self, asker: Asker, export_id: str, *, approves: bool) -> ExportRow:
        """Return a request.  Raises ScopeError for one that this person may not see."""
        row = self.store.exports.get(export_id)
        if row is None or (row.account != asker.who and not (approves and row.scope.is_within(asker.scope))):
            raise ScopeError(f"there is no export {export_id!r}")
        return row

    def decide(self, asker: Asker, export_id: str, *, approved: bool, note: str = "") -> None:
        """Approve or refuse somebody else's request.  Raises ExportError and ScopeError."""
        row = self.get(asker, export_id, approves=True)
        if row.account == asker.who:
            raise ExportError("another person must approve this export: you requested it yourself")
        now_us = self.clock_us()
        state = ExportState.APPROVED if approved else ExportState.REFUSED
        values = {"state": state.value, "decided_by": asker.who, "decided_us": now_us, "note": note[:200]}
        with self.store.transaction():
            if not self.store.exports.change(export_id, ExportState.REQUESTED.value, **values):
                raise ExportError(f"this export is {row.state} already")
            asked = f"export={export_id} requested_by={row.account}"
            # Under the purpose of the request: it is that one which was judged.
            entry = AuditRow(
                now_us, asker.who, "export approve" if approved else "export refuse", asked, 1, row.purpose,
                row.case_number,
            )  # fmt: skip
            self.store.audit(entry)

    def stop(self, asker: Asker, export_id: str, *, approves: bool) -> None:
        """End a request, also one that is being worked on; its file is deleted.  Raises ExportError and ScopeError."""
        row = self.get(asker, export_id, approves=approves)
        with self.store.transaction():
            changed = any(
                self.store.exports.change(export_id, state.value, state=ExportState.STOPPED.value)
                for state in _OPEN
            )
            if not changed:
                raise ExportError(f"this export is {row.state} already")
            self.store.exports.drop_parts(export_id)
            self._note(asker, "export stop", f"export={export_id}", self.clock_us())

    def run_next(self, to_search: Callable[[str], ReadSearch]) -> bool:
        """Make the file of an approved request; False if there is none."""
        self._end_abandoned()
        for row in self.store.exports.waiting(ExportState.APPROVED.value):
            if self._take(row):
                self._run(row, to_search)
                return True
        return False

    def _take(self, row: ExportRow) -> bool:
        with self.store.transaction():
            return self.store.exports.change(
                row.export_id,
                ExportState.APPROVED.value,
                state=ExportState.RUNNING.value,
                until_us=self.clock_us() + _LEASE_US,
            )

    def _run(self, row: ExportRow, to_search: Callable[[str], ReadSearch]) -> None:
        try:
            out = _Parts(self, row.export_id)
            query = Query(self.store, self._asker_of(row), self.clock_us)
            found = out.counted(query.export_found(row.kind, to_search(row.body)))
            _write(row.kind, found, out)
            out.finish()
        except _StoppedError:
            with self.store.transaction():
                self.store.exports.drop_parts(row.export_id)
        except Exception as error:
            # Whatever it was: the request must not stay "running", and the person must hear of it.
            self._end(row.export_id, ExportState.FAILED, str(error)[:200])
            if not isinstance(error, ExportError):
                raise

    def _asker_of(self, row: ExportRow) -> Asker:
        """Whoever requested it, with what they may see now and might see when they asked: no more was approved."""
        account = self.store.accounts.get(row.account)
        if account is None or account.disabled:
            raise ExportError("the account of the person who requested it is disabled")
        return Asker(row.account, row.purpose, row.case_number, account.scope.meet(row.scope), must_say_why=True)

    def change_running(self, export_id: str, **values: Any) -> None:
        """Inside a transaction.  Raises _StoppedError if it is not running any more."""
        if not self.store.exports.change(export_id, ExportState.RUNNING.value, **values):
            raise _StoppedError

    def fetch(self, asker: Asker, export_id: str) -> tuple[ExportRow, Iterator[bytes]]:
        """Return a file's request and parts, once, to the person who requested it.  Raises ExportError."""
        row = self.get(asker, export_id, approves=False)
        now_us = self.clock_us()
        with self.store.transaction():
            fetched = {"state": ExportState.FETCHED.value, "until_us": now_us + _FETCH_US}
            if has_ended(row.until_us, now_us, KEPT_US) or not self.store.exports.change(
                export_id, ExportState.READY.value, **fetched
            ):
                raise ExportError(
                    "this file cannot be fetched: it was fetched before, has expired, or is not ready"
                )
            entry = AuditRow(
                now_us, asker.who, "export fetch", f"export={export_id}", row.done, row.purpose, row.case_number
            )
            self.store.audit(entry)
        return row, self._parts(export_id)

    def _parts(self, export_id: str) -> Iterator[bytes]:
        try:
            yield from self.store.exports.parts(export_id)
        finally:
            with self.store.transaction():
                self.store.exports.drop_parts(export_id)

    def _end_abandoned(self) -> None:
        """Expire files that were not fetched, requests whose process has ended, and what broken downloads left."""
        now_us = self.clock_us()
        latest_us = now_us + KEPT_US + AHEAD_US
        for row in self.store.exports.overdue(now_us, latest_us):
            if row.state == ExportState.READY.value:
                self._end(row.export_id, ExportState.EXPIRED, "", was=ExportState.READY)
            else:
                self._end(row.export_id, ExportState.FAILED, "the station was stopped while it worked on it")
        for export_id in self.store.exports.left_behind(now_us, latest_us):
            with self.store.transaction():
                self.store.exports.drop_parts(export_id)

    def _end(
        self, export_id: str, state: ExportState, note: str, *, was: ExportState = ExportState.RUNNING
    ) -> None:
        """Nothing happens if somebody was faster: a file that is being fetched stays."""
        with self.store.transaction():
            if self.store.exports.change(export_id, was.value, state=state.value, note=note):
                self.store.exports.drop_parts(export_id)

    def _note(self, asker: Asker, what: str, asked: str, now_us: int) -> None:
        self.store.audit(AuditRow(now_us, asker.who, what, asked, 1, asker.purpose, asker.case_number))


def _write(kind: str, found: Iterator[StoredRecord], out: TextOut) -> None:
    match kind:
        case "csv":
            write_csv(found, out, READ_SCHEMA)
        case "kml":
            write_kml(found, out)
        case "gpx":
            write_gpx(found, out)
        case _:
            write_geojson(found, out)


class _Parts(io.TextIOBase):
    """A text file whose parts go into the database."""

    def __init__(self, exports: Exports, export_id: str) -> None:
        self._exports = exports
        self._export_id = export_id
        self._waiting = bytearray()
        self._number = 0
        self._size = 0
        self._done = 0

    def counted(self, records: Iterator[StoredRecord]) -> Iterator[StoredRecord]:
        """Count, and tell now and then; ends when the request was stopped.  Raises ExportError for too many."""
        for record in records:
            self._done += 1
            if self._done > MAX_RECORDS:
                raise ExportError(f"more than {MAX_RECORDS:,} reads: give narrower conditions")
            if self._done % _TELL_EVERY == 0:
                self._tell()
            yield record

    def write(self, text: str) -> int:
        """Keep; a whole part is stored."""
        self._waiting += text.encode()
        if len(self._waiting) >= _PART_BYTES:
            self._store()
        return len(text)

    def finish(self) -> None:
        """Store the rest; the file is ready."""
        self._store(state=ExportState.READY.value, until_us=self._exports.clock_us() + KEPT_US)

    def _tell(self) -> None:
        with self._exports.store.transaction():
            self._exports.change_running(self._export_id, **self._progress())

    def _progress(self) -> dict[str, int]:
        return {"done": self._done, "size": self._size, "until_us": self._exports.clock_us() + _LEASE_US}

    def _store(self, **values: Any) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        self._size += len(data)
        with self._exports.store.transaction():
            self._exports.change_running(self._export_id, **{**self._progress(), **values})
            if data:
                self._exports.store.exports.add_part(self._export_id, self._number, data)
        self._number += 1
