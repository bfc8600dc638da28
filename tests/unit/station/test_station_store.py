"""The station's file: migrations, dating, retention, audit."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from agent.records import TimeTag
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.enums import PictureKind, TimeSource
from protocol.wire.parts import TimeQuality
from protocol.wire.records.time_anchor import TimeAnchor
from station.errors import StoreError
from station.schema import APPLICATION_ID, MIGRATIONS, open_file
from station.store import Store
from tests.builders import BOOT, UTC_NS, make_picture, make_read_record, make_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from protocol.wire.record import Record

UNIT = "unit-07"
DAY_US = 86_400_000_000
NOW_US = UTC_NS // 1000 + DAY_US
NO_TIME = TimeTag(None, TimeSource.NONE, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def add(store: Store, *records: Record, now_us: int = NOW_US) -> None:
    with store.transaction():
        for record in records:
            assert store.add_record(record, now_us)


def anchor(number: int, mono_us: int, utc_us: int, *, boot: bytes = BOOT) -> Record:
    quality = TimeQuality(source=TimeSource.GNSS, uncertainty_ms=150)
    body = TimeAnchor(anchored_boot_id=boot, mono_us=mono_us, utc_us=utc_us, time=quality)
    return make_record(body, seq=100 + number)


def chunk(sha256: bytes, data: bytes, *, total_bytes: int) -> PictureChunk:
    return PictureChunk(
        unit=UNIT,
        boot_id=BOOT,
        read_id=bytes(16),
        kind=PictureKind.PLATE,
        sha256=sha256,
        total_bytes=total_bytes,
        offset=0,
        data=data,
    )


def picture(store: Store, content: bytes, now_us: int = NOW_US) -> bytes:
    sha = hashlib.sha256(content).digest()
    with store.transaction():
        whole = chunk(sha, content, total_bytes=len(content))
        assert store.add_chunk(whole, now_us).stored_bytes == len(content)
    return sha


def test_file_is_durable_marked_and_private(store: Store, path: Path) -> None:
    """WAL with a sync at each commit, a version, an application id, and nobody else may read plates."""
    pragmas = ("journal_mode", "synchronous", "user_version", "application_id", "secure_delete")
    values = [store._con.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert values == ["wal", 2, len(MIGRATIONS), APPLICATION_ID, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_newer_file_is_refused_and_untouched(path: Path) -> None:
    """An older station must not write into a newer one's file."""
    Store(path).close()
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    con.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="install the newer station"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_foreign_database_is_refused_and_untouched(path: Path, version: int) -> None:
    """A path given by mistake must not cost somebody else's file."""
    con = sqlite3.connect(path)
    con.executescript(f"CREATE TABLE theirs (x); PRAGMA user_version = {version};")
    con.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another application"):
        Store(path)
    assert path.read_bytes() == before


def test_damaged_file_is_refused_by_name(path: Path) -> None:
    """The message names the file and says what to do."""
    path.write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StoreError, match=r"station\.db is not a station's file, or is damaged.*backup"):
        Store(path)


def test_absent_file_is_not_made_by_looking(path: Path) -> None:
    """Commands that only show say that the file is not there."""
    with pytest.raises(StoreError, match="does not exist"):
        Store(path, must_exist=True)
    assert not path.exists()


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The error is the station's, not the operating system's."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "station.db")


def test_migration_keeps_what_is_there(path: Path) -> None:
    """A file of version 1 goes to the next version with its reads, and once only."""
    store = Store(path)
    add(store, make_read_record())
    store.close()
    later = (*MIGRATIONS, "ALTER TABLE reads ADD COLUMN checked INTEGER NOT NULL DEFAULT 7")
    for _ in range(2):
        con = open_file(path, migrations=later)
        assert con.execute("SELECT seq, checked FROM reads").fetchall() == [(1, 7)]
        assert con.execute("PRAGMA user_version").fetchone() == (len(later),)
        con.close()


def test_failed_migration_changes_nothing(path: Path) -> None:
    """A migration is one transaction with its version."""
    Store(path).close()
    with pytest.raises(StoreError):
        open_file(path, migrations=(*MIGRATIONS, "CREATE TABLE extra (x); CREATE TABLE reads (x)"))
    con = sqlite3.connect(path)
    assert con.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)
    con.close()


def test_columns_say_what_the_message_said(store: Store) -> None:
    """Every column of a read is the field of the message."""
    record = make_read_record(3, seq=5)
    add(store, record)
    (row,) = store.reads()
    assert (row.read_id, row.unit, row.agency, row.boot_id, row.seq) == (
        record.envelope.record_id, UNIT, "Example Sheriff", BOOT, 5,
    )  # fmt: skip
    assert (row.utc_us, row.time_source, row.uncertainty_ms, row.dated) == (record.body.utc_us, "gnss", 150, False)
    assert (row.text, row.raw, row.confidence_e4, row.region) == ("7ABC123", "7ABC123", 9500, "US-CA")
    assert (row.lat_deg, row.lon_deg, row.error_cm, row.method) == (45.0, -100.0, 450, "interpolated")
    assert (row.single_frame, row.n_sightings, row.n_agreeing, row.retention) == (False, 3, 3, "nonhit")
    assert (row.received_us, row.pictures) == (NOW_US, 0)


def test_reads_are_filtered_by_unit_time_and_number(store: Store) -> None:
    """The latest few, in the order they came."""
    for seq in (1, 2, 3):
        add(store, make_read_record(seq, seq=seq), now_us=NOW_US + seq)
    add(store, make_read_record(9, seq=1, unit="unit-08"), now_us=NOW_US)
    assert [r.seq for r in store.reads(unit=UNIT)] == [1, 2, 3]
    assert [r.seq for r in store.reads(unit=UNIT, limit=2)] == [2, 3]
    assert [r.seq for r in store.reads(since_us=NOW_US + 3)] == [3]
    assert list(store.each_read(unit=UNIT)) == store.reads(unit=UNIT)


def test_undated_read_gets_its_time_from_the_nearest_dating_in_any_order(tmp_path: Path) -> None:
    """The order in which datings and reads come does not change the time of a read."""
    undated = make_read_record(10, seq=10, when=NO_TIME)
    mono_us = undated.body.mono_us
    near = anchor(1, mono_us + 2_000_000, 1_780_000_002_000_000)
    far = anchor(2, mono_us + 900_000_000, 1_780_000_900_000_500)
    times = set()
    for number, order in enumerate(permutations((undated, near, far))):
        store = Store(tmp_path / f"{number}.db")
        add(store, *order)
        (row,) = store.reads()
        times.add((row.utc_us, row.time_source, row.uncertainty_ms, row.dated))
        store.close()
    assert times == {(1_780_000_000_000_000, "gnss", 150, True)}


def test_dating_from_afar_is_less_certain(store: Store) -> None:
    """A clock that ran alone for an hour adds its drift: 50 parts per million."""
    undated = make_read_record(1, when=NO_TIME)
    add(store, undated, anchor(1, undated.body.mono_us + 3_600_000_000, 1_780_003_600_000_000))
    assert store.reads()[0].uncertainty_ms == 150 + 180


def test_dating_leaves_other_boots_and_dated_reads_alone(store: Store) -> None:
    """A monotonic clock means something within its boot only, and the unit's own time is better."""
    own_time = make_read_record(1, seq=1)
    other_boot = make_read_record(2, seq=2, when=NO_TIME, boot_id=b"other boot......")
    add(store, own_time, other_boot, anchor(1, 0, 1))
    assert [r.utc_us for r in store.reads()] == [own_time.body.utc_us, None]


def test_dating_beyond_the_calendar_is_not_applied(store: Store) -> None:
    """A time before 1970 or after the year 9999 is no time."""
    add(store, make_read_record(5, when=NO_TIME), anchor(1, 2**63 - 1, 0), anchor(2, 0, 2**63 - 1))
    assert store.reads()[0].utc_us is None


def test_purge_deletes_old_reads_of_a_class_with_their_pictures(store: Store) -> None:
    """By class and age; pictures that another read shares stay; that they were here is remembered."""
    shared = picture(store, b"shared")
    own = picture(store, b"own")
    pictures = (make_picture(content=b"shared"), make_picture(content=b"own"))
    old = make_read_record(1, seq=1, pictures=pictures)
    kept = make_read_record(2, seq=2, pictures=pictures[:1], retention="hit")
    add(store, old, kept)
    assert [r.pictures for r in store.reads()] == [2, 1]
    gone = store.purge(NOW_US + 31 * DAY_US, 30, retention="nonhit", who="clerk")
    assert (gone.reads, gone.pictures) == (1, 1)
    assert [r.seq for r in store.reads()] == [2]
    assert (store.picture(UNIT, shared), store.picture(UNIT, own)) == (b"shared", None)
    assert store.gaps(UNIT) == []
    with store.transaction():
        assert not store.add_record(old, NOW_US)
    (row,) = store.audit_trail()
    assert (row.who, row.what, row.count) == ("clerk", "purge of class nonhit after 30 days", 1)


def test_purge_keeps_what_is_young(store: Store) -> None:
    """Age counts from when the read was made, or received if that is earlier."""
    add(store, make_read_record())
    assert store.purge(NOW_US + 28 * DAY_US, 30, who="clerk").reads == 0
    assert len(store.reads()) == 1


def test_purge_removes_pictures_that_no_read_ever_named(store: Store) -> None:
    """Chunks whose read never came do not stay for ever, finished or not; young ones wait for their read."""
    picture(store, b"orphan")
    with store.transaction():
        store.add_chunk(chunk(bytes(32), b"part", total_bytes=9), NOW_US)
    assert store.purge(NOW_US + DAY_US, 30, who="clerk").pictures == 0
    assert store.purge(NOW_US + 31 * DAY_US, 30, who="clerk").pictures == 2
    assert store._con.execute("SELECT count(*) FROM chunks").fetchone() == (0,)


def test_purged_text_is_gone_from_the_files(store: Store, path: Path) -> None:
    """Deleted means overwritten: neither the file nor its log holds the plate any more."""
    add(store, make_read_record(text="ZZTOP99", alternatives=()))
    store.purge(NOW_US + 31 * DAY_US, 30, who="clerk")
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert not any(b"ZZTOP99" in file.read_bytes() for file in files)


def test_purge_of_negative_age_is_refused(store: Store) -> None:
    """A typing error must not delete everything."""
    with pytest.raises(StoreError, match="-1 days"):
        store.purge(NOW_US, -1, who="clerk")


def test_transaction_is_all_or_nothing(store: Store) -> None:
    """An error in between, of whatever kind, leaves nothing behind."""

    def interrupted() -> None:
        with store.transaction():
            store.add_record(make_read_record(), NOW_US)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert (store.reads(), store.gaps(UNIT)) == ([], [])
