"""The station on a real PostgreSQL: several workers, days that expire, an outage, a file that moves in."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.sync.encoder import RecordEncoder
from cli import station as station_cli
from cli.main import app
from cli.simulate import fresh_keys
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.seal.evidence import START
from protocol.wire.codec import decode, encode
from protocol.wire.control.receipt import Nack, Receipt
from protocol.wire.enums import NackCode
from protocol.wire.registry import Registry
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build
from station.asker import Asker, Scope
from station.commands import Commands
from station.errors import StoreError
from station.ingest import Ingest
from station.query import Query
from station.query.bulk import Exports
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger
from station.store import NewRecord, check, open_store, sequence
from station.store.hit_search import HitSearch
from station.store.postgres import ranges
from station.store.reporting import Period
from station.store.rows import PurgePlan, PurgeRule
from station.store.rows_accounts import AccountRow
from station.store.search import ReadSearch
from station.store.sequence import merge
from tests.builders import BOOT, make_read, make_read_record, make_record, make_time_anchor
from tests.conftest import ROOT
from tests.contract.test_station_store import DAY_US, NO_TIME, NOW_US, UNIT, anchor, chunk, picture
from tests.hit_builders import make_disposition, make_hit_body
from tests.postgres import Postgres, program
from tests.station_files import add, stored_reads
from tests.unit.station.test_station_ingest import MESSAGES, RECORDS, TOPICS, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.store import Store

pytestmark = pytest.mark.integration
RUNNER = CliRunner()


@pytest.fixture
def address(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
def workers(address: str) -> Iterator[list[Store]]:
    stores = [open_store(address) for _ in range(3)]
    yield stores
    for store in stores:
        store.close()


def run(*arguments: object):
    if not any(group.name == "station" for group in app.registered_groups):
        app.add_typer(station_cli.app, name="station")
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def test_no_statement_is_compiled(address):
    """Its compiler took 4 s for statements over sixty days that run for 2 ms."""
    with closing(open_store(address)) as store, store.transaction():
        store.db.driver_sql("SET LOCAL jit_above_cost = 0")
        plan = [line for (line,) in store.db.fetch("EXPLAIN (ANALYZE) SELECT count(*) FROM records")]
        assert [line for line in plan if "JIT" in line] == []
        store.db.driver_sql("SET LOCAL jit = on")
        plan = [line for (line,) in store.db.fetch("EXPLAIN (ANALYZE) SELECT count(*) FROM records")]
        assert [line for line in plan if "JIT" in line], "this server has no compiler: the test shows nothing"


# Several workers


@pytest.mark.slow
def test_workers_store_each_record_once(workers):
    """The same records come to all, in groups that overlap, from several units, in different orders."""
    records = [make_read_record(n, seq=n // 4 + 1, unit=f"unit-{n % 4}", pictures=()) for n in range(400)]

    def work(store: Store, seed: int) -> int:
        draw = random.Random(seed)  # noqa: S311 - not for secrets
        order = draw.sample(records, len(records))
        return sum(sum(add(store, *order[at : at + 20], now_us=NOW_US)) for at in range(0, len(order), 20))

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, workers, range(3))) == len(records)
    assert len(stored_reads(workers[0])) == len(workers[0].find(ReadSearch(), limit=1000).reads) == len(records)
    assert [workers[0].seen(f"unit-{n}") for n in range(4)] == [[(1, 100)]] * 4


@pytest.mark.slow
def test_workers_join_the_chunks_of_a_picture(workers):
    """Each gets its part of several pictures, at the same time and in different orders."""
    contents = [hashlib.sha512(b"%d" % n).digest() * 40 for n in range(4)]
    chunks = [chunk(content, at, at + 128) for content in contents for at in range(0, len(content), 128)]
    topic = build(UNIT, Channel.PICTURE)

    def work(store: Store, first: int) -> None:
        ingest = Ingest(store, "s", lambda: NOW_US)
        own = chunks[first :: len(workers)]
        for at in range(0, len(own), 7):
            for part in random.Random(at).sample(own[at : at + 7], len(own[at : at + 7])):  # noqa: S311 - as above
                ingest.take(topic, encode(part))
            ingest.commit()
        assert ingest.counts.storage_failures == 0, ingest.last_failure

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, workers, range(3)))
    for content in contents:
        assert workers[0].picture(UNIT, hashlib.sha256(content).digest()) == content


@pytest.mark.slow
def test_a_read_and_its_anchor_at_two_workers(workers):
    """Whichever commits first, the read gets its time."""
    together = threading.Barrier(2)

    def work(number: int, store: Store, *records) -> None:
        together.wait()
        add(store, *records, now_us=NOW_US + number)

    with ThreadPoolExecutor(2) as pool:
        for number in range(1, 21):
            boot = number.to_bytes(16, "big")
            undated = make_read_record(number, seq=number, when=NO_TIME, boot_id=boot, pictures=())
            dating = anchor(number, undated.body.mono_us, 1_780_000_000_000_000, boot=boot)
            jobs = [pool.submit(work, number, workers[0], undated), pool.submit(work, number, workers[1], dating)]
            for job in jobs:
                job.result()
    assert {row.utc_us for row in stored_reads(workers[2])} == {1_780_000_000_000_000}


def test_stations_may_open_a_new_database_at_once(postgres):
    """One creates the tables, the others wait for it."""
    postgres.execute("CREATE DATABASE at_once")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(open_store, [postgres.address("at_once")] * 4))
    assert [add(store, make_read_record(n, seq=n), now_us=NOW_US) for n, store in enumerate(stores, 1)] == [
        [True]
    ] * 4
    for store in stores:
        store.close()
    postgres.execute("DROP DATABASE at_once")


@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=8), min_size=1, max_size=30))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_joined_ranges_say_the_same(workers, groups):
    """Joining changes how many rows there are, and no number."""
    db = workers[0].db
    with db.transaction():
        db.fetch("DELETE FROM seen")
        for group in groups:
            ranges.add(db, {("a", b"one"): group, ("a", b"two"): [7], ("b", b""): [2**63 - 1]})
        db.fetch(
            "INSERT INTO seen (unit, life, first, last)"
            " SELECT 'a', 'one'::bytea, n, n FROM generate_series(1001, 1200, 2) n"
        )
        ranges.join(db)
    odd = [(n, n) for n in range(1001, 1200, 2)]
    expected = list(merge((n, n) for n in sorted({n for group in groups for n in group})))
    assert sequence.seen(db, "a", b"one") == expected + odd
    assert sequence.seen(db, "a", b"two") == [(7, 7)]
    assert sequence.seen(db, "b", b"") == [(2**63 - 1, 2**63 - 1)]
    with db.transaction():
        assert db.fetch("SELECT count(*) FROM seen WHERE life = 'one'::bytea") == [(len(expected) + len(odd),)]


# Hostile units


@pytest.mark.slow
@given(RECORDS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_valid_record_is_stored(workers, record):
    """No value that the wire allows is too much for a column: it would block the records of others in its group."""
    ingest = Ingest(workers[0], "s", lambda: NOW_US)
    envelope = record.envelope
    (answer,) = ingest.handle(build(envelope.unit, Channel.READ), record.payload)
    assert decode(answer[1], Receipt, Nack).records == ((envelope.seq, envelope.record_id),), ingest.last_failure
    for row in workers[0].each(envelope.schema_id, unit=envelope.unit):
        assert row.record_id


@pytest.mark.slow
@given(st.lists(st.tuples(TOPICS, st.binary(max_size=64) | damaged() | MESSAGES), max_size=8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_fails_a_group(workers, sent):
    """Whatever comes, what is valid is stored."""
    ingest = Ingest(workers[0], "s", lambda: NOW_US)
    for topic, payload in sent:
        ingest.take(topic, payload)
    ingest.commit()
    assert ingest.counts.storage_failures == 0, ingest.last_failure


def test_one_id_with_two_numbers_is_kept_twice(workers):
    """No unit does so, and one that does must not block the others' group."""
    first, second = make_read_record(1, seq=1), make_read_record(1, seq=2)
    assert add(workers[0], first, second, make_read_record(3, seq=3), now_us=NOW_US) == [True, True, True]
    assert len(stored_reads(workers[0])) == 3


def test_records_of_three_types_under_one_id_are_kept_and_found(workers):
    """No unit does so, and one that does must not block the others' group."""
    read = make_read_record(1, seq=1)
    of_read = read.envelope.record_id
    hit = make_record(make_hit_body(), seq=2, record_id=of_read)
    decision = make_record(make_disposition(), seq=3, record_id=of_read)
    assert add(workers[0], read, hit, decision, now_us=NOW_US) == [True, True, True]
    assert [found.row.payload for found in workers[1].find(ReadSearch(), limit=9).reads] == [read.payload]
    (state,) = workers[1].find_hits(HitSearch(), limit=9)
    (records,) = workers[1].hit_records([state])
    assert [row.payload for row in (*records.stages, *records.decisions)] == [hit.payload, decision.payload]


def test_a_time_anchor_for_a_hit_and_a_read_under_one_id_fails_no_group(workers):
    """They came in one group: both have the time of their own clock."""
    store, read = workers[0], make_read_record(1, seq=1, when=NO_TIME)
    undated = make_hit_body(utc_us=None, mono_us=9_000_000)
    hit = make_record(undated, seq=2, record_id=read.envelope.record_id)
    add(store, read, hit, now_us=NOW_US)
    add(store, anchor(3, read.body.mono_us, NOW_US - DAY_US), now_us=NOW_US)
    assert [found.made_us for found in store.find(ReadSearch(), limit=9).reads] == [NOW_US - DAY_US]
    assert [state.made_us for state in store.find_hits(HitSearch(), limit=9)] == [NOW_US - DAY_US + 8_000_000]


@pytest.mark.parametrize("others", [0, 9])
def test_a_purge_deletes_what_it_certifies_where_ids_are_used_again(workers, others):
    """Deleted row by row, and as a copy of what a day keeps; nothing else goes, and nothing is left of it."""
    store, read = workers[0], make_read_record(1, seq=1, text="GONE1", pictures=())
    hit = make_record(make_hit_body(utc_us=read.body.utc_us), seq=2, record_id=read.envelope.record_id)
    young = make_read_record(1, seq=3, text="STAYS1", retention="hit", pictures=(), utc_us=NOW_US - 1)
    more = [make_read_record(n, seq=n, retention="hit", pictures=()) for n in range(50, 50 + others)]
    add(store, read, hit, young, *more, now_us=NOW_US)
    plan = PurgePlan((PurgeRule("nonhit", NOW_US + 40 * DAY_US),))
    assert Purger(store, Asker("clerk"), lambda: NOW_US).run(plan, "test").records == 1
    assert list(store.holds.unproven()) == []
    assert list(store.faults()) == []
    assert [row.seq for row in store.latest("hit/1")] == [2]
    assert len(store.find_hits(HitSearch(), limit=9)) == 1
    found = store.find(ReadSearch(), limit=99).reads
    assert [one.row.seq for one in found if one.row.seq < 50] == [3]
    assert len(found) == 1 + others
    with store.transaction():
        assert store.db.fetch("SELECT count(*) FROM reads WHERE text = 'GONE1'") == [(0,)]


def test_a_check_finds_no_fault_where_ids_are_used_again(workers, monkeypatch):
    """Whatever the pages; what is altered is found all the same."""
    monkeypatch.setattr(check, "_PAGE", 2)
    store = workers[0]
    add(store, *(make_read_record(1, seq=n, text=f"ABC{n}", pictures=()) for n in range(1, 6)), now_us=NOW_US)
    assert list(store.faults()) == []
    with store.transaction():
        store.db.fetch("UPDATE reads SET text = 'ABC9' WHERE text = 'ABC4'")
    assert [fault.what for fault in store.faults()] == ["search table: text"]


def test_a_type_that_becomes_known_changes_no_record_of_another_type(address):
    """They have one id."""
    read = make_read_record(1, seq=1)
    hit = make_record(make_hit_body(utc_us=NOW_US - DAY_US), seq=2, record_id=read.envelope.record_id)
    older = Registry(tuple(known for known in released_registry() if known.schema != "hit/1"))
    with closing(open_store(address, registry=older)) as store:
        add(store, read, replace(hit, body=None), now_us=NOW_US)
    with closing(open_store(address)) as store:
        assert list(store.faults()) == []
        assert len(store.find_hits(HitSearch(), limit=9)) == 1


# Days that expire


@pytest.mark.parametrize("count", ["hits", "unit_purges", "reads_by_day"])
def test_a_report_waits_for_a_purge_and_the_purge_not_for_the_report(workers, count):
    """Both lock the records first: otherwise the database ends one of them as a deadlock."""
    purging, other = workers[:2]
    counts = getattr(other.reporting, count)
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'records'::regclass AND NOT granted"
    with ThreadPoolExecutor(1) as pool:
        with purging.transaction():
            purging.db.fetch("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
            found = pool.submit(counts, Period(0, NOW_US))
            while purging.db.fetch(waiting) == [(0,)] and not found.done():
                pass
            purging.db.fetch("LOCK TABLE reads, hits, unit_purges IN ACCESS EXCLUSIVE MODE")
        assert not found.result()


def test_a_hold_is_released_while_a_purge_waits_for_the_records(workers):
    """The purge has found out what the holds keep, and wants the table alone: nobody ends as a deadlock."""
    purging, other = workers[:2]
    desk = HoldDesk(other, Asker("clerk"), lambda: NOW_US)
    desk.place(hold_scope(unit=UNIT), case_number="26-1", reason="discovery")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as pool:
        with purging.transaction():
            purging.holds.refresh()
            released = pool.submit(desk.release, 1, case_number="26-1", reason="over")
            while purging.db.fetch(waiting) == [(0,)] and not released.done():
                pass
            purging.db.fetch("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        released.result()
    assert other.holds.counts() == {}


def test_a_day_that_is_over_is_dropped_whole(workers):
    """Nothing is deleted row by row; its numbers are remembered, and its records do not come back."""
    store = workers[0]
    old = [make_read_record(n, seq=n, pictures=()) for n in range(1, 31)]
    add(store, *old, now_us=NOW_US)
    add(store, make_read_record(99, seq=99, utc_us=NOW_US + 39 * DAY_US), now_us=NOW_US + 40 * DAY_US)
    before = tables(store)
    assert Commands(store, Asker("clerk"), lambda: NOW_US + 41 * DAY_US).purge(30).records == 30
    day = NOW_US // DAY_US
    assert before - tables(store) >= {f"records_d{day}", f"reads_d{day}"}
    assert [row.seq for row in stored_reads(store)] == [99]
    for worker in workers:
        assert add(worker, *old, now_us=NOW_US + 41 * DAY_US) == [False] * 30
    assert store.seen(UNIT) == [(1, 30), (99, 99)]
    assert add(workers[1], make_read_record(50, seq=50), now_us=NOW_US) == [True], "by a clock that is slow"


def test_a_day_that_was_dropped_is_made_again_at_every_worker(workers):
    """Each has used it, one of them dropped it; a clock that is slow by then names it again, at the first attempt."""
    day = NOW_US // DAY_US
    for n, worker in enumerate(workers, 1):
        assert add(worker, make_read_record(n, seq=n, pictures=()), now_us=NOW_US) == [True]
    for n, worker in enumerate(workers, 10):
        later_us = NOW_US + (n + 31) * DAY_US
        assert Commands(workers[0], Asker("clerk"), lambda: later_us).purge(30).records > 0  # noqa: B023 - used at once
        assert f"records_d{day}" not in tables(worker)
        assert add(worker, make_read_record(n, seq=n, pictures=()), now_us=NOW_US) == [True]
        assert [found.row.seq for found in worker.find(ReadSearch(), limit=9).reads] == [n]


def test_a_day_that_is_being_dropped_is_made_again_after_it(workers):
    """A worker that stores meanwhile waits for the purge, and then for no failure."""
    store, worker = workers[:2]
    add(worker, make_read_record(1, seq=1, pictures=()), now_us=NOW_US)
    plan = PurgePlan((PurgeRule("nonhit", NOW_US + 40 * DAY_US),))
    with ThreadPoolExecutor(1) as pool:
        with store.transaction():
            assert store.purge(plan).records == 1
            job = pool.submit(add, worker, make_read_record(2, seq=2, pictures=()), now_us=NOW_US)
            while not store.db.fetch("SELECT FROM pg_locks WHERE NOT granted"):
                assert not job.done()
        assert job.result() == [True]
    assert [row.seq for row in stored_reads(store)] == [2]


def test_what_a_day_keeps_is_moved(workers):
    """Another class, and records without one; their search columns and proofs with them."""
    store = workers[0]
    kept = make_read_record(2, seq=2, retention="hit", text="KEEP1")
    add(store, make_read_record(1, seq=1), kept, anchor(3, 0, 1), now_us=NOW_US)
    commands = Commands(store, Asker("clerk"), lambda: NOW_US + 41 * DAY_US)
    assert commands.purge(30, retention="nonhit").records == 1
    assert [row.seq for row in stored_reads(store)] == [2]
    assert [found.row.seq for found in store.find(ReadSearch(("KEEP1",)), limit=5).reads] == [2]
    assert len(store.latest("dating/1")) == 1
    assert commands.purge(30, retention="nonhit").records == 0
    assert commands.purge(30).records == 1
    assert len(store.latest("dating/1")) == 1
    assert store.find(ReadSearch(), limit=5).reads == []


def test_what_was_made_long_ago_and_came_late_is_deleted(workers):
    """Its day is young, it is not."""
    store = workers[0]
    late = make_read_record(1, seq=1, pictures=())
    young = make_read_record(2, seq=2, utc_us=NOW_US + 39 * DAY_US, pictures=())
    add(store, late, young, now_us=NOW_US + 40 * DAY_US)
    assert Commands(store, Asker("clerk"), lambda: NOW_US + 41 * DAY_US).purge(30).records == 1
    assert [row.seq for row in stored_reads(store)] == [2]
    assert [found.row.seq for found in store.find(ReadSearch(), limit=5).reads] == [2]


@pytest.mark.slow
def test_workers_go_on_while_days_are_dropped(workers):
    """A purge of several days, class by class, beside a worker and a reader: nobody fails, nothing young is lost."""
    store, worker, reader = workers
    for day in range(5):
        old = [
            make_read_record(n, seq=n, retention="hit" if n % 10 == 0 else "nonhit", pictures=())
            for n in range(day * 100 + 1, day * 100 + 101)
        ]
        add(store, *old, now_us=NOW_US + day * DAY_US)
    young_us = NOW_US + 60 * DAY_US
    done = threading.Event()

    def work() -> int:
        seq = 1_000
        while not done.is_set():
            seq += 1
            add(worker, make_read_record(seq, seq=seq, utc_us=young_us, pictures=()), now_us=young_us)
        return seq - 1_000

    def read() -> int:
        turns = 0
        while not done.is_set():
            turns += bool(reader.find(ReadSearch(("7ABC123",)), limit=20).reads)
        return turns

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(work), pool.submit(read)]
        commands = Commands(store, Asker("clerk"), lambda: young_us)
        gone = [commands.purge(50, retention=name).records for name in ("nonhit", "hit")]
        done.set()
        stored, turns = (job.result() for job in jobs)
    assert gone == [450, 50]
    assert turns
    assert len(stored_reads(store)) == stored


def tables(store: Store) -> set[str]:
    return {name for (name,) in store.db.driver_sql("SELECT relname FROM pg_class WHERE relkind = 'r'")}


# A server that goes away


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    server = Postgres().create().start()
    server.execute("CREATE DATABASE lpr")
    yield server
    server.remove()


@pytest.mark.slow
def test_nothing_is_receipted_while_the_database_is_away_and_nothing_is_lost(own_server):
    """A crash in the middle of the work: the units are told to try again, until it is back."""
    store = open_store(own_server.address("lpr"))
    ingest = Ingest(store, "s", lambda: NOW_US)
    topic = build(UNIT, Channel.READ)
    waiting = {n: make_read_record(n, seq=n, pictures=()).payload for n in range(1, 41)}
    refused = 0
    for turn in range(8):
        if turn == 2:
            own_server.stop("immediate")
        if turn == 5:
            own_server.start()
        for payload in list(waiting.values())[:10]:
            ingest.take(topic, payload)
        for _, answer in ingest.commit():
            match decode(answer, Receipt, Nack):
                case Receipt() as receipt:
                    assert turn not in {2, 3, 4}
                    for seq, _ in receipt.records:
                        del waiting[seq]
                case Nack() as nack:
                    assert (nack.code, nack.retry) == (NackCode.STORAGE, True)
                    refused += 1
    assert waiting == {}
    assert refused >= 3
    assert "check the database server" in ingest.last_failure
    assert [row.seq for row in stored_reads(store)] == list(range(1, 41))
    store.close()


def test_a_query_during_an_outage_is_an_error_and_works_after_it(own_server):
    """A page shows the error; it needs no restart of its own."""
    store = open_store(own_server.address("lpr"))
    query = Query(store, Asker("clerk"), lambda: NOW_US)
    add(store, make_read_record(), now_us=NOW_US)
    own_server.stop("immediate")
    with pytest.raises(StoreError, match="check the database server"):
        query.records(limit=1)
    own_server.start()
    assert len(query.records(limit=1)) == 1
    store.close()


# Databases that are not the station's


def test_foreign_newer_and_wrong_databases_are_refused(postgres):
    """Each with what to do, and unchanged."""
    address = postgres.new_database()
    name = address.partition("?")[0].rpartition("/")[2]
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", name)
    with pytest.raises(StoreError, match="install the newer station"):
        open_store(address)
    postgres.execute("CREATE DATABASE theirs")
    with pytest.raises(StoreError, match="start the station on it first"):
        open_store(postgres.address("theirs"), must_exist=True)
    postgres.execute("CREATE TABLE records (x int)", "theirs")
    with pytest.raises(StoreError, match="another application"):
        open_store(postgres.address("theirs"))
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "theirs") == [(1,)]
    postgres.execute("DROP DATABASE theirs")
    postgres.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(StoreError, match="ENCODING 'UTF8'"):
        open_store(postgres.address("latin"))
    postgres.execute("DROP DATABASE latin")


def test_an_address_that_is_wrong_is_an_error_without_the_password(postgres):
    """The password is in no message."""
    for wrong in ("postgresql://u:secret9@/nowhere?host=/nowhere", "postgresql://u:secret9@h/d?nonsense=1"):
        with pytest.raises(StoreError) as caught:
            open_store(wrong)
        assert "secret9" not in str(caught.value)


def test_an_export_of_version_15_keeps_its_scope(postgres):
    """NULL was everything; it is written down now."""
    address = postgres.new_database()
    name = address.partition("?")[0].rpartition("/")[2]
    columns = "export_id, account, kind, body, purpose, case_number, requested_us, state, agencies"
    told = "'csv', '{}', 'why', '1', 1, 'requested'"
    rows = f"('e1', 'jane', {told}, NULL), ('e2', 'joe', {told}, '[\"north\"]')"
    for statement in (
        "ALTER TABLE exports ALTER COLUMN agencies DROP NOT NULL, ALTER COLUMN units DROP NOT NULL",
        f"INSERT INTO exports ({columns}) VALUES {rows}",  # noqa: S608 - of this test
        "DROP TABLE seen_reads, settings",
        "UPDATE alembic_version SET version_num = '0015'",
    ):
        postgres.execute(statement, name)
    with closing(open_store(address)) as store:
        found = {row.export_id: row.scope for row in store.exports.all(account=None, limit=5)}
    assert found == {"e1": Scope(), "e2": Scope(frozenset({"north"}))}


def test_psycopg_that_is_missing_is_a_clear_error():
    """An extra of its own."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "sys.argv = ['patrol-lpr', 'station', '--db', 'postgresql:///x', 'reads']\n"
        "from cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install -e '.[station,postgres]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_offered_files_are_in_the_database(workers, tmp_path):
    """A worker on another machine answers for a file that was offered at this one."""
    file = tmp_path / "update"
    file.write_bytes(bytes(range(256)) * 300)
    sha, size = workers[0].keep_file(file, "maps")
    assert (sha, size) == (hashlib.sha256(file.read_bytes()).digest(), 76_800)
    files = workers[1]._files
    assert (
        files.read("maps", sha, 0) + files.read("maps", sha, 32_768) + files.read("maps", sha, 65_536)
        == file.read_bytes()
    )
    assert files.read("maps", sha, 40_000)[:100] == file.read_bytes()[40_000:40_100]
    with pytest.raises(StoreError, match="offer the maps again"):
        files.read("maps", sha, 76_800)


# A file that moves in


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """Sealed records of a unit, some purged, with pictures, gaps, an anchor, an offer of an update."""
    keys = tmp_path / "keys"
    _, opener = fresh_keys(keys, UNIT)
    sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
    encoder = RecordEncoder(UNIT, "Example Sheriff", BOOT, released_registry(), sealer)
    file = tmp_path / "station.db"
    with closing(open_store(file, open_picture=opener.picture)) as store:
        link = START
        for seq in range(1, 41):
            read = make_read(seq, pictures=(), retention="hit" if seq == 5 else "nonhit")
            body, record_id = (make_time_anchor(), bytes(16)) if seq == 7 else (read.body, read.read_id)
            encoded = encoder.record(seq, body, link, record_id)
            link = encoded.link
            clock_us = NOW_US + (0 if seq < 20 else 40 * DAY_US)
            ingest = Ingest(store, "s", lambda: clock_us, opener=opener)  # noqa: B023 - used before the next turn
            assert len(ingest.handle(build(UNIT, Channel.READ), encoded.payload)) == 1
            assert ingest.counts.reads + ingest.counts.others == 1
        picture(store, b"a picture", NOW_US + 40 * DAY_US)
        with store.transaction():
            store.add_chunk(chunk(b"half of another", 0, 7), NOW_US + 40 * DAY_US)
            store.add_records([NewRecord(make_read_record(77, seq=1, unit="unit-08"))], NOW_US + 40 * DAY_US)
        Commands(store, Asker("clerk"), lambda: NOW_US + 41 * DAY_US).purge(30, retention="nonhit")
        jane = Asker("jane", "stolen car", "26-1", Scope(frozenset({"north"})))
        with store.transaction():
            store.accounts.put(AccountRow("jane", "Jane", "analyst", jane.scope, NOW_US))
        exports = Exports(store, lambda: NOW_US)
        for _ in range(2):
            exports.request(jane, "csv", "{}")
        ready, _ = store.exports.all(account=None, limit=2)
        with store.transaction():
            store.exports.change(ready.export_id, "requested", state="ready", until_us=NOW_US + DAY_US, size=6)
            store.exports.add_part(ready.export_id, 0, b"abc")
            store.exports.add_part(ready.export_id, 1, b"def")
    return file


def test_a_file_moves_to_postgresql_with_every_proof(old_file, address, tmp_path):
    """What is shown, found, verified, missing and audited is the same; the next records follow."""
    done = run("station", "--db", old_file, "migrate", "--to", address)
    assert done.exit_code == 0, done.output
    assert "41 records with 40 proofs and 2 pictures copied" in done.output
    with closing(open_store(old_file)) as old, closing(open_store(address)) as new:
        for schema in ("read/1", "dating/1"):
            assert new.latest(schema) == old.latest(schema)
        assert list(new.each_evidence(UNIT)) == list(old.each_evidence(UNIT))
        assert new.units() == old.units()
        assert [new.seen(unit) for unit in (UNIT, "unit-08")] == [old.seen(unit) for unit in (UNIT, "unit-08")]
        assert new.audit_trail()[:-1] == old.audit_trail()
        assert new.audit_trail()[-1].what == "migrate"
        exports = old.exports.all(account=None, limit=9)
        assert new.exports.all(account=None, limit=9) == exports
        assert [row.scope.agencies for row in exports] == [frozenset({"north"})] * 2
        assert [b"".join(new.exports.parts(row.export_id)) for row in exports] == [b"abcdef", b""]
        assert new.picture(UNIT, hashlib.sha256(b"a picture").digest()) == b"a picture"
        everything = [f.row.record_id for f in old.find(ReadSearch(), limit=100).reads]
        assert [f.row.record_id for f in new.find(ReadSearch(), limit=100).reads] == everything
        with new.transaction():
            assert new.add_chunk(chunk(b"half of another", 7, 15), NOW_US).stored_bytes == 15
        purged = make_read_record(1, seq=1)
        assert add(new, purged, now_us=NOW_US) == [False], "purged, and remembered"
    series = tmp_path / "series.lpr"
    done = run("station", "--db", address, "export", "--evidence", series, "--keys", tmp_path / "keys")
    assert done.exit_code == 0, done.output
    verified = run("verify", series)
    assert verified.exit_code == 0, verified.output
    assert "complete and unaltered" in verified.output
    again = run("station", "--db", old_file, "migrate", "--to", address)
    assert "has data already" in str(again.exception)


def test_a_move_that_fails_leaves_an_empty_database(old_file, address, monkeypatch):
    """One transaction: it can be started again."""
    monkeypatch.setattr("station.store.postgres.move._Move._check", lambda *_: 1 / 0)
    assert isinstance(run("station", "--db", old_file, "migrate", "--to", address).exception, ZeroDivisionError)
    monkeypatch.undo()
    assert run("station", "--db", old_file, "migrate", "--to", address).exit_code == 0


def test_wrong_ends_of_a_move_are_refused(old_file, address):
    """From a file, to a database."""
    assert run("station", "--db", address, "migrate", "--to", address).exit_code == 2
    assert run("station", "--db", old_file, "migrate", "--to", "other.db").exit_code == 2


@pytest.mark.slow
def test_the_documented_steps_run(postgres, old_file, tmp_path):
    """The commands of docs/station.md, as they stand there, one after the other."""
    section = (ROOT / "docs/station.md").read_text(encoding="utf-8").partition("\n## PostgreSQL\n")[2]
    commands = re.findall(r"^```\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[0]
    old_file.rename(tmp_path / "reads.db")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    ours = bin_folder / "patrol-lpr"
    ours.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    ours.chmod(0o755)
    path = f"{bin_folder}:{Path(program('createdb')).parent}:{os.environ['PATH']}"
    env = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "PGHOST": str(postgres.folder),
        "PGUSER": "station",
    }
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    postgres.execute("DROP DATABASE lpr WITH (FORCE)")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete and unaltered" in done.stdout
    assert "7ABC123" in done.stdout
