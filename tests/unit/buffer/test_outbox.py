"""The outbox: without gaps, durable, bounded; everything evicted is announced."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer import (
    Limits,
    NewRecord,
    OutboxReader,
    PicturePriority,
    PictureQuarantined,
    PictureStored,
    Quarantined,
    Receipted,
    open_outbox,
    opening,
    rescue,
    table,
)
from agent.buffer import outbox as outbox_module
from agent.buffer import schema as outbox_schema
from agent.buffer.damage import SUSPECT_NAME
from agent.buffer.opening import MARK_NAME
from agent.buffer.outbox import BALLAST_NAME, FILE_NAME
from agent.errors import OutboxDamagedError, OutboxDiskError, OutboxError, OutboxVersionError
from protocol.wire.enums import Lost, LostReason
from protocol.wire.record import decode_record
from protocol.wire.records.read import Read
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry
from tests.builders import make_encoder, make_picture, make_read, make_time_anchor

TYPES = released_registry()
SMALL = Limits(min_free_bytes=0, ballast_bytes=0)


def open_small(folder, limits=SMALL):
    return open_outbox(folder, make_encoder(), limits=limits)[0]


def waiting(outbox):
    reader = OutboxReader(outbox.path)
    rows = reader.records(after_seq=0, limit=10_000)
    reader.close()
    return rows


def tombstones(outbox):
    rows = [row for row in waiting(outbox) if row.schema == Tombstone.SCHEMA]
    bodies = [decode_record(row.payload, TYPES).body for row in rows]
    assert all(isinstance(body, Tombstone) for body in bodies)
    return bodies


def test_sequence_numbers_have_no_gaps_over_restarts(tmp_path):
    """Numbers continue after closing and reopening: a gap at the station always means a loss."""
    outbox = open_small(tmp_path)
    assert outbox.append([make_read(1), make_read(2), NewRecord(make_time_anchor())]) == [1, 2, 3]
    outbox.close()
    again = open_small(tmp_path)
    assert again.append([make_read(3)]) == [4]
    assert [row.seq for row in waiting(again)] == [1, 2, 3, 4]
    again.close()


def test_outbox_stores_final_wire_bytes(tmp_path):
    """The outbox stores wire bytes, so what is sent is what was committed."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1)])
    (row,) = waiting(outbox)
    assert decode_record(row.payload, TYPES).envelope.seq == row.seq == 1
    assert row.record_id == make_read(1).read_id
    outbox.close()


def test_receipt_deletes_exactly_the_listed_records(tmp_path):
    """A right number with a wrong id deletes nothing and is counted as unknown."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1), make_read(2)])
    applied = outbox.apply([Receipted(((1, make_read(1).read_id), (2, b"x" * 16), (99, b"y" * 16)))])
    assert (applied.freed, applied.unknown) == (1, 2)
    stats = outbox.stats()
    assert (stats.reads, stats.receipted, stats.unknown_receipts, stats.oldest_seq) == (1, 1, 2, 2)
    outbox.close()


def test_receipt_without_effect_writes_nothing(tmp_path):
    """A recorded answer can be sent again a thousand times a second: the card is not written for it."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1), make_read(2)])
    sha = make_read(2).pictures[0].sha256
    old = [
        Receipted(((1, make_read(1).read_id),)), PictureStored(sha, 3), PictureStored(sha, 2),
        PictureStored(b"?" * 32, 9), Quarantined(1, "malformed"), PictureQuarantined(b"?" * 32, "quota"),
    ]  # fmt: skip
    outbox.apply(old)
    files = [path for path in sorted(tmp_path.iterdir()) if path.suffix != ".db-shm"]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    for _ in range(50):
        for command in old:
            outbox.apply([command])
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before
    assert outbox.stats().unknown_receipts == 1 + 50 * 2
    outbox.append([make_read(3)])
    outbox.apply([Receipted(((2, make_read(2).read_id),))])
    outbox.close()
    again = open_small(tmp_path)
    assert again.stats().unknown_receipts == 1 + 50 * 2
    again.close()


def test_picture_is_deleted_when_all_its_bytes_are_receipted(tmp_path):
    """Progress is stored for resuming; the last byte deletes the picture."""
    outbox = open_small(tmp_path)
    read = make_read(1)
    outbox.append([read])
    plate = read.pictures[0]
    outbox.apply([PictureStored(plate.sha256, 7)])
    reader = OutboxReader(outbox.path)
    (row,) = reader.pictures(PicturePriority.PLATE, after_pic=0, limit=5)
    assert (row.stored_bytes, row.size_bytes) == (7, len(plate.jpeg))
    assert reader.jpeg(row.pic) == plate.jpeg
    outbox.apply([PictureStored(plate.sha256, len(plate.jpeg))])
    assert reader.pictures(PicturePriority.PLATE, after_pic=0, limit=5) == []
    assert outbox.stats().plates == 0
    reader.close()
    outbox.close()


def test_two_reads_of_one_frame_share_its_overview(tmp_path):
    """Pictures are identified by their hash and stored once."""
    outbox = open_small(tmp_path)
    shared = make_picture(content=b"the same scene")
    outbox.append([make_read(1, pictures=(shared,)), make_read(2, pictures=(shared,))])
    assert outbox.stats().plates == 1
    outbox.close()


def test_refused_records_are_quarantined_and_can_be_requeued(tmp_path):
    """Quarantine keeps the bytes; an operator may requeue or discard, and discarded ones are announced."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1), make_read(2)])
    before = {row.seq: row.payload for row in waiting(outbox)}
    outbox.apply([Quarantined(1, "malformed"), Quarantined(2, "quota"), Quarantined(77, "quota")])
    assert (outbox.stats().reads, outbox.stats().quarantined) == (0, 2)
    assert outbox.requeue() == 2
    assert {row.seq: row.payload for row in waiting(outbox)} == before
    outbox.apply([Quarantined(1, "malformed")])
    assert outbox.discard(10) == 1
    (tombstone,) = tombstones(outbox)
    assert (tombstone.lost, tombstone.reason, tombstone.ranges) == (Lost.RECORD, LostReason.OPERATOR, ((1, 1),))
    outbox.close()


def test_pictures_are_evicted_before_reads(tmp_path):
    """Eviction by value: no read is evicted while there is an overview."""
    outbox = open_small(tmp_path, Limits(max_bytes=60_000, min_free_bytes=0, ballast_bytes=0))
    for number in range(1, 30):
        outbox.append([make_read(number)])
    stats = outbox.stats()
    assert stats.used_bytes <= 60_000
    assert stats.evicted_overviews > 0
    assert stats.evicted_reads == 0
    assert stats.reads == 29
    assert {s.lost for s in tombstones(outbox)} == {Lost.OVERVIEW}
    outbox.close()


def test_pictures_of_hits_are_evicted_last(tmp_path):
    """Every third read is a hit: its pictures are evicted after all others, and tombstones list no hit."""
    outbox = open_small(tmp_path, Limits(max_bytes=90_000, min_free_bytes=0, ballast_bytes=0))
    for number in range(1, 40):
        outbox.append([make_read(number, retention="nonhit" if number % 3 else "hit")])
    stats = outbox.stats()
    assert stats.evicted_overviews > 0
    reader = OutboxReader(outbox.path)
    hits = reader.pictures(PicturePriority.HIT_OVERVIEW, after_pic=0, limit=99)
    assert len(hits) == len(reader.pictures(PicturePriority.HIT_PLATE, after_pic=0, limit=99)) == 13
    named = {
        seq
        for tombstone in tombstones(outbox)
        for first, last in tombstone.ranges
        for seq in range(first, last + 1)
    }
    assert named
    assert not named & {row.seq for row in hits}
    reader.close()
    outbox.close()


def test_evicted_reads_are_counted_and_announced(tmp_path):
    """If reads must be evicted, the oldest are, and tombstones list every one of them."""
    outbox = open_small(tmp_path, Limits(max_bytes=20_000, min_free_bytes=0, ballast_bytes=0))
    for number in range(1, 60):
        outbox.append([make_read(number)])
    stats = outbox.stats()
    announced = [s for s in tombstones(outbox) if s.lost is Lost.READ]
    assert stats.evicted_reads == sum(s.count for s in announced) > 0
    assert stats.reads + stats.evicted_reads == stats.appended == 59
    left = [row.seq for row in waiting(outbox) if row.schema == Read.SCHEMA]
    gone = {seq for s in announced for first, last in s.ranges for seq in range(first, last + 1)}
    assert not gone & set(left)
    outbox.close()


@pytest.mark.parametrize("pictures", [None, ()])
def test_little_free_disk_evicts_no_read(tmp_path, pictures):
    """One by one, from an empty outbox on, far below the reserve: pictures are evicted, every read is kept."""
    outbox = open_small(tmp_path, Limits(min_free_bytes=2**62, ballast_bytes=0))
    for number in range(1, 46):
        outbox.append([make_read(number, pictures=pictures)])
    stats = outbox.stats()
    assert (stats.appended, stats.reads, stats.evicted_reads, outbox.lost_records) == (45, 45, 0, 0)
    assert {row.record_id for row in waiting(outbox)} >= {make_read(n).read_id for n in range(1, 46)}
    outbox.close()


def test_on_a_full_disk_the_oldest_reads_are_evicted(tmp_path, monkeypatch):
    """Without space for deletions the outbox stops growing: the latest group is there after each append."""
    outbox = open_small(tmp_path, Limits(min_free_bytes=2**20, ballast_bytes=0))
    monkeypatch.setattr(outbox_module, "free_bytes", lambda _: 1000)
    for number in range(1, 40, 3):
        group = [make_read(number + n, pictures=()) for n in range(3)]
        outbox.append(group)
        assert {read.read_id for read in group} <= {row.record_id for row in waiting(outbox)}
    stats = outbox.stats()
    assert stats.evicted_reads == outbox.lost_records > 0
    assert stats.reads + stats.evicted_reads == stats.appended == 39
    outbox.close()


def test_a_group_larger_than_the_budget_is_kept(tmp_path):
    """A new group is not evicted for the budget: everything before it is."""
    outbox = open_small(tmp_path, Limits(max_bytes=2_000, min_free_bytes=0, ballast_bytes=0))
    outbox.append([make_read(1)])
    seqs = outbox.append([make_read(n) for n in range(2, 12)])
    assert [row.seq for row in waiting(outbox) if row.schema == Read.SCHEMA] == seqs
    outbox.close()


def test_little_free_disk_stops_the_growth(tmp_path):
    """Below the least free space the outbox stays as large as it is, reads before pictures."""
    outbox = open_small(tmp_path, Limits(min_free_bytes=2**62, ballast_bytes=0))
    for number in range(1, 10):
        outbox.append([make_read(number)])
    stats = outbox.stats()
    assert stats.evicted_overviews + stats.evicted_plates + stats.evicted_reads > 0
    assert {s.reason for s in tombstones(outbox)} == {LostReason.DISK}
    outbox.close()


def test_ballast_is_deleted_on_a_full_disk(tmp_path):
    """SQLite reports a full disk: the ballast is deleted, something is evicted, and the new read is stored."""
    outbox = open_small(tmp_path, Limits(min_free_bytes=0, ballast_bytes=64 * 1024))
    outbox.append([make_read(n) for n in range(1, 20)])
    assert (tmp_path / BALLAST_NAME).stat().st_size == 64 * 1024
    pages = outbox._con.execute("PRAGMA page_count").fetchone()[0]
    outbox._con.execute(f"PRAGMA max_page_count = {pages + 1}")
    seqs = [outbox.append([make_read(n)])[0] for n in range(20, 40)]
    assert seqs == sorted(seqs)
    assert not (tmp_path / BALLAST_NAME).exists()
    stats = outbox.stats()
    assert stats.reads + stats.evicted_reads == stats.appended == 39
    outbox.close()


def test_newer_outbox_is_refused_and_unchanged(tmp_path):
    """Going back to an older agent must not damage what the newer one wrote."""
    open_small(tmp_path).close()
    con = sqlite3.connect(tmp_path / FILE_NAME)
    con.execute("PRAGMA user_version = 999")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    con.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(OutboxVersionError, match="install the newer agent"):
        open_small(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_migrations_run_in_order_and_once(tmp_path):
    """A file of the first version is brought to the newest, data included."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1)])
    outbox.close()
    more = (*outbox_schema.MIGRATIONS, "CREATE TABLE extra (one INTEGER);")
    for _ in range(2):
        newer, report = open_outbox(tmp_path, make_encoder(), limits=SMALL, migrations=more)
        assert report.moved_to is None
        assert newer.stats().reads == 1
        newer.close()


def test_garbage_in_place_of_the_file_is_moved_aside(tmp_path):
    """The agent starts, keeps the damaged file, and continues above all numbers it may have assigned."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1)])
    outbox.close()
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 500)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is not None
    (seq,) = again.append([make_read(2)])
    assert seq > 1
    (tombstone,) = tombstones(again)
    assert (tombstone.lost, tombstone.reason) == (Lost.RECORD, LostReason.DAMAGE)
    again.close()


def test_damaged_page_loses_only_its_rows(tmp_path):
    """Readable rows are salvaged; others are announced."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(n) for n in range(1, 200)])
    outbox.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    page = len(data) // 4096 // 2 * 4096
    data[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    (tmp_path / SUSPECT_NAME).touch()
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is not None
    assert report.salvaged_records > 0
    stats = again.stats()
    assert stats.next_seq > 199
    assert stats.reads == report.salvaged_records
    again.close()


def test_pictures_of_hits_stay_first_after_a_salvage(tmp_path):
    """Salvaged pictures are sent in the same order as before."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1), make_read(2, retention="hit")])
    outbox._con.execute("DROP TABLE meta")
    outbox.close()
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is not None
    reader = OutboxReader(again.path)
    (plate,) = reader.pictures(PicturePriority.HIT_PLATE, after_pic=0, limit=9)
    assert plate.sha256 == make_read(2).pictures[0].sha256
    assert len(reader.pictures(PicturePriority.PLATE, after_pic=0, limit=9)) == 1
    reader.close()
    again.close()


def test_lost_file_does_not_reuse_sequence_numbers(tmp_path):
    """The mark beside the file keeps numbers unique even when the file itself is gone."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1)])
    outbox.close()
    (tmp_path / FILE_NAME).unlink()
    assert (tmp_path / MARK_NAME).exists()
    again = open_small(tmp_path)
    assert again.append([make_read(2)])[0] > 1
    again.close()


def test_damage_found_while_running_is_marked(tmp_path):
    """The process ends with a clear error, and the next start checks every page."""
    outbox = open_small(tmp_path)
    outbox._con.execute("DROP TABLE jpegs")
    outbox._con.execute("CREATE TABLE jpegs (pic INTEGER PRIMARY KEY)")
    with pytest.raises(OutboxError):
        outbox.append([make_read(1)])
    assert outbox.stats().reads == 0
    outbox.close()


class Faulty:
    """A connection whose COMMIT fails, after or before it was carried out; the next connection is a good one."""

    def __init__(self, con, *, carried_out):
        self._con, self._carried_out = con, carried_out

    def __getattr__(self, name):
        return getattr(self._con, name)

    def execute(self, sql, *values):
        if sql == "COMMIT":
            self._con.execute("COMMIT" if self._carried_out else "ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._con.execute(sql, *values)


@pytest.mark.parametrize("carried_out", [True, False])
def test_failed_fsync_reopens_the_file_and_loses_or_duplicates_no_read(tmp_path, carried_out):
    """Appended again, the group is in the file once, under one number, whether or not it was committed."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(1)])
    broken = outbox._con = Faulty(outbox._con, carried_out=carried_out)
    group = [make_read(2), make_read(3)]
    with pytest.raises(OutboxDiskError, match="nothing was lost"):
        outbox.append(group)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        broken.execute("SELECT 1")
    assert outbox.append([*group, make_read(4)]) == [2, 3, 4]
    assert [(row.seq, row.record_id) for row in waiting(outbox)] == [
        (n, make_read(n).read_id) for n in (1, 2, 3, 4)
    ]
    assert (outbox.stats().appended, outbox.stats().next_seq) == (4, 5)
    assert outbox.append([make_read(5)]) == [5]
    outbox.close()


def test_group_of_a_failed_commit_that_was_receipted_is_not_stored_again(tmp_path):
    """The commit failed but was carried out; the uplink sent the read and was receipted before the retry."""
    outbox = open_small(tmp_path)
    outbox._con = Faulty(outbox._con, carried_out=True)
    with pytest.raises(OutboxDiskError):
        outbox.append([make_read(1)])
    assert outbox.apply([Receipted(((1, make_read(1).read_id),))]).freed == 1
    assert outbox.append([make_read(1), make_read(2)]) == [1, 2]
    assert [row.seq for row in waiting(outbox)] == [2]
    outbox.close()


class FullThenFaulty:
    """A connection whose first COMMIT finds the disk full; the second, of the eviction, fails though carried out."""

    def __init__(self, con):
        self._con, self._codes = con, [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_FSYNC]

    def __getattr__(self, name):
        return getattr(self._con, name)

    def execute(self, sql, *values):
        if sql != "COMMIT":
            return self._con.execute(sql, *values)
        code = self._codes.pop(0)
        if code != sqlite3.SQLITE_FULL:
            self._con.execute("COMMIT")
        error = sqlite3.OperationalError("the disk")
        error.sqlite_errorcode = code
        raise error


def test_reads_that_did_not_fit_are_not_taken_for_the_tombstones_of_what_went_for_them(tmp_path):
    """The disk is full, something is evicted for the group, and that commit fails: the group is not in the file."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(n) for n in range(1, 20)])
    outbox._con = FullThenFaulty(outbox._con)
    group = [make_read(20), make_read(21)]
    with pytest.raises(OutboxDiskError):
        outbox.append(group)
    assert len(tombstones(outbox)) == 1, "the eviction was carried out"
    outbox.append(group)
    ids = {row.record_id for row in waiting(outbox)}
    assert {read.read_id for read in group} <= ids
    outbox.close()


def test_permanently_unreadable_page_is_damage(tmp_path):
    """A single failure is retried; after repeated ones the process ends, and the next start checks every page."""
    outbox = open_small(tmp_path)

    class Unreadable(Faulty):
        def execute(self, sql, *values):
            if sql.startswith("INSERT INTO records"):
                error = sqlite3.DatabaseError("database disk image is malformed")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
            return self._con.execute(sql, *values)

    for expected in [OutboxDiskError] * 4 + [OutboxDamagedError]:
        outbox.stats()
        outbox._con = Unreadable(outbox._con, carried_out=False)
        with pytest.raises(expected) as met:
            outbox.append([make_read(1)])
        assert type(met.value) is expected
        outbox._let_go()
    assert (tmp_path / SUSPECT_NAME).exists()
    outbox.close()
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert (report.moved_to, again.append([make_read(1)])) == (None, [1])
    again.close()


@pytest.mark.parametrize(
    ("owner", "after"),
    [
        (opening, "_move_aside"), (opening, "_open_checked"), (rescue.Rescue, "_save_record"),
        (rescue.Rescue, "_save_picture"), (rescue.Rescue, "_finish"), (table, "append"),
    ],
)  # fmt: skip
def test_interrupted_rescue_is_restarted(tmp_path, monkeypatch, owner, after):
    """A power cut during a rescue: the next start salvages the same reads."""
    outbox = open_small(tmp_path)
    outbox.append([make_read(n) for n in range(1, 6)])
    outbox._con.execute("DROP TABLE quarantine")
    outbox._con.execute("DROP TABLE meta")
    outbox.close()
    step, armed = getattr(owner, after), [True]

    def cut(*arguments, **named):
        done = step(*arguments, **named)
        if armed and (tmp_path / opening.RESCUE_NAME).exists():
            armed.clear()
            if isinstance(done, sqlite3.Connection):
                done.close()  # as the end of the process does
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(owner, after, cut)
    with pytest.raises(KeyboardInterrupt):
        open_outbox(tmp_path, make_encoder(), limits=SMALL)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.salvaged_records == 5
    assert [row.record_id for row in waiting(again)][:5] == [make_read(n).read_id for n in range(1, 6)]
    assert (again.stats().plates, again.stats().overviews) == (5, 5)
    again.close()
    last, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is None
    assert len(list(tmp_path.glob("outbox.damaged-*.db"))) == 1
    last.close()


def test_missing_outbox_is_a_clear_error(tmp_path):
    """Reading a missing outbox is a clear error."""
    with pytest.raises(OutboxError, match="no outbox"):
        OutboxReader(tmp_path / FILE_NAME)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 5)),
            st.tuples(st.just("receipt"), st.integers(1, 30)),
            st.tuples(st.just("refuse"), st.integers(1, 30)),
            st.tuples(st.just("stored"), st.integers(1, 30)),
            st.tuples(st.just("held"), st.integers(1, 30)),
            st.tuples(st.just("reopen"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_counters_always_balance(tmp_path_factory, steps):
    """Appended = waiting + quarantined + receipted + evicted, whatever happens in whatever order."""
    folder = tmp_path_factory.mktemp("outbox")
    limits = Limits(max_bytes=15_000, min_free_bytes=0, ballast_bytes=0)
    outbox, number = open_small(folder, limits), 0
    for what, n in steps:
        if what == "append":
            outbox.append([make_read(number + i + 1) for i in range(n)])
            number += n
        elif what == "receipt":
            rows = [(row.seq, row.record_id) for row in waiting(outbox) if row.seq == n]
            outbox.apply([Receipted(tuple(rows))])
        elif what == "refuse":
            outbox.apply([Quarantined(n, "malformed")])
        elif what in {"stored", "held"} and number:
            sha = make_read(min(n, number)).pictures[n % 2].sha256
            outbox.apply([PictureStored(sha, n * 1000) if what == "stored" else PictureQuarantined(sha, "quota")])
        elif what == "reopen":
            outbox.close()
            outbox = open_small(folder, limits)
    stats = outbox.stats()
    con = outbox._con
    reads_refused = con.execute("SELECT count(*) FROM quarantine WHERE schema = 'read/1'").fetchone()[0]
    assert stats.appended == stats.reads + reads_refused + stats.receipted + stats.evicted_reads
    assert stats.reads + stats.others == con.execute("SELECT count(*) FROM records").fetchone()[0]
    assert (
        stats.plates + stats.overviews + stats.held == con.execute("SELECT count(*) FROM pictures").fetchone()[0]
    )
    true_bytes = con.execute(
        "SELECT coalesce((SELECT sum(length(payload) + 64) FROM records), 0)"
        " + coalesce((SELECT sum(length(payload) + 64) FROM quarantine), 0)"
        " + coalesce((SELECT sum(size + 256) FROM pictures), 0)"
    ).fetchone()[0]
    assert stats.used_bytes == true_bytes
    outbox.close()


def test_replayed_receipts_write_nothing(tmp_path):
    """A broker that repeats one valid receipt must not wear the card; how many came is known all the same."""
    outbox = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]
    outbox.append([make_read(1, pictures=())])
    receipt = Receipted(((1, make_read(1).read_id),))
    assert outbox.apply([receipt]).freed == 1
    log = tmp_path / f"{FILE_NAME}-wal"
    before = log.stat().st_size
    for _ in range(20):
        assert outbox.apply([receipt]).unknown == 1
    assert log.stat().st_size == before
    assert outbox.stats().unknown_receipts == 20
    outbox.close()
