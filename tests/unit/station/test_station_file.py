"""The station's file: permissions, header, migrations, deletion."""

from __future__ import annotations

import sqlite3
import stat
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from agent.records import TimeTag
from protocol.wire.enums import TimeSource
from protocol.wire.parts import TimeQuality
from protocol.wire.records.time_anchor import TimeAnchor
from station.asker import Asker
from station.commands import Commands
from station.errors import StoreError
from station.store import OfferedFile, open_store
from station.store.migrations import LATEST
from station.store.sqlite_file import APPLICATION_ID
from station.store.tables import METADATA
from tests import old_station_files
from tests.builders import BOOT, UTC_NS, make_read_record, make_record, make_tombstone
from tests.station_files import add, each_read, stored_reads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Inspector

    from protocol.wire.record import Record
    from station.store import Store

UNIT = "unit-07"
DAY_US = 86_400_000_000
NOW_US = UTC_NS // 1000 + DAY_US
NO_TIME = TimeTag(None, TimeSource.NONE, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.db"


@pytest.fixture(autouse=True)
def plain_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds of SQLite overwrite what is deleted by default: here none does."""
    connect = sqlite3.connect

    def plain(*arguments: Any, **options: Any) -> sqlite3.Connection:
        con = connect(*arguments, **options)
        con.execute("PRAGMA secure_delete = OFF")
        return con

    monkeypatch.setattr(sqlite3, "connect", plain)


@pytest.fixture
def store(path: Path, plain_sqlite: None) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


def test_file_is_durable_marked_and_private(store: Store, path: Path) -> None:
    """WAL with a sync at each commit, a version, an application id, and nobody else may read plates."""
    pragmas = ("journal_mode", "synchronous", "user_version", "application_id", "secure_delete")
    values = [store.db.driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    assert values == ["wal", 2, LATEST, APPLICATION_ID, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_newer_file_is_refused_and_unchanged(path: Path) -> None:
    """An older station must not write into a newer one's file."""
    open_store(path).close()
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {LATEST + 1}")
    con.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="install the newer station"):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_foreign_database_is_refused_and_unchanged(path: Path, version: int) -> None:
    """A wrong path must not damage another application's file."""
    con = sqlite3.connect(path)
    con.executescript(f"CREATE TABLE theirs (x); PRAGMA user_version = {version};")
    con.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another application"):
        open_store(path)
    assert path.read_bytes() == before


def test_damaged_file_is_refused_by_name(path: Path) -> None:
    """The message names the file and says what to do."""
    path.write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StoreError, match=r"station\.db is not a station's file, or is damaged.*backup"):
        open_store(path)


def test_query_does_not_create_a_missing_file(path: Path) -> None:
    """Commands that only show say that the file is not there."""
    with pytest.raises(StoreError, match="does not exist"):
        open_store(path, must_exist=True)
    assert not path.exists()


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The error is the station's, not the operating system's."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path / "file" / "station.db")


def tombstone(seq: int, *ranges: tuple[int, int]) -> Record:
    return make_record(make_tombstone(*ranges), seq=seq)


def anchor(seq: int, mono_us: int, utc_us: int) -> Record:
    quality = TimeQuality(source=TimeSource.GNSS, uncertainty_ms=150)
    return make_record(TimeAnchor(anchored_boot_id=BOOT, mono_us=mono_us, utc_us=utc_us, time=quality), seq=seq)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_older_file_is_migrated_with_all_data(path: Path, version: int) -> None:
    """Records of every type with their bytes, times, pictures, gaps and audit entries; once, whatever the version."""
    undated = make_read_record(4, seq=4, when=NO_TIME)
    dating = anchor(5, undated.body.mono_us, UTC_NS // 1000)
    path.touch(0o600)
    con = old_station_files.make(path, version)
    old_station_files.add(con, make_read_record(1, seq=1), NOW_US)
    old_station_files.add(con, make_read_record(2, seq=2), NOW_US + 1)
    old_station_files.add(con, undated, NOW_US + 2)
    con.execute(
        "UPDATE reads SET utc_us = ?, time_source = 'gnss', uncertainty_ms = 150, dating_gap_us = 0 WHERE seq = 4",
        (UTC_NS // 1000,),
    )
    old_station_files.add(con, dating, NOW_US + 3)
    old_station_files.add(con, tombstone(6, (3, 3)), NOW_US + 4)
    con.execute("DELETE FROM reads WHERE seq = 2")  # as a purge did
    con.execute("INSERT INTO audit (utc_us, who, what, count) VALUES (1, 'clerk', 'export csv', 1)")
    con.execute("INSERT INTO units (unit, seen_us) VALUES (?, 1)", (UNIT,))
    con.close()
    for _ in range(2):
        store = open_store(path)
        assert [(row.seq, row.utc_us, row.dated, row.received_us) for row in stored_reads(store)] == [
            (1, make_read_record(1).body.utc_us, False, NOW_US), (4, UTC_NS // 1000, True, NOW_US + 2),
        ]  # fmt: skip
        assert [row.record.payload for row in each_read(store, "dating/1")] == [dating.payload]
        assert [row.record.payload for row in each_read(store, "tomb/1")] == [tombstone(6, (3, 3)).payload]
        assert [(gap.first, gap.last, gap.explained) for gap in store.gaps(UNIT)] == [(3, 3, True)]
        assert [(row.who, row.what, row.filter, row.count) for row in store.audit_trail()] == [
            ("clerk", "export csv", "", 1),
            ("station", "log begins", "", 1),
            ("station", "purge", "before the log", 1),
        ]
        assert store.units()[0].reads == 2
        assert add(store, make_read_record(2, seq=2), now_us=NOW_US) == [False], "purged, and remembered"
        later = make_read_record(9, seq=7, when=NO_TIME)
        add(store, later, now_us=NOW_US - 1)
        assert [row.dated for row in stored_reads(store)] == [True, False, True], "by an anchor of the old file"
        names = {name for (name,) in store.db.driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names & {"datings", "tombstones", "read_pictures", "old_records"} == set()
        with store.transaction():
            store.db.driver_sql("DELETE FROM records WHERE seq = 7")
            store.db.driver_sql("DELETE FROM reads WHERE record_id NOT IN (SELECT record_id FROM records)")
        store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_migrations_create_the_declared_tables(store: Store) -> None:
    """Whoever changes a table writes its migration."""
    context = MigrationContext.configure(
        store.db.connection,
        opts={"include_object": lambda _, name, kind, *__: kind != "table" or name in METADATA.tables},
    )
    assert compare_metadata(context, METADATA) == []
    assert context.get_current_revision() == f"{LATEST:04}"


def shape_of(inspector: Inspector) -> dict[str, object]:
    return {
        table: (
            sorted((column["name"], str(column["type"])) for column in inspector.get_columns(table)),
            sorted((index["name"], tuple(index["column_names"])) for index in inspector.get_indexes(table)),
            inspector.get_pk_constraint(table)["constrained_columns"],
        )
        for table in sorted(inspector.get_table_names())
    }


def test_offers_of_an_older_file_are_updates(path: Path) -> None:
    con = old_station_files.make(path, 3)
    con.execute("INSERT INTO offers VALUES (?, 42, ?, 7, 1, 'code,models', 9)", (UNIT, bytes(32)))
    con.commit()
    con.close()
    store = open_store(path)
    (offered,) = store.offers()
    assert (offered.unit, offered.attempt) == (UNIT, 1)
    assert offered.file == OfferedFile("update", 42, bytes(32), 7, ("code", "models"))
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
def test_migrated_file_has_the_declared_tables(path: Path, version: int) -> None:
    """An older file ends where a new one begins, columns and indexes alike."""
    old_station_files.make(path, version).close()
    shapes = []
    for name in (path, path.with_name("new.db")):
        store = open_store(name)
        shapes.append(shape_of(inspect(store.db.connection)))
        store.close()
    assert shapes[0] == shapes[1]


def test_failed_migration_changes_nothing(path: Path) -> None:
    """A migration is one transaction with its version; what stood in its way can be cleared, and it goes through."""
    con = old_station_files.make(path, 3)
    old_station_files.add(con, make_read_record(), NOW_US)
    con.execute("CREATE TABLE projections (x)")
    before = con.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    with pytest.raises(StoreError, match="restore it from the backup"):
        open_store(path)
    assert con.execute("PRAGMA user_version").fetchone() == (3,)
    assert con.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
    con.execute("DROP TABLE projections")
    con.close()
    store = open_store(path)
    assert len(stored_reads(store)) == 1
    store.close()


def test_error_messages_contain_no_plate(store: Store) -> None:
    """SQLAlchemy shows a statement's parameters unless it is told not to."""
    store.db.driver_sql("CREATE TRIGGER broken BEFORE INSERT ON reads BEGIN SELECT RAISE(ABORT, 'disk'); END")
    plate = "99POTZZ"[::-1]
    message = make_read_record(text=plate, alternatives=())
    with pytest.raises(StoreError) as caught:
        add(store, message, now_us=NOW_US)
    text = "".join(traceback.format_exception(caught.value))
    assert "disk" in text
    assert plate not in text


def test_purged_text_is_not_in_the_files(store: Store, path: Path) -> None:
    """Deleted means overwritten: neither the file nor its log holds the plate any more."""
    add(store, make_read_record(text="ZZTOP99", alternatives=()), now_us=NOW_US)
    Commands(store, Asker("clerk"), lambda: NOW_US + 31 * DAY_US).purge(30)
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert not any(b"ZZTOP99" in file.read_bytes() for file in files)


def test_log_is_emptied_after_the_transaction_of_another_thread(tmp_path):
    """Inside one SQLite refuses it: a purge would end the station while messages are stored."""
    store = open_store(tmp_path / "station.db")
    failures: list[BaseException] = []

    def forget() -> None:
        try:
            store.forget_freed()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    other = threading.Thread(target=forget)
    with store.transaction():
        store.note_seen([UNIT], 1)
        other.start()
        other.join(0.1)
    other.join()
    store.close()
    assert not failures
