"""Reports on PostgreSQL, and evidence packages: how long one takes.

``python -m bench.bench_reports --reads 3000000`` fills a database with so many reads over 30 days (100,000 without the
option, as in `make bench`); one in a hundred is a hit that an officer decided.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench.bench_postgres import DAY_US, DAYS, NOW_US, cpu_s, fill, plate
from bench.measure import Figure, arguments
from protocol.seal import SigningKey
from protocol.wire.enums import DispositionAction, HitStage, MatchRule
from protocol.wire.records.disposition import RECORD_TYPE as DISPOSITION_TYPE
from protocol.wire.records.hit import RECORD_TYPE as HIT_TYPE
from station.asker import Asker
from station.evidence.make import make_package
from station.query.evidence import EvidenceOf
from station.query.trail import Trail
from station.reports.make import make_report
from station.store import open_store
from station.store.postgres.projections import KEY, KEY_TYPES, TYPES
from station.store.postgres.records import TYPES_OF_ROW
from station.store.records import ROW
from station.store.reporting import Period
from tests.builders import BOOT
from tests.hit_builders import make_disposition, make_hit_body
from tests.postgres import Postgres
from tests.signed_series import NOW_US as SIGNED_US
from tests.signed_series import READ_ID, SignedUnit

if TYPE_CHECKING:
    from protocol.wire.registry import RecordType

CLERK = Asker("bench", "measurement", "bench")
PACKAGES = 20
ROUNDS = 3


def fill_hits(store: Any, count: int) -> None:
    """Hits in two stages with a decision each; rows as a worker makes them, payloads are shared."""
    draw = random.Random(3)  # noqa: S311 - not for secrets
    numbers = iter(range(count))
    while group := list(itertools.islice(numbers, 10_000)):
        hits, decisions = [], []
        for number in group:
            at_us = NOW_US + number * DAYS // count * DAY_US + draw.randrange(DAY_US)
            hit_id, text, owner = (
                number.to_bytes(16, "little"),
                plate(draw),
                draw.choice(("State", "County", "City")),
            )
            rule = draw.choice((MatchRule.EXACT, MatchRule.APPROXIMATE))
            for stage in (HitStage.PREVIEW, HitStage.FINAL):
                body = make_hit_body(
                    text, hit_id=hit_id, stage=stage, list_owner=owner, list_id=owner.lower(), rule=rule, utc_us=at_us,
                    listed_text=text, list_as_of_us=at_us - draw.randrange(DAY_US),
                )  # fmt: skip
                hits.append((number, at_us, body))
            action = draw.choice((DispositionAction.CONFIRMED, DispositionAction.REJECTED))
            decisions.append((number, at_us, make_disposition(action, hit_id=hit_id, utc_us=at_us)))
        with store.transaction():
            add(store, HIT_TYPE, hits)
            add(store, DISPOSITION_TYPE, decisions)


def add(store: Any, known: RecordType, made: list[tuple[int, int, Any]]) -> None:
    """Copy records of one type with their search columns."""
    projection = known.projection
    assert projection is not None
    records, rows = [], []
    for place, (number, at_us, body) in enumerate(made):
        key = (
            f"unit-{number % 50}",
            known.schema[:3].encode() + number.to_bytes(9, "big") + place.to_bytes(4, "big"),
        )
        records.append(
            (
                *key,
                place,
                BOOT,
                known.schema,
                at_us,
                "hit",
                1,
                at_us,
                "gnss",
                100,
                1,
                b"\x80",
                bytes(16),
                bytes(16),
            )
        )
        rows.append((*key, at_us, at_us, *(column.value(body) for column in projection.columns)))
    store.db.copy("records", (*ROW, "salt"), (*TYPES_OF_ROW, "bytea"), records)
    names = tuple(column.name for column in projection.columns)
    types = tuple(TYPES[column.kind] for column in projection.columns)
    store.db.copy(projection.table, (*KEY, *names), (*KEY_TYPES, *types), rows)


def measure_reports(server: Postgres, reads: int, rounds: int) -> None:
    """The whole report, and the counts of which it is made."""
    address = server.new_database()
    store: Any = open_store(address)
    fill(store, reads)
    fill_hits(store, max(4, reads // 100))
    # As the server does by itself, soon after the records of a day have come.
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    period = Period(NOW_US, NOW_US + DAYS * DAY_US)
    title = f"PostgreSQL, {reads:,} reads"
    (backend,) = store.db.driver_sql("SELECT pg_backend_pid()").one()
    start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
    for _ in range(rounds):
        make_report(store, CLERK, lambda: NOW_US, period)
    # Client and server.
    taken_cpu_s, taken_s = (cpu_s(backend) - start_cpu_s) / rounds, (time.perf_counter() - start_s) / rounds
    print(Figure(f"{title}, a report, CPU", taken_cpu_s, "s").as_json(), flush=True)
    print(Figure(f"{title}, a report", taken_s, "s", limit=5.0).as_json(), flush=True)
    store.close()


def measure_packages(folder: Path, count: int) -> None:
    """Evidence packages of a hit with its story and two pictures, from a station's file."""
    store = open_store(folder / "station.db")
    unit = SignedUnit(store)
    unit.hit_with_story()
    own, ring = SigningKey.generate(), unit.ring()
    evidence = EvidenceOf(store, CLERK, lambda: SIGNED_US, Trail(store, CLERK, lambda: SIGNED_US))

    def make() -> None:
        package = evidence.package(READ_ID, ring)
        assert package is not None
        make_package(package, own, None)

    make()
    start_s = time.perf_counter()
    for _ in range(count):
        make()
    mean_s = (time.perf_counter() - start_s) / count
    print(Figure("an evidence package", mean_s, "s", limit=1.0).as_json(), flush=True)
    store.close()


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure_packages(Path(name), 2 if options.tiny else PACKAGES)
        server = Postgres(Path(name) / "server", settings="shared_buffers = 1GB\nmax_wal_size = 4GB")
        Path(name).chmod(0o755)
        try:
            server.create().start()
            server.make_template(lambda address: open_store(address).close())
            measure_reports(server, 2_000 if options.tiny else options.reads, 1 if options.tiny else ROUNDS)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
