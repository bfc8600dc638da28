"""``patrol-lpr station metrics``: health of the units and state of the outputs, for Prometheus."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

from cli.station_place import DbOption, opened


def serve(
    context: typer.Context,
    *,
    db: DbOption = None,
    listen: Annotated[
        str, typer.Option(help="Loopback ADDRESS:PORT; port 0 selects a free one.")
    ] = "127.0.0.1:9470",
    max_units: Annotated[int, typer.Option(min=1, max=5_000, help="Units of which all values are served.")] = 500,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics and end.")] = False,
) -> None:
    """Serve what the units reported last, and what the outputs wait for, to Prometheus, until Ctrl-C."""
    from protocol.metrics import exposition  # noqa: PLC0415 - keeps --help fast
    from station.metrics.server import MetricsServer, parse_listen  # noqa: PLC0415 - as above
    from station.metrics.units import UnitMetrics  # noqa: PLC0415 - as above

    address = parse_listen(listen)
    ending = threading.Event()
    with opened(context, db) as store:
        metrics = UnitMetrics(store, max_units=max_units)
        if once:
            sys.stdout.write(exposition(metrics.samples()))
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        server = MetricsServer(*address, metrics.samples)
        server.start()
        sys.stderr.write(f"metrics are at http://{address[0]}:{server.port}/metrics; Ctrl-C to stop\n")
        ending.wait()
        server.close()
