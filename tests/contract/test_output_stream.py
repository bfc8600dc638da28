"""What the stream of new records promises to outputs, on every database."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import func, select

from station.errors import StoreError
from station.retention import schedule
from station.store import NewRecord, open_store
from station.store.tables import STREAM
from tests.builders import make_read_record, make_record, make_time_anchor
from tests.contract.test_station_store import DAY_US, NOW_US, UNIT, commands, make, store  # noqa: F401 - fixtures
from tests.hit_builders import make_hit_body
from tests.station_files import add

LATER_US = NOW_US + DAY_US


def seqs(stream, name="tak", limit=100):
    return [row.row.seq for row in stream.following(name, limit)]


def fill(store, *numbers):  # noqa: F811 - a fixture's name
    for number in numbers:
        add(store, make_read_record(number, seq=number), now_us=NOW_US + number)


def test_output_gets_each_new_record_of_its_types_in_order(store):  # noqa: F811
    """From its registration on; duplicates are no new records, and other types are not kept for it."""
    fill(store, 1)
    assert store.stream.register("tak", ["hit/1", "read/1"], NOW_US)
    fill(store, 2, 3)
    add(store, make_record(make_time_anchor(), seq=4), now_us=NOW_US)
    add(store, make_record(make_hit_body(), seq=5), make_read_record(3, seq=3), now_us=NOW_US + 5)
    rows = store.stream.following("tak", 10)
    assert [(row.schema, row.row.seq, row.unit) for row in rows] == [
        ("read/1", 2, UNIT), ("read/1", 3, UNIT), ("hit/1", 5, UNIT),
    ]  # fmt: skip
    assert rows[0].row == store.record(UNIT, rows[0].record_id)
    assert [row.place for row in rows] == sorted(row.place for row in rows)
    assert seqs(store.stream, limit=1) == [2]


def test_place_is_resumed(make):  # noqa: F811
    """Another process goes on where the last one was; what was not passed comes again."""
    first = make()
    first.stream.register("tak", ["read/1"], NOW_US)
    fill(first, 1, 2, 3)
    first.stream.advance("tak", first.stream.following("tak", 1)[0].place, 1, 0, LATER_US)
    second = make()
    assert not second.stream.register("tak", ["read/1"], LATER_US)
    assert seqs(second.stream) == [2, 3]
    (state,) = second.stream.states()
    assert (state.waiting, state.delivered, state.delivered_us) == (2, 1, LATER_US)
    assert state.oldest_us == NOW_US + 2


def test_outputs_have_places_of_their_own(store):  # noqa: F811
    """What one has passed is kept for the other, and forgotten when both have."""
    for name in ("tak", "hook"):
        store.stream.register(name, ["read/1"], NOW_US)
    fill(store, 1, 2)
    rows = store.stream.following("tak", 2)
    store.stream.advance("tak", rows[1].place, 2, 0, LATER_US)
    store.stream.prune()
    assert (seqs(store.stream, "tak"), seqs(store.stream, "hook")) == ([], [1, 2])
    store.stream.advance("hook", rows[0].place, 1, 0, LATER_US)
    store.stream.prune()
    assert seqs(store.stream, "hook") == [2]
    assert store.stream.remove("hook")
    assert not store.stream.remove("hook")
    with pytest.raises(StoreError, match="no output 'hook'"):
        store.stream.following("hook", 1)


def test_an_output_that_nobody_runs_keeps_a_bounded_number_waiting(store, monkeypatch):  # noqa: F811
    """The station does so while it deletes on time; what is left out is counted."""
    monkeypatch.setattr(schedule, "MAX_WAITING", 2)
    for name in ("tak", "hook"):
        store.stream.register(name, ["read/1"], NOW_US)
    fill(store, 1, 2, 3, 4, 5)
    rows = store.stream.following("hook", 5)
    store.stream.advance("hook", rows[3].place, 4, 0, LATER_US)
    schedule.Retention(store, (), lambda: LATER_US, lambda: 0.0).step()
    assert (seqs(store.stream, "tak"), seqs(store.stream, "hook")) == ([4, 5], [5])
    assert [(state.name, state.overflowed) for state in store.stream.states()] == [("hook", 0), ("tak", 3)]
    assert store.db.first(select(func.count()).select_from(STREAM))[0] == 2


def test_new_output_starts_after_what_was_pruned(store):  # noqa: F811
    store.stream.register("tak", ["read/1"], NOW_US)
    fill(store, 1)
    store.stream.advance("tak", store.stream.following("tak", 1)[0].place, 1, 0, LATER_US)
    store.stream.prune()
    store.stream.register("hook", ["read/1"], LATER_US)
    fill(store, 2)
    assert seqs(store.stream, "hook") == [2]


def test_nothing_is_kept_without_an_output(store):  # noqa: F811
    fill(store, 1)
    store.stream.register("tak", ["hit/1"], NOW_US)
    fill(store, 2)
    assert store.stream.states()[0].waiting == 0
    assert seqs(store.stream) == []


def test_purged_record_comes_without_contents(store):  # noqa: F811
    """What the agency deleted is not delivered afterwards."""
    store.stream.register("tak", ["read/1"], NOW_US)
    fill(store, 1)
    commands(store, NOW_US + 40 * DAY_US).purge(30)
    (row,) = store.stream.following("tak", 10)
    assert (row.row, row.schema) == (None, "read/1")


@pytest.mark.slow
def test_one_process_at_a_time_delivers(store):  # noqa: F811
    """Until it frees the output, or its time is over."""
    stream = store.stream
    stream.register("tak", ["read/1"], NOW_US)
    assert stream.take("tak", "a", NOW_US, NOW_US + 30)
    assert not stream.take("tak", "b", NOW_US + 29, NOW_US + 60)
    assert stream.take("tak", "a", NOW_US + 29, NOW_US + 60)
    assert stream.take("tak", "b", NOW_US + 60, NOW_US + 90)
    stream.free("tak", "a")
    assert stream.states()[0].holder == "b"
    stream.free("tak", "b")
    assert stream.take("tak", "a", NOW_US + 61, NOW_US + 90)


def test_lease_by_a_clock_that_was_wrong_is_not_waited_for(store):  # noqa: F811
    """The process that had it was killed, and the clock was set right."""
    stream = store.stream
    stream.register("tak", ["read/1"], NOW_US)
    assert stream.take("tak", "a", NOW_US + 9 * DAY_US, NOW_US + 9 * DAY_US + 60)
    assert stream.take("tak", "b", NOW_US, NOW_US + 60)
    assert not stream.take("tak", "c", NOW_US + 59, NOW_US + 119)


def test_failure_is_counted_until_the_record_is_passed(store):  # noqa: F811
    stream = store.stream
    stream.register("tak", ["read/1"], NOW_US)
    fill(store, 1)
    stream.fail("tak", "connection refused")
    stream.fail("tak", "connection refused " * 100)
    (state,) = stream.states()
    assert state.attempts == 2
    assert len(state.last_error) <= 500
    stream.advance("tak", stream.following("tak", 1)[0].place, 1, 0, LATER_US)
    assert (stream.states()[0].attempts, stream.states()[0].last_error) == (0, "")


def test_dead_letter_is_kept_and_can_be_sent_again(store):  # noqa: F811
    """To its output alone."""
    stream = store.stream
    for name in ("tak", "hook"):
        stream.register(name, ["read/1"], NOW_US)
    fill(store, 1, 2)
    row = stream.following("hook", 1)[0]
    stream.bury("hook", row, "the server refuses it: 422", 3, LATER_US)
    assert seqs(stream, "hook") == [2]
    (dead,) = stream.dead_letters("hook")
    assert (dead.unit, dead.record_id, dead.reason, dead.attempts) == (
        UNIT, row.record_id, "the server refuses it: 422", 3,
    )  # fmt: skip
    assert stream.dead_letters("tak") == []
    assert (stream.states()[0].buried, stream.states()[0].dead) == (1, 1)
    assert stream.retry("hook") == 1
    assert (seqs(stream, "hook"), seqs(stream, "tak"), stream.dead_letters()) == ([2, 1], [1, 2], [])


def test_queue_is_bounded(store):  # noqa: F811
    """The oldest are left out, and counted."""
    store.stream.register("tak", ["read/1"], NOW_US)
    fill(store, 1, 2, 3, 4, 5)
    assert store.stream.bound("tak", 5) == 0
    assert store.stream.bound("tak", 2) == 3
    assert seqs(store.stream) == [4, 5]
    assert store.stream.states()[0].overflowed == 3


@pytest.mark.integration
def test_record_of_a_slower_worker_is_not_passed(postgres):
    """One that commits late, with a lower number, still has its record delivered."""
    address = postgres.new_database()
    with closing(open_store(address)) as slow, closing(open_store(address)) as fast:
        fill(fast, 9)  # makes the day's partitions
        fast.stream.register("tak", ["read/1"], NOW_US)
        slow.stream.states()
        with slow.transaction():
            slow.add_records([NewRecord(make_read_record(1, seq=1, unit="unit-1"))], NOW_US)
            add(fast, make_read_record(2, seq=2, unit="unit-2"), now_us=NOW_US)
            assert seqs(fast.stream) == []
        assert seqs(fast.stream) == [1, 2]


@pytest.mark.integration
def test_restored_database_sends_again(postgres):
    """Another server counts its transactions from the start: what was not passed would never be shown."""
    with closing(open_store(postgres.new_database())) as store:  # noqa: F811
        store.stream.register("tak", ["read/1"], NOW_US)
        fill(store, 1, 2)
        with store.db.transaction():
            store.db.driver_sql("UPDATE stream SET xid = xid + 1000000000")
            store.db.driver_sql("UPDATE outputs SET at_xid = at_xid + 1000000000")
        assert seqs(store.stream) == []
        store.stream.register("tak", ["read/1"], LATER_US)
        assert seqs(store.stream) == [1, 2]
        assert "restored" in store.stream.states()[0].last_error
