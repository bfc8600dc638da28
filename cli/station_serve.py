"""The running station: store, ingest and service."""

from __future__ import annotations

import queue
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.markup import escape

from protocol.wire.records.read import Read
from station.ingest import Ingest
from station.service import StationService
from station.store import open_store

if TYPE_CHECKING:
    from protocol.seal import Opener
    from protocol.wire.record import Record
    from station.service import BrokerAddress

EXIT_CRASHED = 70
_LOOK_S = 1.0
_COUNTS_EVERY_S = 60.0


def receive(
    db: Path | str,
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
    serving = f"receiving from {address.host}:{address.port} into {_shown(db)} as {name}; Ctrl-C to stop"
    console.print(serving, highlight=False, soft_wrap=True)
    going, warned = True, False
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
        if not warned and (hint := keys_hint(ingest, has_keys=opener is not None)):
            warned = True
            console.print(hint, style="red", markup=False, highlight=False, soft_wrap=True)
        if time.monotonic() - told_s >= _COUNTS_EVERY_S:
            told_s = time.monotonic()
            structlog.get_logger().info("station_counts", **_counts(ingest, service))
    crashed = not service.is_alive
    service.close()
    store.close()
    summary = ", ".join(f"{name} {number:,}" for name, number in _counts(ingest, service).items() if number)
    console.print(summary or "no messages", highlight=False, soft_wrap=True)
    if hint := keys_hint(ingest, has_keys=opener is not None):
        console.print(hint, style="red", markup=False, highlight=False, soft_wrap=True)
    return EXIT_CRASHED if crashed else 0


def _shown(db: Path | str) -> str:
    """Without a password."""
    return str(db) if isinstance(db, Path) else "PostgreSQL"


def keys_hint(ingest: Ingest, *, has_keys: bool) -> str | None:
    """What to do about records that the station could not decrypt or verify; None if there were none."""
    count = ingest.counts.key_unknown
    if not count:
        return None
    if not has_keys:
        return (
            f"{count:,} encrypted records NOT stored: this station has no keys. The units keep them. "
            "Stop it and start it with --keys FOLDER, the folder from `patrol-lpr keys station FOLDER` "
            "whose station.pub the units have"
        )
    return (
        f"{count:,} records NOT stored: their key is not in the folder of --keys. The units keep them. "
        "Add station*.key that they are encrypted for, and unit-ID.pub of each unit, then restart the station"
    )


def _counts(ingest: Ingest, service: StationService) -> dict[str, int]:
    return {**asdict(ingest.counts), **asdict(service.counts)}


def _line(record: Record, read: Read, *, show_plate: bool) -> str:
    """Prints plates and places on a terminal, ids elsewhere."""
    place, envelope = read.place, record.envelope
    if not show_plate:
        # A pipe is a log: neither plates nor places.
        return f"{envelope.unit} #{envelope.seq}  {envelope.record_id.hex()}"
    where = "no fix" if place.lat_deg is None else f"{place.lat_deg:.5f} {place.lon_deg:.5f}"
    return f"{envelope.unit} #{envelope.seq}  [bold]{escape(read.text)}[/]  {escape(read.region)}  {where}"
