"""Runs outputs: takes the next records from the stream, says so in the audit trail, delivers, moves on."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from hw.backoff import Backoff
from station.errors import DeliveryError, RecordRefusedError, StoreError
from station.outputs.config import CotOutput, WebhookOutput
from station.outputs.events import Event, is_shared
from station.outputs.json_lines import JsonLines
from station.outputs.tak import TakOutput
from station.outputs.webhook import WebhookSender
from station.query.stored import stored_record
from station.retention.purges import clock_doubt
from station.store import AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from station.outputs.config import AnyOutput
    from station.store import Store, StreamRow

IDLE_S = 1.0
_LEASE_S = 60.0
_TIDY_S = 60.0
_MIN_WAIT_S, _MAX_WAIT_S = 1.0, 300.0
_DOUBT_S = 60.0
_JOIN_S = 15.0
_LOG = structlog.get_logger(__name__)


class Destination(Protocol):
    """Where records go."""

    batch: int
    """Maximum number of events at a time."""

    @property
    def where(self) -> str:
        """For the audit trail, without secrets."""

    def send(self, events: Sequence[Event]) -> int:
        """Deliver events; return how many were of use.  Raises DeliveryError, or RecordRefusedError for one event."""

    def close(self) -> None:
        """Close what is open."""


def open_destination(table: AnyOutput, clock_us: Callable[[], int]) -> Destination:
    """Open the destination of a table.  Raises StationConfigError for files that cannot be used."""
    if isinstance(table, CotOutput):
        return TakOutput(table, clock_us)
    if isinstance(table, WebhookOutput):
        return WebhookSender(table, clock_us)
    return JsonLines(table)


class OutputRunner:
    """One output; used by one thread.  ``step`` is one round, and returns the seconds until the next."""

    def __init__(
        self,
        store: Store,
        table: AnyOutput,
        destination: Destination,
        clock_us: Callable[[], int],
        *,
        holder: str,
        backoff: Backoff | None = None,
    ) -> None:
        self._store = store
        self._table = table
        self._destination = destination
        self._clock_us = clock_us
        self._holder = holder
        self._backoff = backoff or Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        self._attempts = 0
        self._tidied_us = self._believed_us = 0
        self._doubt = ""
        """Why nothing is given up for its age at the moment; empty if the clock is believed."""

    @property
    def name(self) -> str:
        """Name of the output."""
        return self._table.name

    def register(self) -> None:
        """Make the output known to the store."""
        self._store.stream.register(self.name, self._table.wanted, self._clock_us())

    def step(self) -> float:
        """Deliver the next records, if there are any.  Raises StoreError."""
        now_us = self._clock_us()
        if not self._store.stream.take(self.name, self._holder, now_us, now_us + round(_LEASE_S * 1e6)):
            self._attempts = 0
            return _LEASE_S / 4
        self._tidy(now_us)
        rows = self._store.stream.following(self.name, self._destination.batch)
        if not rows:
            return IDLE_S
        old_us = now_us - round(self._table.max_age_h * 3.6e9)
        if rows[0].received_us < old_us:
            if self._doubts_clock(now_us):
                return _DOUBT_S
            return self._bury(rows[0], f"older than {self._table.max_age_h:g} hours", now_us)
        rows = rows[: next((n for n, row in enumerate(rows) if row.received_us < old_us), len(rows))]
        return self._deliver(rows, now_us)

    def _deliver(self, rows: Sequence[StreamRow], now_us: int) -> float:
        events = [event for row in rows if (event := self._event(row, now_us)) is not None]
        sent = 0
        if events:
            if self._attempts == 0:
                self._note(events, now_us)
            try:
                sent = self._destination.send(events)
            except DeliveryError as error:
                self._attempts += 1
                self._store.stream.fail(self.name, str(error))
                wait_s = error.retry_after_s or self._backoff.next_s()
                _LOG.warning("output_waits", output=self.name, reason=str(error), wait_s=round(wait_s, 1))
                return wait_s
            except RecordRefusedError as error:
                return self._bury(rows[0], str(error), now_us)
        self._passed()
        self._store.stream.advance(self.name, rows[-1].place, sent, len(rows) - sent, self._clock_us())
        return 0.0

    def _bury(self, row: StreamRow, reason: str, now_us: int) -> float:
        _LOG.warning("output_dead_letter", output=self.name, id=row.record_id.hex(), reason=reason)
        self._store.stream.bury(self.name, row, reason, self._attempts + 1, now_us)
        self._passed()
        return 0.0

    def _doubts_clock(self, now_us: int) -> bool:
        """True while nothing may be given up for its age: a wrong date would give up all that waits."""
        if 0 <= now_us - self._believed_us < _DOUBT_S * 1e6:
            return False
        doubt = clock_doubt(now_us, self._store)
        if not doubt:
            self._believed_us, self._doubt = now_us, ""
            return False
        if doubt != self._doubt:
            _LOG.warning("output_waits", output=self.name, reason=doubt, wait_s=_DOUBT_S)
            self._store.stream.fail(self.name, doubt)
        self._doubt = doubt
        return True

    def _passed(self) -> None:
        self._attempts = 0
        self._backoff.reset()

    def _event(self, row: StreamRow, now_us: int) -> Event | None:
        if row.row is None:
            return None
        stored = stored_record(row.row, self._store.registry)
        return Event(stored) if is_shared(stored, self._table, self._table.wanted, now_us) else None

    def _note(self, events: Sequence[Event], now_us: int) -> None:
        """Durable before anything leaves."""
        shared = " ".join(
            f"{name}={'yes' if given else 'no'}"
            for name, given in (
                ("plates", self._table.plates),
                ("positions", self._table.positions),
                ("officers", self._table.officers),
            )
        )
        span = f"first={events[0].id} last={events[-1].id}"
        asked = f"kind={self._table.kind} to={self._destination.where} {shared} {span}"
        with self._store.transaction():
            self._store.audit(AuditRow(now_us, f"output {self.name}", "send records", asked, len(events)))

    def _tidy(self, now_us: int) -> None:
        if 0 <= now_us - self._tidied_us < _TIDY_S * 1e6:
            return
        self._tidied_us = now_us
        left_out = self._store.stream.bound(self.name, self._table.max_waiting)
        if left_out:
            _LOG.error("output_overflow", output=self.name, left_out=left_out)
        self._store.stream.prune()

    def close(self) -> None:
        """Let another process deliver at once."""
        self._destination.close()
        self._store.stream.free(self.name, self._holder)


class OutputService:
    """A thread for each output: one that cannot deliver does not stop the others."""

    def __init__(self, store: Store, tables: Sequence[AnyOutput], clock_us: Callable[[], int]) -> None:
        """Raises StationConfigError for files of a table that cannot be used."""
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._runners = [
            OutputRunner(store, table, open_destination(table, clock_us), clock_us, holder=holder)
            for table in tables
        ]
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(runner,), name=f"output-{runner.name}", daemon=True)
            for runner in self._runners
        ]

    @property
    def is_alive(self) -> bool:
        """False once a thread ended by a defect."""
        return all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Make the outputs known, and begin.  Raises StoreError."""
        for runner in self._runners:
            runner.register()
        for thread in self._threads:
            thread.start()

    def _run(self, runner: OutputRunner) -> None:
        backoff = Backoff(_MIN_WAIT_S, _MAX_WAIT_S)
        while not self._closing.is_set():
            try:
                wait_s = runner.step()
                backoff.reset()
            except StoreError as error:
                wait_s = backoff.next_s()
                _LOG.error("output_store_failed", output=runner.name, reason=str(error))
            self._closing.wait(wait_s)

    def close(self) -> None:
        """End the threads and free the outputs."""
        self._closing.set()
        end_s = time.monotonic() + _JOIN_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end_s - time.monotonic()))
        for runner, thread in zip(self._runners, self._threads, strict=True):
            if not thread.is_alive():
                try:
                    runner.close()
                except StoreError as error:
                    _LOG.warning("output_not_freed", output=runner.name, reason=str(error))
