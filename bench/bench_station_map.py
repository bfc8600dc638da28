"""What a map and the pages of leads ask a station's store, on PostgreSQL and on a SQLite file.

``python -m bench.bench_station_map --reads 3000000 --hits 1000000`` fills both with so many, over 30 days (100,000 and
20,000 without the options, as in `make bench`).  Times are of whole queries with their entry in the audit trail.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bench_postgres import DAY_US, DAYS, NOW_US, fill
from bench.measure import Figure, arguments
from protocol.wire.enums import DispositionAction, HitStage
from station.asker import Asker
from station.query.ledger import LedgerQuery
from station.query.maps import Bounds, MapQuery
from station.query.places import UnitPlaces
from station.store import open_store
from station.store.hit_search import HitSearch
from station.store.tables import HIT_STATES
from tests.builders import make_read_record, make_record
from tests.hit_builders import make_disposition, make_hit_body
from tests.postgres import Postgres
from tests.station_files import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END_US = NOW_US + DAYS * DAY_US
LIMIT_MS = 300.0
"""At the 95th percentile."""
CITY, DISTRICT, STREET = 0.4, 0.05, 0.002
"""Degrees from the middle of a part of the map to its edge."""
STATES = ("new", "acknowledged", "confirmed", "rejected", "withdrawn", "expired")
GROUP = 20_000


def fill_file(store: Any, count: int) -> None:
    """Reads as in :func:`bench.bench_postgres.fill`, in a SQLite file."""
    draw = random.Random(1)  # noqa: S311 - not for secrets
    payload = make_read_record(1).payload
    connection = store.db.connection.connection.dbapi_connection
    numbers = iter(range(count))
    while group := list(itertools.islice(numbers, GROUP)):
        records, reads = [], []
        for number in group:
            at_us = NOW_US + number * DAYS // count * DAY_US + draw.randrange(DAY_US)
            key = (f"unit-{draw.randrange(50)}", number.to_bytes(16, "big"))
            records.append((*key, number, bytes(16), "read/1", at_us, "nonhit", 1, at_us, "gnss", 100, 1, payload))
            lat, lon = draw.gauss(45.0, 0.1), draw.gauss(-100.0, 0.15)
            reads.append((*key, "7ABC123", "US-CA", "front", 9000, round(lat * 1e7), round(lon * 1e7)))
        with store.transaction():
            connection.executemany(
                "INSERT INTO records (unit, record_id, seq, boot, schema, received_us, retention, mono_us, utc_us,"
                " time_source, uncertainty_ms, generation, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                records,
            )
            connection.executemany(
                "INSERT INTO reads (unit, record_id, text, region, camera, confidence_e4, lat_e7, lon_e7)"
                " VALUES (?,?,?,?,?,?,?,?)",
                reads,
            )


def fill_hits(store: Any, count: int) -> None:
    """Rows of what became of hits, and whole records of the latest 500."""
    draw = random.Random(3)  # noqa: S311 - as above
    insert = store.db.insert(HIT_STATES).on_conflict_do_nothing()
    numbers = iter(range(count))
    while group := list(itertools.islice(numbers, GROUP)):
        rows = []
        for number in group:
            made_us = NOW_US + number * DAYS * DAY_US // count
            state = draw.choice(STATES)
            rows.append(
                {
                    "unit": f"unit-{draw.randrange(50)}", "hit_id": (number + 10_000).to_bytes(16, "big"),
                    "agency": "Example Sheriff", "record_id": number.to_bytes(16, "big"), "received_us": made_us,
                    "boot": None, "made_us": made_us, "list_id": f"list-{draw.randrange(20)}",
                    "list_name": "A list of vehicles", "list_owner": f"Owner {draw.randrange(5)}", "list_version": 3,
                    "priority": "high", "state": state, "reason": "misread" if state == "rejected" else "",
                    "outcome": "recovered" if state == "confirmed" else "",
                    "lat_e7": round(draw.gauss(45.0, 0.1) * 1e7), "lon_e7": round(draw.gauss(-100.0, 0.15) * 1e7),
                    "error_cm": 450,
                }
            )  # fmt: skip
        with store.transaction():
            store.db.run(insert, rows)
    records = []
    for number in range(min(count, 500)):
        hit_id, seq = number.to_bytes(16, "big"), 10**9 + 3 * number
        made_us = END_US - (number + 1) * 1_000_000
        for body in (
            make_hit_body(hit_id=hit_id, utc_us=made_us),
            make_hit_body(hit_id=hit_id, utc_us=made_us, stage=HitStage.FINAL),
            make_disposition(DispositionAction.REJECTED, hit_id=hit_id),
        ):  # fmt: skip
            records.append(make_record(body, seq=seq, unit=f"unit-{number % 50}"))
            seq += 1
    add(store, *records, now_us=END_US - 1)
    store.db.driver_sql("ANALYZE")


def part(draw: random.Random, size: float) -> Bounds:
    """A part of the map around where reads are."""
    lat, lon = (45.0, -100.0) if size == CITY else (draw.gauss(45.0, 0.07), draw.gauss(-100.0, 0.1))
    return Bounds(lat - size, lon - size, lat + size, lon + size)


def _reads(query: MapQuery, size: float, days: int, draw: random.Random) -> object:
    return query.map_reads(part(draw, size), since_us=END_US - days * DAY_US, until_us=END_US)


def questions(store: Any) -> Iterator[tuple[str, Callable[[random.Random], object]]]:
    """Name and question."""
    asker = Asker("bench", "bench", "1")
    query = MapQuery(store, asker, lambda: END_US, UnitPlaces(store, lambda: END_US))
    for place, size in (("city", CITY), ("district", DISTRICT), ("street", STREET)):
        for period, days in (("a day", 1), ("30 days", DAYS)):
            yield f"reads of a {place} in {period}", partial(_reads, query, size, days)
    yield (
        "leads of a city in a day",
        lambda draw: query.map_hits(part(draw, CITY), since_us=END_US - DAY_US, until_us=END_US),
    )
    yield "where 50 units are", lambda _: UnitPlaces(store, lambda: END_US).look(asker.scope)
    ledger = LedgerQuery(store, asker, lambda: END_US)
    yield "page of leads", lambda _: ledger.hit_page(HitSearch(), limit=50)
    yield (
        "page of undecided leads of a list",
        lambda draw: ledger.hit_page(
            HitSearch(list_id=f"list-{draw.randrange(20)}", states=("new", "acknowledged")), limit=50
        ),
    )
    yield "leads by list in a day", lambda _: ledger.yields(HitSearch(since_us=END_US - DAY_US))
    yield "leads by list in 7 days", lambda _: ledger.yields(HitSearch(since_us=END_US - 7 * DAY_US))
    yield "leads by list in 30 days", lambda _: ledger.yields(HitSearch(since_us=NOW_US))


def measure(title: str, store: Any, turns: int) -> None:
    """Each question, many times."""
    draw = random.Random(2)  # noqa: S311 - as above
    for name, ask in questions(store):
        ask(draw)
        wall_ms = []
        for _ in range(turns):
            start_s = time.perf_counter()
            ask(draw)
            wall_ms.append((time.perf_counter() - start_s) * 1e3)
        high_ms = statistics.quantiles(wall_ms, n=20)[-1]
        print(Figure(f"{title}, {name}, 95 of 100", high_ms, "ms", limit=LIMIT_MS).as_json(), flush=True)
        print(Figure(f"{title}, {name}, median", statistics.median(wall_ms), "ms").as_json(), flush=True)


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--hits", type=int, default=20_000)
    parser.add_argument("--only", choices=("postgres", "file"))
    options = parser.parse_args()
    reads, hits, turns = (2_000, 500, 2) if options.tiny else (options.reads, options.hits, 40)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        if options.only != "postgres":
            store = open_store(Path(name) / "station.db")
            fill_file(store, reads)
            fill_hits(store, hits)
            measure(f"file, {reads:,} reads", store, turns)
            store.close()
        if options.only != "file":
            server = Postgres(Path(name) / "server", settings="shared_buffers = 1GB\nmax_wal_size = 4GB")
            try:
                server.create().start()
                server.make_template(lambda address: open_store(address).close())
                store = open_store(server.new_database())
                fill(store, reads)
                fill_hits(store, hits)
                measure(f"PostgreSQL, {reads:,} reads", store, turns)
                store.close()
            finally:
                server.stop()


if __name__ == "__main__":
    main()
