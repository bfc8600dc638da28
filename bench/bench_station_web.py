"""The station's pages on PostgreSQL, over HTTP: the 95th percentile of each.

``python -m bench.bench_station_web --reads 3000000`` fills the database with so many reads over 30 days, a third as
many entries of the trail, and a thirtieth as many leads, besides the simulated month of 20 units (100,000 reads without
the option, as in `make bench`, and five days of 3 units).  A page that is not asked for here fails the program.
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

from fastapi.routing import APIRoute
from starlette.routing import Match

from bench.bench_postgres import DAY_US, DAYS, NOW_US, fill, plate
from bench.measure import Figure, arguments
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health
from station.accounts.rights import RIGHTS, Role
from station.asker import EVERYTHING, Asker
from station.planning import Planning
from station.query.bound import MAX_READS, ReadBound
from station.query.export import iso
from station.store import open_store
from station.web.page_list import PAGES
from station.web.serve import WebServer
from station.web.settings import WebSettings
from station.web.visit import needs_of
from tests.month.deploy import deploy
from tests.month.draw import make_month
from tests.month.fill import fill as fill_month
from tests.month.world import FULL, SMALL
from tests.postgres import Postgres
from tests.station_web import CHEAP, DOWNLOADS, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from station.web.visit import Needs
    from tests.month.draw import Month

TURNS = 60
UNITS = 50
LIMIT_MS = 300.0


class Client:
    """One browser's connection."""

    def __init__(self, server: WebServer, role: Role, name: str) -> None:
        desk = server.desk
        ReadBound(desk.store, desk.clock_us).set(Asker("bench"), MAX_READS)
        link = desk.accounts.add(Asker("bench"), name, full_name="B", role=role, scope=EVERYTHING)
        desk.accounts.set_up(link, PASSWORD, "")
        secret, person = desk.log_in.log_in(name, PASSWORD, "")
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
    yield "search, looks like it", {"plates": plate(draw)[:5], "look_alike": "true"}
    yield "search, 1,024 texts that look alike", {"plates": "0ODQ2ZA", "look_alike": "true"}
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
        f" 450000000 + mod(n, 9999), -1000000000 + mod(n, 9999), 450 FROM generate_series(0::bigint, {leads - 1}) AS n"
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


class Pages:
    """Serves the pages, and asks for each as somebody who may."""

    def __init__(self, store: Any, clock_us: Callable[[], int], name: str) -> None:
        self.server = WebServer(store, WebSettings(port=0), clock_us, hasher=CHEAP)
        self.server.start()
        self.clients = {role: Client(self.server, role, f"{name}-{role}") for role in _ROLES}
        self.times: dict[str, list[float]] = {}
        self.asked: set[str] = set()

    def get(self, name: str, path: str) -> None:
        """One page."""
        route, needs = next(found for found in _page_routes() if _is_of(found[0], path))
        right = needs.right
        client = next(client for role, client in self.clients.items() if right is None or right in RIGHTS[role])
        self.times.setdefault(name, []).append(client.get(path))
        self.asked.add(route.path)


_ROLES = (Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR, Role.ADMINISTRATOR, Role.OFFICER)
"""The first that may asks."""


def _page_routes() -> list[tuple[APIRoute, Needs]]:
    routes = [route for page in PAGES for route in page.router.routes if isinstance(route, APIRoute)]
    found = [(route, needs_of(route)) for route in routes if "GET" in (route.methods or ())]
    return [(route, needs) for route, needs in found if needs is not None]


def _is_of(route: APIRoute, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path.partition("?")[0], "headers": []}
    return route.matches(scope)[0] is Match.FULL


def ask_about_reads(pages: Pages, reads: int, draw: random.Random, read: str) -> None:
    """Each page once that shows reads, leads or the trail, of the large tables."""
    analyst = pages.clients[Role.ANALYST]
    for name, body in searches(draw):
        pages.get(name, analyst.search(body))
    found = {"plates": [plate(draw)], "limit": 50}
    pages.times.setdefault("program, exact plate", []).append(analyst.post("/api/1/reads/search", found))
    number, person = draw.randrange(reads), draw.randrange(20)
    for name, path in (
        ("one read", read),
        ("first page", "/"),
        ("map", "/map"),
        ("map, units", "/api/1/map/units"),
        ("map, reads of an hour in view", f"/api/1/map/reads?{view(draw)}"),
        ("map, leads of a day in view", f"/api/1/map/hits?{view(draw, DAY_US)}"),
        ("leads", "/hits"),
        ("leads, the oldest first", "/hits?days=0&order=oldest"),
        ("leads, one list", f"/hits?list=list{number % 5}"),
        ("units", "/units"),
        ("one unit", f"/units/unit-{number % UNITS}"),
        ("roll-outs", "/lists"),
        ("import doctor", "/lists/doctor"),
        ("exports", "/exports"),
        ("new export", f"/exports/new/{analyst.search({}).rpartition('/')[2]}"),
        ("holds", "/holds"),
        ("evidence", "/evidence"),
        ("search, its form", "/search"),
        ("report", "/reports?definition=general&period=2026-09"),
        ("report definitions", "/reports/definitions"),
        ("alarm quality", "/alarms?period=2026-09"),
        ("accounts", "/accounts"),
        ("one account", "/accounts/reads-analyst"),
        ("own account", "/account"),
        ("settings", "/settings"),
        ("purpose", "/purpose"),
        ("audit, latest", "/audit"),
        ("audit, the oldest first", "/audit?order=oldest"),
        ("audit, one person", f"/audit?who=p{person}"),
        ("audit, one case", f"/audit?case=26-{number % 500}"),
        ("audit, one case, the oldest first", f"/audit?order=oldest&case=26-{number % 500}"),
        ("audit log", "/audit/log"),
    ):
        pages.get(name, path)


def ask_about_month(pages: Pages, month: Month, draw: random.Random) -> None:
    """Each page once that shows shifts, incidents and stories of hits."""
    truth, size = month.truth, month.size
    days = f"first={size.first}&days={size.days}"
    hit, incident = draw.choice(truth.hits), draw.choice(truth.incidents)
    shift = draw.choice(truth.plan)
    for name, path in (
        ("one hit", f"/hits/{hit.unit}/{hit.hit_id.hex()}"),
        ("incidents", f"/incidents?{days}&cell_m=2000"),
        ("one incident", f"/incidents/{incident.incident_id.hex()}"),
        ("coverage", f"/deployment/coverage?{days}"),
        ("hours", f"/deployment/hours?{days}"),
        ("own hours", f"/deployment/own?first={size.first}"),
        ("people", "/deployment/people"),
        ("plan of a week", f"/deployment/plan?week={size.first}"),
        ("one planned shift", f"/deployment/plan/{shift.id}"),
        ("whereabouts of a day", f"/deployment/where?unit={hit.unit}&first={size.first}"),
        ("zones", "/deployment/zones"),
    ):
        pages.get(name, path)


def measure(address: str, reads: int, turns: int) -> None:
    """Fill, serve, and ask."""
    store: Any = open_store(address)
    month = make_month(FULL if reads >= 1_000_000 else SMALL)
    deploy(Planning(store, Asker("bench", "month"), lambda: month.last_us), month.truth)
    fill_month(store, month)  # first: what is older is deleted by its purges
    fill(store, reads)
    fill_rest(store, reads // 3, reads // 30)
    with store.transaction():
        ((unit, record_id),) = store.db.fetch(
            "SELECT unit, record_id FROM reads WHERE made_us > %s LIMIT 1", (NOW_US,)
        )
    read = f"/reads/{unit}/{bytes(record_id).hex()}"
    draw = random.Random(3)  # noqa: S311 - not for secrets
    asked_at_us = NOW_US + (DAYS + 1) * DAY_US
    asks: list[tuple[int, str, Callable[[Pages], None]]] = [
        (asked_at_us, "reads", lambda pages: ask_about_reads(pages, reads, draw, read)),
        # After the other one: by its clock those sessions are over.
        (month.last_us, "month", lambda pages: ask_about_month(pages, month, draw)),
    ]
    missed = {route.path for route, _ in _page_routes() if not route.path.startswith("/api/")} - DOWNLOADS
    for now_us, kind, ask in asks:
        pages = Pages(store, lambda now_us=now_us: now_us, kind)  # type: ignore[misc]
        for _ in range(turns):
            ask(pages)
        pages.server.close()
        missed -= pages.asked
        for name, taken in pages.times.items():
            worst_ms = statistics.quantiles(taken, n=20)[-1]
            title = f"pages, {reads:,} reads, {name}"
            print(Figure(f"{title}, 95th percentile", worst_ms, "ms", limit=LIMIT_MS).as_json(), flush=True)
    store.close()
    if missed:
        raise SystemExit(f"give these pages an address in this program: {sorted(missed)}")


if __name__ == "__main__":
    main()
