"""A backup restores what the station had, on every database; what it cannot restore is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli import station as station_cli
from cli.main import app
from protocol.wire.control.unit_state import Health
from station.backup import expire, made_after, make_backup, read_backup, restore, verify
from station.errors import BackupError
from station.query import Query
from station.store import open_store
from tests.builders import BOOT, make_picture, make_read_record
from tests.conftest import ROOT
from tests.contract.test_station_store import DAY_US, NOW_US, UNIT, picture
from tests.station_files import add, stored_reads

RUNNER = CliRunner()


def run(*arguments: object):
    if not any(group.name == "station" for group in app.registered_groups):
        app.add_typer(station_cli.app, name="station")
    return RUNNER.invoke(app, ["station", *(str(argument) for argument in arguments)])


class Places:
    """Makes places for stores of one kind."""

    def __init__(self, new, lose):
        self.new = new
        self.lose = lose


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def places(request):
    if request.param == "sqlite":
        folder = request.getfixturevalue("tmp_path")
        numbers = iter(range(100))

        def lose(place):
            for path in folder.glob(f"{place.name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        return Places(lambda: folder / f"s{next(numbers)}.db", lose)
    server = request.getfixturevalue("postgres")
    numbers = iter(range(100))

    def empty():
        name = f"empty_{next(numbers)}_{id(numbers)}"
        server.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        request.addfinalizer(lambda: server.execute(f"DROP DATABASE {name} WITH (FORCE)"))
        return server.address(name)

    return Places(empty, lambda _: None)


def fill(store, *numbers, now_us=NOW_US):
    for number in numbers:
        add(
            store,
            make_read_record(number, seq=number, pictures=(make_picture(content=b"p%d" % number),)),
            now_us=now_us,
        )
        picture(store, b"p%d" % number, now_us)


@pytest.fixture
def place(places):
    """A store with three reads and their pictures."""
    made = places.new()
    with closing(open_store(made)) as store:
        fill(store, 1, 2, 3)
    return made


@pytest.mark.slow
def test_lost_disk_is_restored_with_records_pictures_and_trail(places, place, tmp_path):
    """The disk is gone after the backup; the new one has all that was in it."""
    with closing(open_store(place)) as store:
        before = stored_reads(store)
        Query(store, asker(), lambda: NOW_US).records()
        trail = store.audit_trail()
        # While the station runs.
        made = make_backup(place, tmp_path / "backups", NOW_US, station="s")
        fill(store, 4)
    places.lose(place)
    new = places.new()
    assert restore(made, new).records == 3
    with closing(open_store(new)) as store:
        assert stored_reads(store) == before
        assert [store.picture(UNIT, row.body.pictures[0].sha256) for row in before] == [b"p1", b"p2", b"p3"]
        assert store.audit_trail() == trail
        assert list(store.faults()) == []
        fill(store, 5)
        assert store.seen(UNIT) == [(1, 3), (5, 5)]


def asker():
    from cli.account import operator  # noqa: PLC0415 - used here alone

    return operator()


@pytest.mark.slow
def test_station_restored_from_an_old_backup_says_what_is_missing(places, place, tmp_path):
    """Units have deleted what was receipted after it: their next numbers show the gap."""
    made = make_backup(place, tmp_path / "backups", NOW_US, station="s")
    with closing(open_store(place)) as store:
        fill(store, 4, 5)
    places.lose(place)
    new = places.new()
    done = run("--db", new, "restore", made)
    assert done.exit_code == 0, done.output
    assert "What came after this backup is not in it" in done.output
    with closing(open_store(new)) as store:
        health = Health(unit=UNIT, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=6, counters={}, gauges={})
        with store.transaction():
            store.note_health(health, b"", NOW_US)
        fill(store, 6)
        assert [(gap.first, gap.last, gap.explained) for gap in store.gaps(UNIT)] == [(4, 5, False)]
        (entry,) = [entry for entry in store.audit_trail() if entry.what == "restore"]
        assert entry.filter == f"from={made} made=2026-05-29T20:26:40.000+00:00"
    shown = run("--db", new, "audit", "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.output)["sequences"][0]["missing"] == [[4, 5]]


def test_nothing_is_restored_over_a_store(places, place, tmp_path):
    made = make_backup(place, tmp_path / "backups", NOW_US, station="s")
    with pytest.raises(BackupError, match=r"exists|tables already"):
        restore(made, place)
    with closing(open_store(place)) as store:
        assert len(stored_reads(store)) == 3


@pytest.mark.slow
def test_command_makes_a_checked_backup(places, place, tmp_path):
    told = json.loads(run("--db", place, "backup", tmp_path / "backups", "--json").output)
    assert (told["records"], told["rows"]["pictures"], told["deleted"]) == (3, 3, [])
    assert "valid" in run("--db", place, "restore", told["backup"], "--verify-only").output
    with closing(open_store(place)) as store:
        assert [entry.what for entry in store.audit_trail()] == ["backup"]


# Of files alone


@pytest.fixture
def file(tmp_path):
    with closing(open_store(tmp_path / "a.db")) as store:
        fill(store, 1, 2)
    return tmp_path / "a.db"


def test_backups_expire_with_what_was_purged(file, tmp_path):
    """But never the newest, and no folder that is none."""
    target = tmp_path / "backups"
    (target / "mine").mkdir(parents=True)
    made = [make_backup(file, target, NOW_US + day * DAY_US, station="s") for day in range(4)]
    assert expire(target, NOW_US + 2 * DAY_US, NOW_US + 9 * DAY_US) == made[:2]
    assert expire(target, NOW_US + 9 * DAY_US, NOW_US + 9 * DAY_US) == made[2:3]
    assert sorted(path.name for path in target.iterdir()) == sorted([made[3].name, "mine"])


def test_what_an_interrupted_backup_left_expires(file, tmp_path):
    """Also with a manifest; one that may be in progress is left alone."""
    target = tmp_path / "backups"
    made = make_backup(file, target, NOW_US, station="s")
    left = make_backup(file, target, NOW_US + DAY_US, station="s")
    left = left.rename(target / f"{left.name}.part")
    assert not expire(target, NOW_US + DAY_US // 2, NOW_US + 2 * DAY_US)
    assert left.is_dir()
    assert not expire(target, NOW_US + 2 * DAY_US, NOW_US + 2 * DAY_US)
    assert [path.name for path in target.iterdir()] == [made.name]


def test_backup_of_a_wrong_clock_is_not_the_newest(file, tmp_path):
    """Else it would stand for the newest for ever, and the last right one could be deleted."""
    target = tmp_path / "backups"
    made = [make_backup(file, target, NOW_US + day * DAY_US, station="s") for day in (0, 1, 4000)]
    assert made_after(target, NOW_US + 9 * DAY_US) == made[2:]
    assert expire(target, NOW_US + 8 * DAY_US, NOW_US + 9 * DAY_US) == made[:1]
    assert made[1].is_dir()


def test_wrong_clock_deletes_no_backup(file, tmp_path, monkeypatch):
    """The nightly backup of a machine whose clock is years ahead: all others would be gone at once."""
    target = tmp_path / "backups"
    made = [make_backup(file, target, NOW_US + day * DAY_US, station="s") for day in range(2)]
    monkeypatch.setattr("cli.station_backup.now_us", lambda: NOW_US + 400 * DAY_US)
    told = run("backup", target, "--db", file, "--keep-days", 7, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["deleted"] == []
    assert "the newest record came 400 days ago" in json.loads(told.stdout)["clock_doubt"]
    assert "no older backup was deleted" in told.stderr
    assert all(folder.is_dir() for folder in made)
    monkeypatch.setattr("cli.station_backup.now_us", lambda: NOW_US + 401 * DAY_US)
    told = run("backup", target, "--db", file, "--keep-days", 7, "--trust-clock", "--json")
    assert json.loads(told.stdout)["deleted"] == [str(folder) for folder in made]


@pytest.mark.parametrize("values", [{"files": []}, {"made_us": "x"}, {"made_us": 10**30}, {"version": "9x"}])
def test_manifest_with_odd_values_is_no_backup(file, tmp_path, values):
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    told = json.loads((made / "backup.json").read_text()) | values
    (made / "backup.json").write_text(json.dumps(told))
    with pytest.raises(BackupError, match="is no backup"):
        verify(made)


@pytest.mark.parametrize("side", ["-wal", "-journal"])
def test_nothing_is_restored_beside_the_log_of_another_file(file, tmp_path, side):
    """A killed station left it, and its file was moved away alone: SQLite would apply it to the restored one."""
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    left = tmp_path / f"new.db{side}"
    left.write_bytes(b"of the file before")
    with pytest.raises(BackupError, match="move it to where the file is"):
        restore(made, tmp_path / "new.db")
    assert left.exists()
    assert not (tmp_path / "new.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["byte", "missing", "more", "manifest", "newer"])
def test_damaged_backup_is_not_restored(file, tmp_path, damage):
    """Nothing is left where it should have gone."""
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    copy = made / "station.db"
    if damage == "byte":
        data = bytearray(copy.read_bytes())
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
    elif damage == "missing":
        copy.unlink()
    elif damage == "more":
        (made / "evil").write_bytes(b"x")
    elif damage == "manifest":
        (made / "backup.json").write_text("{")
    else:
        told = json.loads((made / "backup.json").read_text())
        (made / "backup.json").write_text(json.dumps({**told, "version": told["version"] + 1}))
    with pytest.raises(BackupError):
        restore(made, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_backup_is_private_and_holds_no_keys(file, tmp_path):
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    assert made.stat().st_mode & 0o777 == 0o700
    assert (made / "station.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in made.iterdir()) == ["backup.json", "station.db"]
    assert read_backup(made).keys == {}


def test_offered_files_are_in_the_backup(file, tmp_path):
    from station.commands import Commands  # noqa: PLC0415 - used here alone

    (tmp_path / "list").write_bytes(b"a list")
    with closing(open_store(file)) as store:
        Commands(store, asker(), lambda: NOW_US).offer_file(UNIT, "hotlist-1", tmp_path / "list", release=1)
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    restore(made, tmp_path / "new.db")
    with closing(open_store(tmp_path / "new.db")) as store:
        (offer,) = store.offers()
        kept = tmp_path / "new.db-files" / f"{offer.file.sha256.hex()}.hotlist-1"
    assert kept.read_bytes() == b"a list"


@pytest.mark.slow
@pytest.mark.integration
def test_full_disk_leaves_no_half_backup(file, tmp_path):
    """On a file system of 1 MiB."""
    small = tmp_path / "small"
    small.mkdir()
    with closing(open_store(file)) as store:
        for number in range(3, 63):
            picture(store, bytes([number]) * 32_000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(BackupError, match="no backup was made"):
            make_backup(file, small, NOW_US, station="s")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_check_of_a_whole_backup_passes(file, tmp_path):
    made = make_backup(file, tmp_path / "backups", NOW_US, station="main")
    assert verify(made).station == "main"


@pytest.mark.slow
def test_backup_is_verified_by_a_process_of_its_own(file, tmp_path):
    """Which has imported other parts of the station than the one that made it."""
    made = make_backup(file, tmp_path / "backups", NOW_US, station="s")
    command = [sys.executable, "-m", "cli", "station", "restore", str(made), "--verify-only"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "alembic_version" in read_backup(made).rows
