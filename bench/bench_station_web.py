"""The station's pages on PostgreSQL, over HTTP: the 95th percentile of each.

``python -m bench.bench_station_web --reads 3000000`` fills the database with so many reads over 30 days (100,000
without the option, as in `make bench`).
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bench.bench_postgres import DAY_US, DAYS, NOW_US, fill, plate
from bench.measure import Figure, arguments
from station.asker import EVERYTHING, Asker
from station.query.bound import MAX_READS, ReadBound
from station.query.export import iso
from station.store import AuditRow, open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.postgres import Postgres
from tests.station_web import CHEAP, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

TURNS = 60
UNITS = 50
ENTRIES = 100_000
LIMIT_MS = 300.0


class Client:
    """One browser's connection."""

    def __init__(self, server: WebServer, role: str) -> None:
        desk = server.desk
        ReadBound(desk.store, desk.clock_us).set(Asker("bench"), MAX_READS)
        link = desk.accounts.add(Asker("bench"), f"b-{role}", full_name="B", role=role, scope=EVERYTHING)
        desk.accounts.set_up(link, PASSWORD, "")
        secret, person = desk.log_in.log_in(f"b-{role}", PASSWORD, "")
        assert person.session is not None
        desk.log_in.set_purpose(person.session, "bench", "1")
        self._host = server.address.removeprefix("http://")
        self._headers = {"cookie": f"{desk.cookie}={secret}"}
        self._csrf = person.session.csrf
        self._connection = http.client.HTTPConnection(self._host, timeout=60)

    def get(self, path: str) -> float:
        """Milliseconds of a page, until its last byte."""
        start_s = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:200])
        return (time.perf_counter() - start_s) * 1e3

    def post(self, path: str, body: Any) -> float:
        """As a script of the page."""
        headers = {**self._headers, "content-type": "application/json", "x-csrf-token": self._csrf}
        start_s = time.perf_counter()
        self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (path, answer.status, data[:200])
        return (time.perf_counter() - start_s) * 1e3

    def search(self, body: dict[str, str]) -> str:
        """Keep a search; return the address of its result."""
        fields = urlencode({**body, "csrf": self._csrf})
        headers = {**self._headers, "content-type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/search", fields, headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 303, answer.status
        return str(answer.getheader("location"))


def searches(draw: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and fields of a search."""
    day_us = NOW_US + draw.randrange(DAYS) * DAY_US
    yield "search, exact plate", {"plates": plate(draw)}
    yield "search, wildcard", {"plates": f"*{plate(draw)[1:5]}*"}
    yield "search, looks like it", {"plates": plate(draw), "look_alike": "true"}
    near = {
        "lat_deg": f"{draw.gauss(45.0, 0.1):.5f}",
        "lon_deg": f"{draw.gauss(-100.0, 0.15):.5f}",
        "radius_m": "500",
    }
    yield "search, radius and time", {**near, "since": iso(day_us) or "", "until": iso(day_us + DAY_US) or ""}
    yield "search, one unit", {"unit": f"unit-{draw.randrange(UNITS)}"}
    yield "search, everything", {}


def fill_rest(store: Any, entries: int) -> None:
    """Units, and entries of the trail by twenty people."""
    with store.transaction():
        store.note_seen([f"unit-{number}" for number in range(UNITS)], NOW_US)
        for number in range(entries):
            who, case = f"p{number % 20}", f"26-{number % 500}"
            store.audit(AuditRow(NOW_US + number, who, "search reads", f"plates=A{number}", 1, "bench", case))
    store.db.driver_sql("ANALYZE")


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    options = parser.parse_args()
    reads, turns, entries = (2_000, 3, 500) if options.tiny else (options.reads, TURNS, ENTRIES)
    with tempfile.TemporaryDirectory() as name:
        postgres = Postgres(Path(name) / "server", settings="shared_buffers = 1GB\nmax_wal_size = 4GB")
        Path(name).chmod(0o755)
        try:
            postgres.create().start()
            postgres.make_template(lambda address: open_store(address).close())
            measure(postgres.new_database(), reads, turns, entries)
        finally:
            postgres.stop()


def measure(address: str, reads: int, turns: int, entries: int) -> None:
    """Fill, serve, and ask."""
    store: Any = open_store(address)
    fill(store, reads)
    fill_rest(store, entries)
    server = WebServer(store, WebSettings(port=0), lambda: NOW_US + (DAYS + 1) * DAY_US, hasher=CHEAP)
    server.start()
    analyst, auditor = Client(server, "analyst"), Client(server, "auditor")
    draw = random.Random(3)  # noqa: S311 - not for secrets
    times: dict[str, list[float]] = {}
    for _ in range(turns):
        for name, body in searches(draw):
            times.setdefault(name, []).append(analyst.get(analyst.search(body)))
        number, person = draw.randrange(reads), draw.randrange(20)
        found = {"plates": [plate(draw)], "limit": 50}
        times.setdefault("program, exact plate", []).append(analyst.post("/api/1/reads/search", found))
        times.setdefault("units", []).append(analyst.get("/units"))
        times.setdefault("one unit", []).append(analyst.get(f"/units/unit-{number % UNITS}"))
        times.setdefault("audit, latest", []).append(auditor.get("/audit"))
        times.setdefault("audit, one person", []).append(auditor.get(f"/audit?who=p{person}"))
        times.setdefault("audit, one case", []).append(auditor.get(f"/audit?case=26-{number % 500}"))
    for name, taken in times.items():
        worst_ms = statistics.quantiles(taken, n=20)[-1]
        title = f"pages, {reads:,} reads, {name}"
        print(Figure(f"{title}, 95th percentile", worst_ms, "ms", limit=LIMIT_MS).as_json(), flush=True)
    server.close()
    store.close()


if __name__ == "__main__":
    main()
