"""Expired records are deleted from the outbox, sent or not, counted and announced, only by the stored expiry time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer import (
    Expired,
    NewRecord,
    OutboxReader,
    PicturePriority,
    PictureStored,
    PurgeNote,
    Quarantined,
    open_outbox,
)
from agent.buffer.damage import note_damage
from agent.buffer.expiry import MAX_AT_ONCE
from agent.commit import ReadCommitter
from agent.errors import OutboxDiskError
from agent.geotag.nmea import NmeaState
from agent.geotag.timebase import Timebase, TimebaseConfig
from agent.geotag.units import time_quality
from protocol.wire.enums import Lost, LostReason, TimeSource
from protocol.wire.record import decode_record
from protocol.wire.records.purge import RECORD_TYPE as PURGE_TYPE
from protocol.wire.records.purge import Purge
from protocol.wire.records.tombstone import RECORD_TYPE as TOMBSTONE_TYPE
from tests.builders import BOOT, UTC_NS, make_fix, make_picture, make_read
from tests.toys import WITH_TOYS, Alarm, Note
from tests.unit.buffer.test_types import SMALL, alarm, encoder, note, opened, rows_of, tombstones

S = 1_000_000_000
MINUTE = 60 * S


def read(number: int, expires_us: int | None, **other):
    return replace(make_read(number, **other), expires_utc_us=expires_us)


def test_expired_records_are_deleted_with_their_pictures(tmp_path):
    outbox = opened(tmp_path)
    outbox.append([read(1, 100), read(2, 200), read(3, None), alarm(1, expires_utc_us=100), note(1)])
    assert outbox.expire(99) == Expired()
    assert outbox.expire(100) == Expired(records=2, pictures=2)
    rows = rows_of(outbox)
    assert [row.seq for row in rows][:3] == [2, 3, 5]
    stats = outbox.stats()
    assert (stats.types["read/1"].expired, stats.types["alarm/1"].expired, stats.expired_pictures) == (1, 1, 2)
    assert (stats.reads, stats.plates, stats.overviews) == (2, 2, 2)
    assert outbox.lost_records == 0, "nothing that somebody should hear of at once"
    outbox.close()
    note_damage(tmp_path, "compare rows and counters", certain=False)
    again, report = open_outbox(tmp_path, encoder(), limits=SMALL)
    assert report.moved_to is None
    again.close()


NOTED = PurgeNote("us-xx/3", time_quality(TimeSource.GNSS, 150.0), 60_000_000)


def purges(outbox) -> list[Purge]:
    rows = [row for row in rows_of(outbox) if row.schema == Purge.SCHEMA]
    return [decode_record(row.payload, WITH_TOYS).body for row in rows]


@pytest.mark.parametrize("refused", [(), (1, 3)])
def test_purge_record_counts_by_retention_class(tmp_path, refused):
    """Waiting or refused: the class stays with the row."""
    outbox = opened(tmp_path)
    outbox.append(
        [
            *(read(number, 100) for number in (1, 2)),
            NewRecord(Note(text="hit"), b"h" * 16, expires_utc_us=100),
            alarm(1, expires_utc_us=100),
            read(3, 200),
        ]
    )
    outbox.apply([Quarantined(seq, "malformed") for seq in refused])
    outbox.expire(100, NOTED)
    (purge,) = purges(outbox)
    assert dict(purge.records) == {"alarm/1": 1, "note/1": 1, "read/1": 2}
    assert purge.classes == (("alarm/1", "", 1), ("note/1", "hit", 1), ("read/1", "nonhit", 2))
    told = PURGE_TYPE.export(purge)
    assert told["deleted_by_class"] == "alarm/1:-:1 note/1:hit:1 read/1:nonhit:2"
    outbox.close()


def test_class_of_a_sealed_record_is_counted_after_a_requeue(tmp_path):
    """Only the column knows it: the unit cannot open its own record."""
    outbox = opened(tmp_path, sealed=True)
    outbox.append([read(1, 100, pictures=())])
    outbox.apply([Quarantined(1, "malformed")])
    assert [row.retention for row in rows_of(outbox)] == []
    outbox.requeue()
    assert [row.retention for row in rows_of(outbox)] == ["nonhit"]
    outbox.close()
    note_damage(tmp_path, "compare rows and counters", certain=False)
    outbox, report = open_outbox(tmp_path, encoder(sealed=True), limits=SMALL)
    assert report.moved_to is None
    outbox.expire(100, NOTED)
    assert [row.schema for row in rows_of(outbox)] == ["tomb/1", "purge/1"]
    outbox.close()


def test_tombstone_of_expired_records_is_valid_for_the_first_release(tmp_path):
    """``why`` has a released value; the actual reason is in another key, which older stations keep."""
    outbox = opened(tmp_path)
    outbox.append([read(1, 100), alarm(1, expires_utc_us=100), read(2, 100, pictures=())])
    outbox.expire(100)
    told = {(tombstone.lost, tombstone.ranges, tombstone.count) for tombstone in tombstones(outbox)}
    assert told == {
        (Lost.READ, ((1, 3),), 2), (Lost.RECORD, ((2, 2),), 1), (Lost.PLATE, ((1, 1),), 1),
        (Lost.OVERVIEW, ((1, 1),), 1),
    }  # fmt: skip
    assert {(tombstone.reason, tombstone.cause) for tombstone in tombstones(outbox)} == {
        (LostReason.BUDGET, "expired")
    }
    assert {TOMBSTONE_TYPE.export(tombstone)["reason"] for tombstone in tombstones(outbox)} == {"expired"}
    outbox.close()


def test_quarantined_records_expire(tmp_path):
    """They wait for an operator, but not longer than they may be kept."""
    outbox = opened(tmp_path)
    outbox.append([alarm(1, expires_utc_us=100), alarm(2)])
    outbox.apply([Quarantined(1, "malformed"), Quarantined(2, "malformed")])
    assert outbox.expire(100).records == 1
    assert (outbox.stats().quarantined, outbox.stats().types["alarm/1"].expired) == (1, 1)
    assert [tombstone.ranges for tombstone in tombstones(outbox)] == [((1, 1),)]
    outbox.close()


@pytest.mark.parametrize("later", [300, None])
def test_shared_picture_expires_with_the_later_read(tmp_path, later):
    shared = make_picture(content=b"the same scene")
    outbox = opened(tmp_path)
    outbox.append([read(1, 100, pictures=(shared,)), read(2, later, pictures=(shared,))])
    outbox.expire(100)
    reader = OutboxReader(outbox.path)
    assert [row.sha256 for row in reader.pictures(PicturePriority.PLATE, after_pic=0, limit=9)] == [shared.sha256]
    outbox.expire(300)
    assert len(reader.pictures(PicturePriority.PLATE, after_pic=0, limit=9)) == (later is None)
    reader.close()
    outbox.close()


def test_picture_expires_after_its_read_was_receipted(tmp_path):
    """The station has the read and half of the picture; the rest is not sent."""
    outbox = opened(tmp_path)
    made = read(1, 100)
    outbox.append([made])
    outbox.apply([PictureStored(made.pictures[0].sha256, 5)])
    outbox._con.execute("DELETE FROM records")
    outbox._con.execute("UPDATE types SET waiting = 0")
    assert outbox.expire(100) == Expired(records=0, pictures=2)
    outbox.close()


def test_expiry_deletes_a_bounded_number_at_a_time(tmp_path):
    """Every second one stays: each tombstone still has room for its ranges."""
    outbox = opened(tmp_path)
    count = 2 * MAX_AT_ONCE + 10
    outbox.append([alarm(n, expires_utc_us=100 if n % 2 else None) for n in range(1, 2 * count + 1)])
    rounds = [outbox.expire(100) for _ in range(3)]
    assert [expired.records for expired in rounds] == [MAX_AT_ONCE, MAX_AT_ONCE, 10]
    assert [expired.more for expired in rounds] == [True, True, False]
    named = [
        seq
        for tombstone in tombstones(outbox)
        for first, last in tombstone.ranges
        for seq in range(first, last + 1)
    ]
    assert sorted(named) == list(range(1, 2 * count + 1, 2))
    outbox.close()


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 50), st.booleans()), min_size=1, max_size=30),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_exactly_expired_records_are_deleted_and_listed(tmp_path_factory, records, moments):
    """For any expiry times, in any order."""
    outbox = opened(tmp_path_factory.mktemp("expiry"))
    made = [
        (read if is_read else lambda n, end: alarm(n, expires_utc_us=end))(number, end)
        for number, (end, is_read) in enumerate(records, 1)
    ]
    seqs = outbox.append(made)
    for moment in moments:
        outbox.expire(moment)
    latest = max(moments, default=-1)
    gone = {seq for seq, (end, _) in zip(seqs, records, strict=True) if end is not None and end <= latest}
    assert {row.seq for row in rows_of(outbox)} & set(seqs) == set(seqs) - gone
    named = [
        seq
        for tombstone in tombstones(outbox)
        if tombstone.lost in {Lost.READ, Lost.RECORD}
        for first, last in tombstone.ranges
        for seq in range(first, last + 1)
    ]
    assert set(named) == gone
    outbox.close()


class NoReads:
    """A geotagger that makes none."""

    held = 0

    def tick(self, _):
        return []


@pytest.fixture
def committing(tmp_path):
    outbox = opened(tmp_path)
    timebase = Timebase(BOOT, TimebaseConfig(confirm_s=0))
    yield ReadCommitter(NmeaState(), NoReads(), timebase, outbox), timebase, outbox
    outbox.close()


def expiring(outbox, number: int, seconds: float) -> None:
    end_us = (UTC_NS + round(seconds * S)) // 1000
    outbox.append([NewRecord(Alarm(what="x"), number.to_bytes(16, "big"), expires_utc_us=end_us)])


def feed(timebase, t_mono_ns: int) -> None:
    timebase.feed_fix(make_fix(t_mono_ns, utc_ns=UTC_NS + t_mono_ns))


def test_committer_checks_expiry_every_five_seconds(committing):
    committer, timebase, outbox = committing
    feed(timebase, 0)
    expiring(outbox, 1, 0)
    assert committer.commit_ready(S).expired == 1
    expiring(outbox, 2, 0)
    assert committer.commit_ready(5 * S).expired == 0
    assert committer.commit_ready(6 * S).expired == 1


def test_nothing_expires_without_a_trusted_time(committing):
    """No fix yet, or only held time: nothing is deleted."""
    committer, timebase, outbox = committing
    expiring(outbox, 1, 10)
    assert committer.commit_ready(20 * S).expired == 0
    feed(timebase, 0)
    assert committer.commit_ready(10 * MINUTE).expired == 0
    feed(timebase, 11 * MINUTE)
    assert committer.commit_ready(11 * MINUTE).expired == 1


def test_expiry_is_retried_after_a_disk_error(committing, monkeypatch):
    committer, timebase, outbox = committing
    feed(timebase, 0)
    expiring(outbox, 1, 0)

    def fail(_):
        raise OutboxDiskError("EIO")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "expire", fail)
        assert committer.commit_ready(S).stuck
    assert committer.commit_ready(2 * S).expired == 1
