"""The running station: store, ingest and service."""

from __future__ import annotations

import queue
import signal
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.markup import escape

from protocol.wire.records.read import Read
from station.ingest import Ingest
from station.service import StationService
from station.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.seal import Opener
    from protocol.wire.record import Record
    from station.service import BrokerAddress

EXIT_CRASHED = 70
_LOOK_S = 1.0
_COUNTS_EVERY_S = 60.0


def receive(
    db: Path,
    address: BrokerAddress,
    name: str,
    units: frozenset[str] | None,
    *,
    opener: Opener | None = None,
    sealed_only: bool | None = None,
) -> int:
    """Receive until SIGINT or SIGTERM; return the exit code.  Raises StoreError and BrokerError."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    console = Console()
    new_reads: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
    store = open_store(db) if opener is None else open_store(db, open_picture=opener.picture)
    ingest = Ingest(
        store,
        name,
        lambda: time.time_ns() // 1000,
        units=units,
        on_read=new_reads.put,
        opener=opener,
        sealed_only=sealed_only,
    )
    service = StationService(address, ingest, station=name)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: new_reads.put(None))
    service.start()
    serving = f"receiving from {address.host}:{address.port} into {db} as {name}; Ctrl-C to stop"
    console.print(serving, highlight=False, soft_wrap=True)
    going = True
    told_s = time.monotonic()
    while going and service.is_alive:
        try:
            record = new_reads.get(timeout=_LOOK_S)
        except queue.Empty:
            pass
        else:
            going = record is not None
            if record is not None and isinstance(record.body, Read):
                line = _line(record, record.body, show_plate=console.is_terminal)
                console.print(line, highlight=False, soft_wrap=True)
        if time.monotonic() - told_s >= _COUNTS_EVERY_S:
            told_s = time.monotonic()
            structlog.get_logger().info("station_counts", **_counts(ingest, service))
    crashed = not service.is_alive
    service.close()
    store.close()
    summary = ", ".join(f"{name} {number:,}" for name, number in _counts(ingest, service).items() if number)
    console.print(summary or "no messages", highlight=False, soft_wrap=True)
    return EXIT_CRASHED if crashed else 0


def _counts(ingest: Ingest, service: StationService) -> dict[str, int]:
    return {**asdict(ingest.counts), **asdict(service.counts)}


def _line(record: Record, read: Read, *, show_plate: bool) -> str:
    """Prints plates on a terminal, ids elsewhere."""
    place, envelope = read.place, record.envelope
    where = "no fix" if place.lat_deg is None else f"{place.lat_deg:.5f} {place.lon_deg:.5f}"
    what = f"[bold]{escape(read.text)}[/]  {escape(read.region)}" if show_plate else envelope.record_id.hex()
    return f"{envelope.unit} #{envelope.seq}  {what}  {where}"
