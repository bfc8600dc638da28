"""The end of the demo: the station's pages, with an account made on the spot, and a map with units and leads."""

from __future__ import annotations

import json
import secrets
import webbrowser
from contextlib import contextmanager
from dataclasses import replace
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

from cli.demo_console import has_display
from station.accounts.rights import Role
from station.asker import EVERYTHING, Asker
from station.errors import WebError
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import Console

    from station.store import Store

NAME = "demo"
_TIMEOUT_S = 20.0
_DAY_US = 86_400_000_000


@contextmanager
def station_page(db: Path, clock_us: Callable[[], int], console: Console, *, keep: bool) -> Iterator[str]:
    """Serve the pages of a station's file as long as the context lasts; say where, and what the map shows.

    ``clock_us`` is a time soon after the records'; with ``keep`` it is said how to log in.  Yields the address.  Raises
    WebError and StoreError.
    """
    store = open_store(db, must_exist=True)
    try:
        server = _server(store, clock_us)
        server.start()
        try:
            password = secrets.token_urlsafe(12)
            by = Asker(NAME)
            link = server.accounts.add(by, NAME, full_name="Demo", role=Role.SUPERVISOR.value, scope=EVERYTHING)
            server.accounts.set_up(link, password, "")
            units, hits = _shown(server.address, password, clock_us())
            shown = f"{_counted(units, 'unit')} and {_counted(hits, 'lead')}"
            told = f"map of the station with {shown}: {server.address}/map"
            if keep:
                told += f"\nlog in as {NAME} with the password {password}"
            console.print(told)
            if keep and has_display():
                webbrowser.open(f"{server.address}/map")
            yield server.address
        finally:
            server.close()
    finally:
        store.close()


def _server(store: Store, clock_us: Callable[[], int]) -> WebServer:
    """At the usual port, or at another one if that is in use."""
    settings = WebSettings(station="demo")
    try:
        return WebServer(store, settings, clock_us)
    except WebError:
        return WebServer(store, replace(settings, port=0), clock_us)


def _shown(address: str, password: str, now_us: int) -> tuple[int, int]:
    """Log in as a browser does; return how many units and leads the map shows."""
    client = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))
    fields = urlencode({"name": NAME, "password": password, "code": ""}).encode()
    with client.open(Request(f"{address}/log-in", fields, {"Origin": address}), timeout=_TIMEOUT_S):  # noqa: S310 - our own
        pass
    units = _asked(client, f"{address}/api/1/map/units")["units"]
    world = {
        "south": -90,
        "west": -180,
        "north": 90,
        "east": 180,
        "since_us": now_us - _DAY_US,
        "until_us": now_us,
    }
    hits = _asked(client, f"{address}/api/1/map/hits?{urlencode(world)}")["hits"]
    return sum(unit["utc_us"] is not None for unit in units), len(hits)


def _asked(client: OpenerDirector, address: str) -> dict[str, Any]:
    with client.open(address, timeout=_TIMEOUT_S) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
