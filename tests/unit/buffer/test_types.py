"""Records of any registered type: appended, counted, evicted, damaged, salvaged and receipted like reads."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from agent.buffer import (
    Limits,
    NewRecord,
    OutboxReader,
    PicturePriority,
    PurgeNote,
    Quarantined,
    Receipted,
    open_outbox,
    schema,
)
from agent.buffer.damage import note_damage, read_mark
from agent.buffer.opening import opens_slowly
from agent.buffer.outbox import BALLAST_NAME, FILE_NAME
from agent.errors import OutboxTypeError, OutboxVersionError
from agent.geotag.units import time_quality
from agent.sync.encoder import RecordEncoder
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.wire.enums import Lost, PictureKind, TimeSource
from protocol.wire.record import decode_record
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.registry import Priority, Registry
from protocol.wire.released import released_registry
from tests.builders import BOOT, make_encoder, make_picture, make_read, make_read_record, make_time_anchor
from tests.toys import WITH_TOYS, Alarm, Note

SMALL = Limits(min_free_bytes=0, ballast_bytes=0)
OWN, STATION = SigningKey.generate(), StationKey.generate()


def encoder(*, sealed: bool = False, registry: Registry = WITH_TOYS) -> RecordEncoder:
    sealer = Sealer("unit-07", OWN, STATION) if sealed else None
    return RecordEncoder("unit-07", "Example Sheriff", BOOT, registry, sealer)


def opened(folder, *, limits=SMALL, **options):
    return open_outbox(folder, encoder(**options), limits=limits)[0]


def alarm(number: int, **other) -> NewRecord:
    return NewRecord(Alarm(what=f"alarm {number}"), (1000 + number).to_bytes(16, "big"), **other)


def note(number: int, **other) -> NewRecord:
    return NewRecord(Note(text=f"note {number}"), (2000 + number).to_bytes(16, "big"), **other)


def rows_of(outbox):
    reader = OutboxReader(outbox.path)
    rows = reader.records(after_seq=0, limit=10_000)
    reader.close()
    return rows


def schemas(outbox) -> list[str]:
    return [row.schema for row in rows_of(outbox)]


def tombstones(outbox):
    rows = [row for row in rows_of(outbox) if row.schema == Tombstone.SCHEMA]
    return [decode_record(row.payload, WITH_TOYS).body for row in rows]


@pytest.mark.parametrize("sealed", [False, True])
def test_type_of_this_test_is_appended_reopened_and_receipted(tmp_path, sealed):
    """One series of numbers over all types, one chain, and counters of its own."""
    outbox = opened(tmp_path, sealed=sealed)
    assert outbox.append([make_read(1), alarm(1), NewRecord(make_time_anchor()), alarm(2)]) == [1, 2, 3, 4]
    outbox.close()
    again = opened(tmp_path, sealed=sealed)
    assert again.append([note(1)]) == [5]
    rows = rows_of(again)
    assert [(row.seq, row.schema, row.priority) for row in rows] == [
        (1, "read/1", 10), (2, "alarm/1", 0), (3, "dating/1", 10), (4, "alarm/1", 0), (5, "note/1", 20),
    ]  # fmt: skip
    again.apply([Receipted(((2, alarm(1).record_id), (4, b"another id, no match")))])
    counts = again.stats().types["alarm/1"]
    assert (counts.waiting, counts.appended, counts.receipted, counts.evicted) == (1, 2, 1, 0)
    assert (again.stats().reads, again.stats().others) == (1, 3)
    again.close()


@pytest.mark.parametrize("sealed", [False, True])
def test_rows_of_any_type_are_salvaged(tmp_path, sealed):
    """Even if other columns were damaged: priority and type are taken from the bytes and the registry."""
    outbox = opened(tmp_path, sealed=sealed)
    outbox.append([make_read(1), alarm(1), note(1), alarm(2)])
    outbox.apply([Quarantined(3, "malformed")])
    before = {row.seq: row.payload for row in rows_of(outbox)}
    outbox._con.execute("UPDATE records SET priority = 77, kept = 0 WHERE seq = 4")
    outbox._con.execute("UPDATE records SET schema = 'read/1' WHERE seq = 2")
    outbox.close()
    note_damage(tmp_path, "a test", certain=False)
    again, report = open_outbox(tmp_path, encoder(sealed=sealed), limits=SMALL)
    assert (report.moved_to is not None, report.salvaged_records) == (True, 4)
    rows = {row.seq: row for row in rows_of(again)}
    assert {seq: rows[seq].payload for seq in before} == before
    assert (rows[4].schema, rows[4].priority, rows[4].kept) == ("alarm/1", Priority.URGENT, True)
    assert sealed or rows[2].schema == "alarm/1", "an open record names its type itself"
    assert again.stats().quarantined == 1
    assert again.append([alarm(3)]) == [again.stats().next_seq - 1]
    again.close()
    clean, report = open_outbox(tmp_path, encoder(sealed=sealed), limits=SMALL)
    assert report.moved_to is None
    clean.close()


@pytest.mark.parametrize("sealed", [False, True])
def test_type_of_a_later_release_is_sent_after_a_roll_back(tmp_path, sealed):
    """The release before does not know it: it is sent, receipted, refused, salvaged and evicted anyway."""
    outbox = opened(tmp_path, sealed=sealed)
    outbox.append([alarm(1), note(1), note(2), alarm(2), note(3)])
    outbox.close()
    older = opened(tmp_path, sealed=sealed, registry=released_registry())
    reader = OutboxReader(older.path)
    assert reader.priorities() == [Priority.URGENT, Priority.BULK]
    assert [row.seq for row in reader.records_of(Priority.URGENT, after_seq=0, limit=9)] == [1, 4]
    older.apply([Receipted(((1, alarm(1).record_id),)), Quarantined(2, "unknown_schema")])
    assert older.stats().types["alarm/1"].receipted == 1
    assert older.requeue() == 1
    reader.close()
    older.close()
    note_damage(tmp_path, "a test", certain=True)
    con = sqlite3.connect(tmp_path / FILE_NAME)
    con.execute("DROP TABLE types")
    con.close()
    saved = opened(tmp_path, sealed=sealed, registry=released_registry())
    assert schemas(saved)[:4] == ["note/1", "note/1", "alarm/1", "note/1"]
    saved._limits = replace(SMALL, max_bytes=10)
    saved.append([make_read(1, pictures=())])
    assert schemas(saved)[0] == "alarm/1", "what could not be given up then cannot be now"
    assert saved.stats().types["note/1"].evicted == 3
    saved.close()


def test_a_type_that_is_not_registered_is_refused_and_nothing_of_its_group_is_stored(tmp_path):
    outbox = opened(tmp_path, registry=released_registry())
    with pytest.raises(OutboxTypeError, match="alarm/1 are not registered"):
        outbox.append([make_read(1), alarm(1)])
    assert (outbox.stats().waiting, outbox.append([make_read(1)])) == (0, [1])
    assert read_mark(tmp_path) is None, "no damage"
    outbox.close()


def test_eviction_order_by_priority(tmp_path):
    """Notes before reads, the oldest of each first; alarms, anchors and tombstones stay, and no range includes them."""
    outbox = opened(tmp_path)
    for number in range(1, 41):
        outbox.append([make_read(number, pictures=()), alarm(number), note(number)])
    size = outbox.stats().used_bytes
    outbox._limits = replace(SMALL, max_bytes=size // 2)
    outbox.append([make_read(99, pictures=())])
    types = outbox.stats().types
    assert (types["note/1"].waiting, types["alarm/1"].waiting) == (0, 40)
    assert 0 < types["read/1"].evicted < 40
    left = [row.seq for row in rows_of(outbox)]
    announced = tombstones(outbox)
    gone = [seq for tombstone in announced for first, last in tombstone.ranges for seq in range(first, last + 1)]
    assert not set(gone) & set(left)
    assert sorted(gone) == sorted(set(range(1, 121)) - set(left))
    assert {tombstone.lost for tombstone in announced} == {Lost.RECORD, Lost.READ}
    reads = [row.seq for row in rows_of(outbox) if row.schema == "read/1"]
    assert reads == sorted(reads)[-len(reads) :]
    assert outbox.lost_records == sum(counts.evicted for counts in types.values())
    outbox.close()


def test_tombstone_ranges_span_deleted_numbers_but_not_waiting_ones(tmp_path):
    """One range for what was evicted round a receipted record, two round one that waits or was refused."""
    outbox = opened(tmp_path)
    outbox.append([note(1), note(2), note(3), alarm(1), note(4), note(5), note(6)])
    outbox.apply([Receipted(((2, note(2).record_id),)), Quarantined(6, "malformed")])
    outbox._con.execute("UPDATE quarantine SET kept = 1")
    outbox._limits = replace(SMALL, max_bytes=400)
    outbox.append([alarm(2)])
    assert [tombstone.ranges for tombstone in tombstones(outbox)] == [((1, 3), (5, 5), (7, 7))]
    outbox.close()


def test_failed_eviction_resets_its_search_position(tmp_path):
    """Rolled-back rows are still there, and are evicted the next time."""
    outbox = opened(tmp_path)
    outbox.append([note(n) for n in range(1, 20)])
    outbox._limits = replace(SMALL, max_bytes=500)
    plain = outbox._mark.cover
    outbox._mark.cover = lambda _: (_ for _ in ()).throw(OSError(5, "EIO"))
    with pytest.raises(Exception, match="write failed"):
        outbox.append([alarm(1)])
    outbox._mark.cover = plain
    assert outbox.stats().types["note/1"].waiting == 19
    outbox.append([alarm(1)])
    assert 1 not in [row.seq for row in rows_of(outbox)]
    outbox.close()


def test_picture_priority_by_retention_class(tmp_path):
    """Those of a hit's class go first, as with reads."""
    outbox = opened(tmp_path)
    first = make_picture(PictureKind.PLATE, content=b"first")
    second = make_picture(PictureKind.PLATE, content=b"second")
    outbox.append([NewRecord(Note(text="hit"), pictures=(first,)), NewRecord(Note(text=""), pictures=(second,))])
    reader = OutboxReader(outbox.path)
    shas = [
        [row.sha256 for row in reader.pictures(priority, after_pic=0, limit=9)]
        for priority in (PicturePriority.HIT_PLATE, PicturePriority.PLATE)
    ]
    assert shas == [[first.sha256], [second.sha256]]
    reader.close()
    outbox.close()


def old_file(folder, version: int) -> None:
    """A file of an earlier version: 40 reads, a time anchor and a tombstone wait, two records were refused."""
    con = schema.connect(folder / FILE_NAME)
    schema.migrate(con, schema.MIGRATIONS[:version])
    for seq in range(1, 41):
        record = make_read_record(seq, seq=seq)
        con.execute("INSERT INTO records VALUES (?, 0, ?, ?)", (seq, record.envelope.record_id, record.payload))
    made = make_encoder()
    for seq, kind, body in ((41, 1, make_time_anchor()), (42, 2, Tombstone(
        lost=Lost.READ, reason="budget", count=1, size_bytes=1, ranges=((400, 400),)
    ))):  # fmt: skip
        encoded = made.record(seq, body, b"")
        con.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (seq, kind, encoded.record_id, encoded.payload))
    for seq, kind, body in ((43, 0, make_read(43).body), (44, 1, make_time_anchor())):
        encoded = made.record(seq, body, b"")
        con.execute(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, 'malformed')",
            (seq, kind, encoded.record_id, encoded.payload),
        )
    sizes = [
        con.execute(f"SELECT sum(length(payload) + 64) FROM {table}").fetchone()[0]  # noqa: S608 - words of ours
        for table in ("records", "quarantine")
    ]
    con.execute(
        "UPDATE meta SET next_seq = 45, reads = 40, others = 2, quarantined = 2, appended = 90, receipted = 49,"
        " used_bytes = ?",
        (sum(sizes),),
    )
    con.close()


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_earlier_versions_are_migrated_in_place(tmp_path, version):
    """Rows keep their bytes; types, priorities and counters follow from what the file said."""
    old_file(tmp_path, version)
    assert opens_slowly(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as con:
        before = con.execute("SELECT seq, payload FROM records").fetchall()
    outbox, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert (report.moved_to, opens_slowly(tmp_path)) == (None, False)
    rows = rows_of(outbox)
    assert [(row.seq, row.payload) for row in rows] == before
    assert {row.priority for row in rows} == {Priority.NORMAL}
    assert [row.schema for row in rows[38:]] == ["read/1", "read/1", "dating/1", "tomb/1"]
    assert [row.kept for row in rows[38:]] == [False, False, True, True]
    stats = outbox.stats()
    assert (stats.reads, stats.others, stats.appended, stats.receipted) == (40, 2, 90, 49)
    assert (stats.types["dating/1"].appended, stats.types["dating/1"].waiting) == (2, 1)
    assert outbox.requeue() == 2
    outbox.close()
    note_damage(tmp_path, "look at every page", certain=False)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is None, "rows and counters agree"
    again.close()


@pytest.mark.parametrize("version", [1, 2])
def test_reading_a_file_before_its_migration_is_not_damage(tmp_path, version):
    """A command of the new version, before its agent has started: a clear error, and nothing is marked."""
    old_file(tmp_path, version)
    with pytest.raises(
        OutboxVersionError, match=rf"has version {version}, .* migrates an older file at its start"
    ):
        OutboxReader(tmp_path / FILE_NAME)
    assert read_mark(tmp_path) is None


@pytest.mark.parametrize("version", [1, 2])
def test_damaged_file_of_an_earlier_version_is_salvaged(tmp_path, version):
    """Damaged before the migration: rows are read as the older version wrote them."""
    old_file(tmp_path, version)
    con = sqlite3.connect(tmp_path / FILE_NAME)
    con.execute("DROP TABLE meta")
    con.close()
    outbox, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.salvaged_records == 44
    assert schemas(outbox)[38:42] == ["read/1", "read/1", "dating/1", "tomb/1"]
    assert outbox.stats().types["read/1"].waiting == 40
    outbox.close()


def file_without_classes(folder, *, sealed: bool = False) -> None:
    """A file of version 3: reads 1 to 3 wait, of which two expire at 100, and 4 was refused and expires as well."""
    con = schema.connect(folder / FILE_NAME)
    schema.migrate(con, schema.MIGRATIONS[:3])
    made, sizes = encoder(sealed=sealed), []
    for seq, due in ((1, 100), (2, 100), (3, None), (4, 100)):
        encoded = made.record(seq, make_read(seq).body, b"", make_read(seq).record_id)
        sizes.append(len(encoded.payload) + 64)
        table, code = ("quarantine", ", 'malformed'") if seq == 4 else ("records", "")
        con.execute(
            f"INSERT INTO {table} (seq, schema, id, payload, priority, kept, expires_us{', code' if code else ''})"  # noqa: S608 - words of ours
            f" VALUES (?, 'read/1', ?, ?, 10, 0, ?{code})",
            (seq, encoded.record_id, encoded.payload, due),
        )
    con.execute("UPDATE meta SET next_seq = 5, quarantined = 1, used_bytes = ?", (sum(sizes),))
    con.execute("UPDATE types SET waiting = 3, appended = 4 WHERE schema = 'read/1'")
    con.close()


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_rows_of_a_file_without_classes_are_kept_and_counted_as_of_unknown_class(tmp_path, sealed, damaged):
    """Migrated in place, or salvaged; new rows have their class."""
    file_without_classes(tmp_path, sealed=sealed)
    if damaged:
        con = sqlite3.connect(tmp_path / FILE_NAME)
        con.execute("DROP TABLE meta")
        con.close()
    assert opens_slowly(tmp_path)
    outbox, report = open_outbox(tmp_path, encoder(sealed=sealed), limits=SMALL)
    assert (report.moved_to is not None, outbox.stats().types["read/1"].waiting) == (damaged, 3)
    assert {row.retention for row in rows_of(outbox) if row.schema == "read/1"} == {None}
    outbox.append([replace(make_read(5), expires_utc_us=100)])
    outbox.close()
    note_damage(tmp_path, "compare rows and counters", certain=False)
    outbox, report = open_outbox(tmp_path, encoder(), limits=SMALL)
    assert report.moved_to is None
    outbox.expire(100, PurgeNote("", time_quality(TimeSource.GNSS, 150.0), 1))
    bodies = [decode_record(row.payload, WITH_TOYS).body for row in rows_of(outbox) if row.schema == "purge/1"]
    assert [body.classes for body in bodies] == [(("read/1", "?", 3), ("read/1", "nonhit", 1))]
    assert [row.seq for row in rows_of(outbox) if row.schema == "read/1"] == [3]
    outbox.close()


@pytest.mark.parametrize("value", [b"\xff\xfe", b"x" * 3])
def test_damaged_class_does_not_lose_its_row(tmp_path, value):
    outbox = opened(tmp_path)
    outbox.append([replace(make_read(1), expires_utc_us=100), make_read(2)])
    outbox.close()
    con = sqlite3.connect(tmp_path / FILE_NAME)
    con.execute("UPDATE records SET class = CAST(? AS TEXT) WHERE seq = 1", (value,))
    con.execute("DROP TABLE meta")
    con.commit()
    con.close()
    outbox, report = open_outbox(tmp_path, encoder(), limits=SMALL)
    assert report.salvaged_records == 2
    first, second = (row for row in rows_of(outbox) if row.schema == "read/1")
    assert (first.expires_us, first.retention) == (100, None if value[0] == 0xFF else "xxx")
    assert second.retention == "nonhit"
    outbox.close()


def test_migration_on_a_full_disk_uses_the_ballast(tmp_path, monkeypatch):
    old_file(tmp_path, 2)
    (tmp_path / BALLAST_NAME).write_bytes(bytes(1000))
    plain = schema.migrate

    def full(con, migrations=schema.MIGRATIONS):
        if (tmp_path / BALLAST_NAME).exists():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return plain(con, migrations)

    monkeypatch.setattr(schema, "migrate", full)
    outbox, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert (report.moved_to, outbox.stats().reads) == (None, 40)
    outbox.close()


def test_record_missing_in_the_priority_index_is_found_at_the_next_start(tmp_path):
    """It would never be sent, without any other error."""
    outbox = opened(tmp_path)
    outbox.append([alarm(1), alarm(2), alarm(3)])
    outbox.close()
    con = sqlite3.connect(tmp_path / FILE_NAME)
    con.execute("PRAGMA writable_schema = ON")
    con.execute("CREATE TABLE aside AS SELECT * FROM records WHERE seq = 2")
    con.execute("DELETE FROM records WHERE seq = 2")
    root = con.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records_priority'").fetchone()
    con.commit()
    whole = tmp_path / "whole.db"
    con.execute("VACUUM INTO ?", (str(whole),))
    con.close()
    assert root
    shutil.copy(whole, tmp_path / FILE_NAME)
    again, report = open_outbox(tmp_path, encoder(), limits=SMALL)
    assert "in the index" in report.damage
    assert [row.seq for row in rows_of(again) if row.schema == "alarm/1"] == [1, 3]
    again.close()
