"""``patrol-lpr station``: receive, show, export, delete."""

from __future__ import annotations

import getpass
import queue
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from station.broker import EmbeddedBroker
from station.export import to_csv, to_geojson
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.show import reads_table, units_table
from station.store import Store

if TYPE_CHECKING:
    from agent.sync.wire import ReadMessage

_DEFAULT_PORT = 1883

app = typer.Typer(help="The receiving end: store, receipt, show, export.", rich_markup_mode=None)
DbOption = Annotated[Path, typer.Option("--db", help="The station's file.")]
_DB = Path("station.db")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    *,
    db: DbOption = _DB,
    broker: Annotated[str | None, typer.Option(help="HOST[:PORT] of a broker; absent: an embedded one.")] = None,
    port: Annotated[int, typer.Option(help="Port of the embedded broker.")] = _DEFAULT_PORT,
    protocol: Annotated[str, typer.Option(help="MQTT version: 5 or 3.1.1.")] = "5",
    name: Annotated[str, typer.Option(help="Name of this station; goes into every receipt.")] = "station",
    units: Annotated[str | None, typer.Option(help="Comma-separated units that may send; absent: all.")] = None,
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File whose first line is the password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Authorities to trust, PEM.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate of the station, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of the station, PEM.")] = None,
) -> None:
    """Receive reads until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    embedded = None
    if broker is None:
        embedded = EmbeddedBroker(port=port)
        address = BrokerAddress(embedded.host, embedded.start(), five=False)
    else:
        host, _, given_port = broker.partition(":")
        password = password_file.read_text(encoding="utf-8").splitlines()[0] if password_file else None
        address = BrokerAddress(
            host,
            int(given_port or _DEFAULT_PORT),
            five=protocol == "5",
            username=username,
            password=password,
            ca=ca,
            cert=cert,
            key=key,
        )
    allowed = frozenset(units.split(",")) if units else None
    _receive(db, address, name, allowed)
    if embedded is not None:
        embedded.close()


def _receive(db: Path, address: BrokerAddress, name: str, units: frozenset[str] | None) -> None:
    console = Console()
    store = Store(db)
    news: queue.SimpleQueue[ReadMessage | None] = queue.SimpleQueue()
    ingest = Ingest(store, name, _now_us, units=units, on_read=news.put)
    service = StationService(address, ingest, station=name)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: news.put(None))
    service.start()
    console.print(f"station {name}: broker {address.host}:{address.port}, file {db}; Ctrl-C ends")
    while (read := news.get()) is not None:
        place = "no fix" if read.place.lat_deg is None else f"{read.place.lat_deg:.5f} {read.place.lon_deg:.5f}"
        console.print(f"{read.unit} #{read.seq}  [bold]{read.text}[/]  {read.region}  {place}", highlight=False)
    service.close()
    store.close()
    counts = ingest.counts
    console.print(f"{counts.reads} new reads, {counts.doubles} doubles, {counts.malformed} malformed messages")


@app.command()
def reads(db: DbOption = _DB, unit: str | None = None, limit: int = 50) -> None:
    """Show the latest reads."""
    store = Store(db)
    rows = store.reads(unit=unit, limit=limit)
    store.audit(_now_us(), getpass.getuser(), "show", len(rows))
    store.close()
    Console().print(reads_table(rows))


@app.command("units")
def show_units(db: DbOption = _DB) -> None:
    """Show the units: last seen, missing and evicted reads."""
    store = Store(db)
    rows = store.units()
    store.close()
    Console().print(units_table(rows))


@app.command()
def export(
    db: DbOption = _DB,
    csv: Annotated[Path | None, typer.Option(help="Write CSV here; - for standard output.")] = None,
    geojson: Annotated[Path | None, typer.Option(help="Write GeoJSON here; - for standard output.")] = None,
    unit: str | None = None,
) -> None:
    """Export reads; the export is noted in the audit trail."""
    if csv is None and geojson is None:
        raise typer.BadParameter("give --csv FILE or --geojson FILE")
    store = Store(db)
    rows = store.reads(unit=unit)
    store.audit(_now_us(), getpass.getuser(), "export", len(rows))
    store.close()
    for path, text in ((csv, to_csv(rows)), (geojson, to_geojson(rows))):
        if path is not None:
            _write(path, text)


@app.command()
def purge(days: float, db: DbOption = _DB, retention: str = "nonhit") -> None:
    """Delete reads of a retention class older than DAYS, with their pictures."""
    store = Store(db)
    gone = store.purge(_now_us(), days, retention=retention, who=getpass.getuser())
    store.close()
    Console().print(f"{gone} reads deleted")


@app.command()
def audit(db: DbOption = _DB) -> None:
    """Show who took what out."""
    store = Store(db)
    for row in store.audit_trail():
        Console().print(f"{row.utc_us / 1e6:.0f}  {row.who}  {row.what}  {row.count} reads", highlight=False)
    store.close()


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def _now_us() -> int:
    return time.time_ns() // 1000
