"""The running station: store, ingest and service."""

from __future__ import annotations

import queue
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.text import Text

from cli.station_place import now_us
from cli.station_web import start_web
from cli.terminal import PlainConsole, plain
from protocol.wire.records.read import Read
from station.audit_log.checkpoints import Checkpointer
from station.audit_log.heads import note_heads
from station.audit_log.witnessing import Witnessing
from station.housekeeping import Housekeeping, Routine
from station.ingest import Ingest
from station.metrics.own import worker_counts, worker_samples
from station.metrics.server import start_metrics
from station.query.bound import ReadBound
from station.query.take_over import take_over
from station.retention.schedule import Retention
from station.searches import KeptSearches
from station.service import GROUP, StationService
from station.store import is_address, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from protocol.metrics import Sample
    from protocol.policy.pack import PolicyPack
    from protocol.seal import KeyRing, Opener
    from protocol.wire.record import Record
    from station.ingest import IngestLimits
    from station.service import BrokerAddress
    from station.store import Store
    from station.web.serve import WebServer
    from station.web.settings import WebSettings

EXIT_CRASHED = 70
_LOOK_S = 1.0
_HEADS_S = 600.0
"""How often to look; they are noted once an hour, by one worker."""
_TAKE_OVER_S = 60.0
"""Else the first who opens a page of deployment would wait for months of records."""
_MOST_TAKEN = 5000
"""In one go: a station that is stopped must not have to wait for all of them."""
_COUNTS_EVERY_S = 60.0
WORKER_GROUP = 256
"""Messages in one transaction on PostgreSQL: COPY is the faster the more rows it has."""


def receive(
    db: Path | str,
    addresses: Sequence[BrokerAddress],
    name: str,
    units: frozenset[str] | None,
    *,
    opener: Opener | None = None,
    sealed_only: bool | None = None,
    ring: KeyRing | None = None,
    packs: tuple[PolicyPack, ...] = (),
    deletes: bool = True,
    metrics: str | None = None,
    limits: IngestLimits | None = None,
    web: WebSettings | None = None,
    web_is_default: bool = False,
) -> int:
    """Receive from all brokers until SIGINT or SIGTERM, and serve the page if ``web`` says where.

    With the log's key in ``ring`` checkpoints are signed and sent to units; ``deletes`` is false if nothing is to be
    deleted on time, by the records' own expiry and by ``packs``.  Returns the exit code.  Raises StoreError,
    BrokerError and WebError.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    console = PlainConsole()
    new_reads: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
    store = open_store(db) if opener is None else open_store(db, open_picture=opener.picture)
    is_worker = is_address(db)
    log_key = None if ring is None else ring.log
    witnessing = [
        None if ring is None or log_key is None else Witnessing(store, ring, log_key.public) for _ in addresses
    ]
    ingests = [
        Ingest(
            store,
            name,
            now_us,
            units=units,
            limits=limits,
            # Thousands a second: nobody reads them, and printing takes longer than storing.
            on_read=None if is_worker else new_reads.put,
            opener=opener,
            sealed_only=sealed_only,
            witnessing=witness,
        )
        for witness in witnessing
    ]
    services = [
        StationService(
            replace(address, keeps_session=not is_worker),
            ingest,
            station=name,
            group=WORKER_GROUP if is_worker else GROUP,
        )
        for address, ingest in zip(addresses, ingests, strict=True)
    ]
    page: tuple[WebServer, Store] | None = None

    def collect() -> list[Sample]:
        return worker_samples(ingests, services) + ([] if page is None else page[0].requests.samples())

    exporter = None if metrics is None else start_metrics(metrics, collect)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: new_reads.put(None))
    if web is not None:
        page = start_web(db, web, ring, is_default=web_is_default, console=console)
    for service in services:
        service.start()
    brokers = ", ".join(f"{address.host}:{address.port}" for address in addresses)
    serving = f"receiving from {brokers} into {_shown(db)} as {name}; Ctrl-C to stop"
    console.print(serving)
    housekeeping = Housekeeping(
        time.monotonic,
        checkpointer=None if log_key is None else Checkpointer(store, log_key, now_us),
        retention=Retention(store, packs, now_us, time.monotonic) if deletes else None,
        short_lived=(KeptSearches(store, now_us), ReadBound(store, now_us)),
        witnessing=tuple(witness for witness in witnessing if witness is not None),
        routines=(
            Routine(_HEADS_S, "heads_not_noted", lambda: note_heads(store, now_us())),
            Routine(_TAKE_OVER_S, "records_not_taken_over", lambda: take_over(store, _MOST_TAKEN)),
        ),
    )
    _show_until_stopped(console, new_reads, ingests, services, housekeeping, has_keys=opener is not None)
    crashed = not all(service.is_alive for service in services)
    for service in services:
        service.close()
    if exporter is not None:
        exporter.close()
    if page is not None:
        page[0].close()
        page[1].close()
    store.close()
    summary = ", ".join(
        f"{name} {number:,}" for name, number in worker_counts(ingests, services).items() if number
    )
    console.print(summary or "no messages")
    if hint := keys_hint(ingests, has_keys=opener is not None):
        console.print(hint, style="red")
    return EXIT_CRASHED if crashed else 0


def _show_until_stopped(
    console: Console,
    new_reads: queue.SimpleQueue[Record | None],
    ingests: Sequence[Ingest],
    services: Sequence[StationService],
    housekeeping: Housekeeping,
    *,
    has_keys: bool,
) -> None:
    """Print new reads, the first hint and, once a minute, the counters, until a signal comes or a service ends."""
    going, warned = True, False
    told_s = time.monotonic()
    while going and all(service.is_alive for service in services):
        try:
            record = new_reads.get(timeout=_LOOK_S)
        except queue.Empty:
            pass
        else:
            going = record is not None
            if record is not None and isinstance(record.body, Read):
                line = _line(record, record.body, show_plate=console.is_terminal)
                console.print(line)
        housekeeping.step()
        if not warned and (hint := keys_hint(ingests, has_keys=has_keys)):
            warned = True
            console.print(hint, style="red")
        if time.monotonic() - told_s >= _COUNTS_EVERY_S:
            told_s = time.monotonic()
            structlog.get_logger().info("station_counts", **worker_counts(ingests, services))


def _shown(db: Path | str) -> str:
    """Without a password."""
    return str(db) if isinstance(db, Path) else "PostgreSQL"


def keys_hint(ingests: Sequence[Ingest], *, has_keys: bool) -> str | None:
    """What to do about records that the station could not decrypt or verify; None if there were none."""
    count = sum(ingest.counts.key_unknown for ingest in ingests)
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


def _line(record: Record, read: Read, *, show_plate: bool) -> str | Text:
    """Prints plates and places on a terminal, ids elsewhere."""
    place, envelope = read.place, record.envelope
    if not show_plate:
        # A pipe is a log: neither plates nor places.
        return f"{envelope.unit} #{envelope.seq}  {envelope.record_id.hex()}"
    where = "no fix" if place.lat_deg is None else f"{place.lat_deg:.5f} {place.lon_deg:.5f}"
    return Text.assemble(
        plain(f"{envelope.unit} #{envelope.seq}  "), (plain(read.text), "bold"), plain(f"  {read.region}  {where}")
    )
