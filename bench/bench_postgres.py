"""The station on PostgreSQL: ingest beside a bare COPY of the same rows, and searches.

A private server is started; every commit waits for its disk.  ``python -m bench.bench_postgres --reads 3000000`` fills
a database for the searches with so many reads over 30 days (100,000 without the option, as in `make bench`).
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from agent.sync.encoder import RecordEncoder
from bench.measure import Figure, arguments
from cli.simulate import fresh_keys
from protocol.seal import Opener, Sealer, SigningKey, StationKey, load_keyring
from protocol.seal.evidence import START
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.store import open_store
from station.store.postgres.days import days, drop_partition
from station.store.postgres.projections import KEY, KEY_TYPES, tables_of_day
from station.store.postgres.records import TYPES_OF_ROW
from station.store.records import ROW
from station.store.rows import PurgePlan, PurgeRule
from station.store.search import Circle, ReadSearch
from tests.builders import BOOT, make_read, make_read_record
from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNITS = 8
READS = 8_000
GROUP = 256
ROUNDS = 3
SEARCHES = 60
FULL, DETACH_MS = 3_000_000, 50.0
DETACHED_DAYS = 8
DAYS = 30
DAY_US = 86_400_000_000
NOW_US = 1_790_000_000_000_000 // DAY_US * DAY_US
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
READ_COLUMNS = ("text", "region", "camera", "confidence_e4", "lat_e7", "lon_e7")
READ_TYPES = ("text", "text", "text", "int8", "int8", "int8")


def sealed(keys: Path, count: int) -> list[tuple[str, bytes]]:
    """Sealed reads, signed and chained, of several units in turn: topics and payloads."""
    made = []
    for unit in range(UNITS):
        sealer = Sealer(
            f"unit-{unit}", SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub")
        )
        encoder = RecordEncoder(f"unit-{unit}", "Example Sheriff", BOOT, released_registry(), sealer)
        link, payloads = START, []
        for seq in range(1, count // UNITS + 1):
            read = make_read(seq, text=plate(random.Random(unit * count + seq)), alternatives=())  # noqa: S311
            encoded = encoder.record(seq, read.body, link, read.read_id)
            link = encoded.link
            payloads.append((build(f"unit-{unit}", Channel.READ), encoded.payload))
        made.append(payloads)
    return [message for turn in zip(*made, strict=True) for message in turn]


def ring(keys: Path) -> Opener:
    """Opens what all units have sealed with one key."""
    public = next(keys.glob("unit-*.pub")).read_bytes()
    for unit in range(UNITS):
        (keys / f"unit-unit-{unit}.pub").write_bytes(public)
    return Opener(load_keyring(keys))


def plate(draw: random.Random) -> str:
    """A plausible text."""
    return f"{draw.randrange(1, 10)}{''.join(draw.choices(LETTERS, k=3))}{draw.randrange(1000):03}"


def ingest(address: str, messages: list[tuple[str, bytes]], opener: Opener) -> tuple[float, float]:
    """Wall and CPU seconds of one worker."""
    store = open_store(address)
    worker = Ingest(store, "bench", lambda: NOW_US, opener=opener)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    for first in range(0, len(messages), GROUP):
        for topic, payload in messages[first : first + GROUP]:
            worker.take(topic, payload)
        worker.commit()
    taken = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    assert worker.counts.reads == len(messages), worker.counts
    store.close()
    return taken


def receipts_at_half_load(
    address: str, messages: list[tuple[str, bytes]], opener: Opener, rate_per_s: float
) -> tuple[float, float]:
    """Median and 99th percentile in ms from the arrival of a read to its receipt; arrivals wait for nothing."""
    store = open_store(address)
    worker = Ingest(store, "bench", lambda: NOW_US, opener=opener)
    waits_s: list[float] = []
    start_s = time.perf_counter()
    while len(waits_s) < len(messages):
        first = len(waits_s)
        now_s = time.perf_counter() - start_s
        arrived = min(len(messages), int(now_s * rate_per_s) + 1, first + GROUP)
        if arrived <= first:
            time.sleep(first / rate_per_s - now_s)
            continue
        for topic, payload in messages[first:arrived]:
            worker.take(topic, payload)
        worker.commit()
        done_s = time.perf_counter() - start_s
        waits_s += [done_s - number / rate_per_s for number in range(first, arrived)]
    store.close()
    ordered = sorted(waits_s)
    return statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


def cpu_s(backend: int) -> float:
    """CPU seconds of a connection's server process and of this one: what others do on the machine does not count."""
    fields = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + time.process_time()


def store_only(address: str, messages: list[tuple[str, bytes]], opener: Opener) -> tuple[float, float, float]:
    """Wall and CPU seconds of the store alone: messages are opened and verified before; then those of its partitions.

    Partitions are made once a day, of all tables, and take as long as thousands of reads: as with the bare COPY, they
    are there before the first read.
    """
    store: Any = open_store(address)
    worker = Ingest(store, "bench", lambda: NOW_US, opener=opener)
    groups = []
    for first in range(0, len(messages), GROUP):
        for topic, payload in messages[first : first + GROUP]:
            worker.take(topic, payload)
        groups.append([taken.new for taken in worker._batch.records])  # noqa: SLF001 - what it has opened
        worker._batch.records.clear()  # noqa: SLF001 - as above
    # The pool has one connection as long as one thread uses it.
    (backend,) = store.db.driver_sql("SELECT pg_backend_pid()").one()
    before_s = cpu_s(backend)
    with store.transaction():
        store._pg_records.days.ensure((NOW_US // DAY_US, NOW_US // DAY_US + 1))  # noqa: SLF001 - as the first group does
    start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
    for group in groups:
        with store.transaction():
            store.add_records(group, NOW_US)
    taken = time.perf_counter() - start_s, cpu_s(backend) - start_cpu_s, start_cpu_s - before_s
    store.close()
    return taken


def bare_copy(source: str, address: str) -> tuple[float, float]:
    """Wall and CPU seconds of COPY of the same rows into the same tables and indexes, in equal groups."""
    open_store(address).close()
    with psycopg.connect(source) as full, psycopg.connect(address) as empty:
        day = NOW_US // DAY_US
        for table in ("records", "reads"):
            empty.execute(
                f"CREATE TABLE {table}_d{day} PARTITION OF {table}"
                f" FOR VALUES FROM ({day * DAY_US}) TO ({(day + 1) * DAY_US})"
            )
        empty.commit()
        tables = {
            "evidence": (
                ("unit", "seq", "record_id", "prev", "digest", "key", "signature"),
                ("text", "int8", "bytea", "bytea", "bytea", "bytea", "bytea"),
            ),
            "records": ((*ROW, "salt"), (*TYPES_OF_ROW, "bytea")),
            "reads": ((*KEY, *READ_COLUMNS), (*KEY_TYPES, *READ_TYPES)),
            "record_pictures": (("unit", "record_id", "sha", "kind"), ("text", "bytea", "bytea", "text")),
        }
        rows: dict[str, list[Any]] = {}
        for table, (names, _) in tables.items():
            rows[table] = full.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608 - tables of our own
        backend = empty.info.backend_pid
        start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
        for first in range(0, len(rows["evidence"]), GROUP):
            for table, (names, types) in tables.items():
                share = len(rows[table]) // len(rows["evidence"])
                statement = f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
                with empty.cursor().copy(statement) as copy:
                    copy.set_types(types)
                    for row in rows[table][first * share : (first + GROUP) * share]:
                        copy.write_row(row)
            empty.commit()
        return time.perf_counter() - start_s, cpu_s(backend) - start_cpu_s


def bytes_a_read(address: str, count: int) -> tuple[float, float]:
    """Bytes of a stored read with its indexes, pictures aside: for ever, and until it expires."""
    with psycopg.connect(address) as connection:
        rows = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relname ~ '^(evidence|records_d|reads_d|record_pictures)'"
        ).fetchall()
    kept = sum(size for name, size in rows if name == "evidence")
    return kept / count, (sum(size for _, size in rows) - kept) / count


def in_process(address: str, messages: list[tuple[str, bytes]], keys: Path, ready: Any, done: Any) -> None:
    """A worker in a process of its own."""
    opener = ring(keys)
    ready.wait()
    ingest(address, messages, opener)
    done.wait()


def two_workers(address: str, messages: list[tuple[str, bytes]], keys: Path) -> float:
    """Wall seconds of two workers, each with every other message."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(3), context.Barrier(3)
    for part in (messages[::2], messages[1::2]):
        context.Process(target=in_process, args=(address, part, keys, ready, done), daemon=True).start()
    ready.wait()
    start_s = time.perf_counter()
    done.wait()
    return time.perf_counter() - start_s


def fill(store: Any, count: int) -> None:
    """Reads of 30 days over a city of 40 km, with rows as a worker makes them; payloads are shared."""
    draw = random.Random(1)  # noqa: S311 - not for secrets
    payload = make_read_record(1).payload
    numbers = iter(range(count))
    while group := list(itertools.islice(numbers, 20_000)):
        records, reads = [], []
        for number in group:
            day = number * DAYS // count
            at_us = NOW_US + day * DAY_US + draw.randrange(DAY_US)
            key = (f"unit-{draw.randrange(50)}", number.to_bytes(16, "big"))
            records.append(
                (
                    *key,
                    number,
                    bytes(16),
                    "read/1",
                    at_us,
                    "nonhit",
                    1,
                    at_us,
                    "gnss",
                    100,
                    1,
                    payload,
                    b"",
                    bytes(16),
                )
            )
            lat, lon = draw.gauss(45.0, 0.1), draw.gauss(-100.0, 0.15)
            reads.append(
                (*key, at_us, at_us, plate(draw), "US-CA", "front", 9000, round(lat * 1e7), round(lon * 1e7))
            )
        with store.transaction():
            store._pg_records.days.ensure({row[5] // DAY_US for row in records})  # noqa: SLF001 - past the gate
            store.db.copy("records", (*ROW, "salt"), (*TYPES_OF_ROW, "bytea"), records)
            store.db.copy("reads", (*KEY, *READ_COLUMNS), (*KEY_TYPES, *READ_TYPES), reads)
    # As autovacuum does within minutes: only the latest day of a station has entries that are not sorted in yet.
    store.db.driver_sql(
        "SELECT gin_clean_pending_list(i.oid) FROM pg_class i JOIN pg_am a ON a.oid = i.relam"
        " WHERE a.amname = 'gin' AND i.relkind = 'i'"
    )
    store.db.driver_sql("ANALYZE")


def searches(draw: random.Random) -> Iterator[tuple[str, float, Callable[[], ReadSearch]]]:
    """Name, limit in milliseconds at 3 million reads, and a search."""
    yield "exact plate", 5.0, lambda: ReadSearch((plate(draw),))
    yield "wildcard", 50.0, lambda: ReadSearch((f"*{plate(draw)[1:5]}*",))

    def near() -> ReadSearch:
        since_us = NOW_US + draw.randrange(DAYS) * DAY_US
        area = Circle(draw.gauss(45.0, 0.1), draw.gauss(-100.0, 0.15), 500.0)
        return ReadSearch(area=area, since_us=since_us, until_us=since_us + DAY_US)

    yield "radius and time", 50.0, near
    yield "one unit, latest", 50.0, lambda: ReadSearch(unit=f"unit-{draw.randrange(50)}")


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    options = parser.parse_args()
    tiny = options.tiny
    count, rounds = (GROUP, 1) if tiny else (READS, ROUNDS)
    with tempfile.TemporaryDirectory() as name:
        server = Postgres(Path(name) / "server", settings="shared_buffers = 1GB\nmax_wal_size = 4GB")
        Path(name).chmod(0o755)
        try:
            server.create().start()
            server.make_template(lambda address: open_store(address).close())
            measure_ingest(server, Path(name) / "keys", count, rounds)
            measure_searches(server, 2_000 if tiny else options.reads, 5 if tiny else SEARCHES)
        finally:
            server.stop()


def measure_ingest(server: Postgres, keys: Path, count: int, rounds: int) -> None:
    """One worker, two, the store alone, and a bare COPY."""
    fresh_keys(keys, "unit-0")
    opener = ring(keys)
    messages = sealed(keys, count)
    results, sizes = [], (0.0, 0.0)
    for _ in range(rounds):
        first = server.new_database()
        results.append(
            (
                *ingest(first, messages, opener),
                *store_only(server.new_database(), messages, opener),
                *bare_copy(first, server.new_database()),
                two_workers(server.new_database(), messages, keys),
            )
        )
        sizes = bytes_a_read(first, count)
        server.drop_databases()
    best_s = min(row[0] for row in results)
    median_ms, p99_ms = receipts_at_half_load(server.new_database(), messages, opener, count / best_s / 2)
    server.drop_databases()
    best = (min(column) for column in zip(*results, strict=True))
    wall_s, worker_cpu_s, store_s, store_cpu_s, days_s, copy_s, copy_cpu_s, two_s = best
    for title, value, unit, floor in (
        ("ingest, one worker, sealed reads", count / wall_s, "reads/s", None),
        ("ingest, a core of a worker", count / worker_cpu_s, "reads/s", 1_500.0),
        ("the store alone", count / store_s, "reads/s", None),
        ("bare COPY of the same rows", count / copy_s, "reads/s", None),
        ("the store, of a bare COPY, CPU of client and server", copy_cpu_s / store_cpu_s, "", 0.5),
        ("partitions of two days made, CPU of client and server", days_s * 1e3, "ms", None),
        # 1.7 where each has a core of its own beside the server's; this prints what the machine shows.
        ("two workers, of one", wall_s / two_s, "", None),
        ("a read for ever", sizes[0], "bytes", None),
        ("a read until it expires", sizes[1], "bytes", None),
    ):
        print(Figure(f"PostgreSQL, {title}", value, unit, floor=floor).as_json(), flush=True)

    title = "PostgreSQL, receipt at half load"
    print(Figure(f"{title}, median", median_ms, "ms").as_json(), flush=True)
    print(Figure(f"{title}, 99 %", p99_ms, "ms", limit=500.0).as_json(), flush=True)


def measure_searches(server: Postgres, count: int, turns: int) -> None:
    """Each kind, and the purge of the oldest day."""
    store: Any = open_store(server.new_database())
    fill(store, count)
    (backend,) = store.db.driver_sql("SELECT pg_backend_pid()").one()
    draw = random.Random(2)  # noqa: S311 - as above
    title = f"PostgreSQL, {count:,} reads"
    for name, limit_ms, search in searches(draw):
        wall_ms, cpu_ms = [], []
        for _ in range(turns):
            asked = search()
            start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
            store.find(asked, limit=50)
            wall_ms.append((time.perf_counter() - start_s) * 1e3)
            cpu_ms.append((cpu_s(backend) - start_cpu_s) * 1e3)
        # The kernel counts a process's time in steps of 10 ms: of many searches, the mean is right.
        mean_ms = statistics.mean(cpu_ms)
        print(Figure(f"{title}, {name}, CPU", mean_ms, "ms", limit=limit_ms).as_json(), flush=True)
        print(Figure(f"{title}, {name}, median", statistics.median(wall_ms), "ms").as_json(), flush=True)
    start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
    with store.transaction():
        gone = store.purge(PurgePlan((PurgeRule("nonhit", NOW_US + DAY_US),))).records
    taken_s = cpu_s(backend) - start_cpu_s
    print(Figure(f"{title}, purge of a day of {gone:,} reads, CPU", taken_s * 1e3, "ms").as_json(), flush=True)
    taken_s = time.perf_counter() - start_s
    print(Figure(f"{title}, purge of a day of {gone:,} reads", taken_s * 1e3, "ms").as_json(), flush=True)
    measure_detaching(store, title, count)
    store.close()


def measure_detaching(store: Any, title: str, count: int) -> None:
    """What the partitions of one day cost to go: meanwhile nobody reads or writes records."""
    database = store.db
    with store.transaction():
        ((backend,),) = database.fetch("SELECT pg_backend_pid()")
        start_s, start_cpu_s = time.perf_counter(), cpu_s(backend)
        turns = min(DETACHED_DAYS, len(days(database)))
        for day in days(database)[:turns]:
            for table in ("records", *tables_of_day(database, day)):
                drop_partition(database, table, day)
        # The kernel counts a process's time in steps of 10 ms: of several days, the mean is right.
        wall_ms, cpu_ms = (
            taken_s * 1e3 / turns for taken_s in (time.perf_counter() - start_s, cpu_s(backend) - start_cpu_s)
        )
    limit = DETACH_MS if count >= FULL else None
    name = f"{title}, partitions of a day detached and dropped"
    print(Figure(f"{name}, CPU", cpu_ms, "ms").as_json(), flush=True)
    print(Figure(name, wall_ms, "ms", limit=limit).as_json(), flush=True)


if __name__ == "__main__":
    main()
