"""The station's pages on PostgreSQL, over HTTP: the 95th percentile of each.

``python -m bench.bench_station_web --reads 3000000`` fills the database with so many reads over 30 days, a third as
many entries of the trail, and a thirtieth as many leads (100,000 reads without the option, as in `make bench`).
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
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health
from station.asker import EVERYTHING, Asker
from station.query.bound import MAX_READS, ReadBound
from station.query.export import iso
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.postgres import Postgres
from tests.station_web import CHEAP, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

TURNS = 60
UNITS = 50
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
    lat, lon = draw.gauss(45.0, 0.1), draw.gauss(-100.0, 0.15)
    drawn = ((0, 0), (0, 0.01), (0.008, 0.013), (0.01, 0))
    corners = ";".join(f"{lat + north:.6f},{lon + east:.6f}" for north, east in drawn)
    yield (
        "search, drawn area and time",
        {"drawn": corners, "since": iso(day_us) or "", "until": iso(day_us + DAY_US) or ""},
    )
    yield "search, one unit", {"unit": f"unit-{draw.randrange(UNITS)}"}
    yield "search, everything", {}
    yield "search, everything, the oldest first", {"oldest_first": "true"}


def fill_rest(store: Any, entries: int, leads: int) -> None:
    """Units with what they have, leads, and entries of the trail by twenty people."""
    names = [f"unit-{number}" for number in range(UNITS)]
    with store.transaction():
        store.note_seen(names, NOW_US)
        counters = {f"c.{number}": number for number in range(150)}
        gauges = {"files.hotlist.fetched": 3, "files.policy.fetched": 2}
        for name in names:
            health = Health(
                unit=name,
                boot_id=bytes(16),
                mono_us=1,
                utc_us=NOW_US,
                seq_high=1,
                counters=counters,
                gauges=gauges,
            )
            store.note_health(health, encode(health), NOW_US)
    # Past the log, whose tree no page reads: below the numbers of the entries that it will make.
    store.db.driver_sql(
        "INSERT INTO audit (number, utc_us, who, what, count, filter, purpose, case_number)"  # noqa: S608 - numbers
        f" SELECT n - {entries}, {NOW_US} + n, 'p' || mod(n, 20), 'search reads', 1, 'plates=A' || n, 'bench',"
        f" '26-' || mod(n, 500) FROM generate_series(0, {entries - 1}) AS n"
    )
    store.db.driver_sql(
        "INSERT INTO hit_states SELECT 'unit-' || mod(n, 50), decode(lpad(to_hex(n), 32, '0'), 'hex'), 'Sheriff',"  # noqa: S608
        f" decode(lpad(to_hex(n), 32, '0'), 'hex'), {NOW_US}, NULL, {NOW_US} + n * {DAYS * DAY_US // leads},"
        " 'list' || mod(n, 5), 'List', 'Owner ' || mod(n, 3), 1, 'high',"
        " (ARRAY['new', 'confirmed', 'rejected', 'expired'])[1 + mod(n, 4)], '', '',"
        f" 450000000 + mod(n, 9999), -1000000000 + mod(n, 9999), 450 FROM generate_series(0, {leads - 1}) AS n"
    )
    store.db.driver_sql("ANALYZE")


def view(draw: random.Random, span_us: int = DAY_US // 24) -> str:
    """Part of the map, and a time."""
    lat, lon, at_us = draw.gauss(45.0, 0.1), draw.gauss(-100.0, 0.15), NOW_US + draw.randrange(DAYS) * DAY_US
    box = {"south": lat - 0.05, "north": lat + 0.05, "west": lon - 0.07, "east": lon + 0.07}
    return urlencode({**box, "since_us": at_us, "until_us": at_us + span_us})


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    options = parser.parse_args()
    reads, turns = (2_000, 3) if options.tiny else (options.reads, TURNS)
    with tempfile.TemporaryDirectory() as name:
        postgres = Postgres(Path(name) / "server", settings="shared_buffers = 1GB\nmax_wal_size = 4GB")
        Path(name).chmod(0o755)
        try:
            postgres.create().start()
            postgres.make_template(lambda address: open_store(address).close())
            measure(postgres.new_database(), reads, turns)
        finally:
            postgres.stop()


def measure(address: str, reads: int, turns: int) -> None:
    """Fill, serve, and ask."""
    store: Any = open_store(address)
    fill(store, reads)
    fill_rest(store, reads // 3, reads // 30)
    server = WebServer(store, WebSettings(port=0), lambda: NOW_US + (DAYS + 1) * DAY_US, hasher=CHEAP)
    server.start()
    analyst, auditor, supervisor = (Client(server, role) for role in ("analyst", "auditor", "supervisor"))
    draw = random.Random(3)  # noqa: S311 - not for secrets
    with store.transaction():
        ((unit, record_id),) = store.db.fetch("SELECT unit, record_id FROM reads LIMIT 1")
    times: dict[str, list[float]] = {}
    for _ in range(turns):
        for name, body in searches(draw):
            times.setdefault(name, []).append(analyst.get(analyst.search(body)))
        number, person = draw.randrange(reads), draw.randrange(20)
        found = {"plates": [plate(draw)], "limit": 50}
        times.setdefault("program, exact plate", []).append(analyst.post("/api/1/reads/search", found))
        for name, client, path in (
            ("one read", analyst, f"/reads/{unit}/{bytes(record_id).hex()}"),
            ("first page", supervisor, "/"),
            ("map", analyst, "/map"),
            ("map, units", analyst, "/api/1/map/units"),
            ("map, reads of an hour in view", analyst, f"/api/1/map/reads?{view(draw)}"),
            ("map, leads of a day in view", analyst, f"/api/1/map/hits?{view(draw, DAY_US)}"),
            ("leads", analyst, "/hits"),
            ("leads, the oldest first", analyst, "/hits?days=0&order=oldest"),
            ("leads, one list", analyst, f"/hits?list=list{number % 5}"),
            ("units", analyst, "/units"),
            ("one unit", analyst, f"/units/unit-{number % UNITS}"),
            ("roll-outs", supervisor, "/lists"),
            ("exports", supervisor, "/exports"),
            ("holds", supervisor, "/holds"),
            ("zones", supervisor, "/deployment/zones"),
            ("audit, latest", auditor, "/audit"),
            ("audit, the oldest first", auditor, "/audit?order=oldest"),
            ("audit, one person", auditor, f"/audit?who=p{person}"),
            ("audit, one case", auditor, f"/audit?case=26-{number % 500}"),
            ("audit, one case, the oldest first", auditor, f"/audit?order=oldest&case=26-{number % 500}"),
        ):
            times.setdefault(name, []).append(client.get(path))
    for name, taken in times.items():
        worst_ms = statistics.quantiles(taken, n=20)[-1]
        title = f"pages, {reads:,} reads, {name}"
        print(Figure(f"{title}, 95th percentile", worst_ms, "ms", limit=LIMIT_MS).as_json(), flush=True)
    server.close()
    store.close()


if __name__ == "__main__":
    main()
