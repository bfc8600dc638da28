"""The station offers, passes on what is asked for, shows what is wanted beside what is reported."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.station import app
from cli.station_tables import units_table
from protocol.errors import WireError
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart, UpdateReport
from protocol.wire.enums import UpdateState
from protocol.wire.topics import Channel, build, offer_topic
from station.asker import Asker
from station.commands import Commands
from station.ingest import Ingest
from station.store import open_store
from station.store.files import folder_of
from tests.builders import BOOT
from tests.update_builder import Unit

UP = build("unit-07", Channel.UPDATE)
DAY_US = 86_400_000_000


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A station's file, an update of some 100 KB, and the key that signed it."""
    unit = Unit(tmp_path / "unit")
    data = unit.update(42, wheel=bytes(range(256)) * 400, units=("unit-*",))
    (tmp_path / "release.pub").write_bytes(unit.key.public.pem())
    (tmp_path / "42.lprup").write_bytes(data)
    db = tmp_path / "station.db"
    open_store(db).close()
    return tmp_path, db, data


@pytest.fixture
def store(made):
    """The station's own view of its file, beside the commands'."""
    _, db, _ = made
    opened = open_store(db)
    yield opened
    opened.close()


def command(made, *words):
    _folder, db, _ = made
    return CliRunner().invoke(app, [*words, "--db", str(db)])


def request(sha256: bytes, offset: int, *, unit: str = "unit-07") -> bytes:
    return encode(ChunkRequest(unit=unit, boot_id=BOOT, sha256=sha256, offset=offset))


def offer(made, unit="unit-07"):
    folder, _, _ = made
    return command(made, "offer", unit, str(folder / "42.lprup"), "--key", str(folder / "release.pub"))


def test_offered_file_is_transferred_unchanged(made, store):
    _, _, data = made
    assert offer(made).exit_code == 0
    ingest = Ingest(store, "station", lambda: 1)
    ((topic, payload),) = ingest.offers()
    offered = decode(payload, FileOffer)
    assert topic == build("unit-07", Channel.COMMAND)
    assert (offered.release, offered.size_bytes, offered.parts) == (42, len(data), ("code",))
    got = b""
    while len(got) < offered.size_bytes:
        ((where, answer),) = ingest.handle(UP, request(offered.sha256, len(got)))
        assert where == build("unit-07", Channel.PART)
        part = decode(answer, FilePart)
        assert part.offset == len(got)
        got += part.data
    assert got == data
    assert ingest.counts.chunk_requests == 4
    assert ingest.handle(UP, request(offered.sha256, len(got))) == []


def test_offer_is_for_one_unit_only(made, store):
    offer(made)
    (row,) = store.offers()
    ingest = Ingest(store, "station", lambda: 1)
    of_another = request(row.file.sha256, 0, unit="unit-08")
    assert ingest.handle(build("unit-08", Channel.UPDATE), of_another) == []
    assert ingest.handle(UP, request(bytes(32), 0)) == []
    assert ingest.handle(UP, of_another) != [], "in another's name: refused"
    assert ingest.counts.not_authorised == 1


def test_repeated_offer_and_withdrawal(made, store):
    offer(made)
    offer(made)
    assert [o.attempt for o in store.offers()] == [1]
    assert "withdrawn" in command(made, "withdraw", "unit-07").output
    assert "there is no offer" in command(made, "withdraw", "unit-07").output
    ((_, payload),) = Ingest(store, "station", lambda: 1).offers()
    assert payload == b""
    noted = [(row.what, row.filter) for row in store.audit_trail()]
    assert ("offer", "unit=unit-07 release=42") in noted
    assert ("withdraw", "unit=unit-07") in noted


def test_missing_update_file_is_counted(made, store):
    _, db, _ = made
    offer(made)
    (row,) = store.offers()
    for path in folder_of(db).iterdir():
        path.unlink()
    ingest = Ingest(store, "station", lambda: 1)
    assert ingest.handle(UP, request(row.file.sha256, 0)) == []
    assert ingest.counts.storage_failures == 1
    assert "offer the update again" in ingest.last_failure


def test_unsigned_or_mismatched_update_is_not_offered(made, store):
    folder, _, data = made
    assert offer(made, "bus-07").exit_code == 2
    (folder / "42.lprup").write_bytes(data[:-1])
    assert offer(made).exit_code == 1
    assert store.offers() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "shows"),
    [
        (
            (41, 41, 42, UpdateState.ROLLED_BACK, "not healthy in time"),
            "41 (42 rolled back: not healthy in time) wanted 42",
        ),
        ((42, 41, 42, UpdateState.TRIAL, ""), "42 on trial wanted 42"),
        ((42, 42, 42, UpdateState.COMMITTED, ""), "42"),
        ((41, 41, 42, UpdateState.FETCHING, ""), "41 (42 fetching) wanted 42"),
    ],
)
def test_offered_and_reported_releases_are_shown(made, store, told, shows):
    offer(made)
    running, committed, release, state, reason = told
    report = UpdateReport(
        unit="unit-07",
        boot_id=BOOT,
        running=running,
        committed=committed,
        release=release,
        state=state,
        reason=reason,
        fetched_bytes=0,
        config_sha256=bytes(32),
    )
    assert Ingest(store, "station", lambda: 1).handle(UP, encode(report)) == []
    out = Console(file=io.StringIO(), width=300)
    out.print(units_table([(row, []) for row in store.units()], {row.unit: [] for row in store.units()}))
    assert f" {shows} " in out.file.getvalue()


def test_offers_of_several_kinds_to_one_unit(tmp_path, store):
    """Each kind has its topic, its file and its withdrawal; the release shown is the update's."""
    for kind in ("maps", "wal"):
        (tmp_path / kind).write_bytes(kind.encode())
        Commands(store, Asker("clerk"), lambda: 1).offer_file("unit-07", kind, tmp_path / kind, release=3)
    ingest = Ingest(store, "station", lambda: 1)
    told = dict(ingest.offers())
    assert set(told) == {offer_topic("unit-07", "maps"), offer_topic("unit-07", "wal")}
    offered = decode(told[offer_topic("unit-07", "maps")], FileOffer)
    assert (offered.kind, offered.release, offered.parts, offered.attempt) == ("maps", 3, (), 0)
    ((_, answer),) = ingest.handle(UP, request(offered.sha256, 0))
    assert decode(answer, FilePart).data == b"maps"
    with store.transaction():
        store.note_seen(["unit-07"], 1)
    assert [(row.unit, row.desired) for row in store.units()] == [("unit-07", 0)]
    assert Commands(store, Asker("clerk"), lambda: 1).withdraw("unit-07", "maps")
    assert [bool(payload) for _, payload in ingest.offers()] == [False, True]
    assert ingest.handle(UP, request(offered.sha256, 0)) == []
    noted = [(row.what, row.filter) for row in store.audit_trail()]
    assert ("offer", "unit=unit-07 kind=maps release=3") in noted
    assert ("withdraw", "unit=unit-07 kind=maps") in noted


def test_copies_that_are_no_longer_offered_are_deleted_after_a_day(made, tmp_path, store):
    _, db, _ = made
    now_us = time.time_ns() // 1000
    for release, later_us in ((1, 0), (2, 0), (3, 2 * DAY_US)):
        (tmp_path / "maps").write_bytes(bytes([release]))
        Commands(store, Asker("clerk"), lambda us=now_us + later_us: us).offer_file(
            "unit-07", "maps", tmp_path / "maps", release=release
        )
        copies = sorted(path.read_bytes()[0] for path in folder_of(db, "maps").iterdir())
        assert copies == {1: [1], 2: [1, 2], 3: [3]}[release]


def test_kind_or_unit_that_is_no_name_is_refused(tmp_path, store):
    (tmp_path / "maps").write_bytes(b"maps")
    for unit, kind in (("unit-07", "../maps"), ("#", "maps"), ("unit-07", "Maps")):
        with pytest.raises(WireError):
            Commands(store, Asker("clerk"), lambda: 1).offer_file(unit, kind, tmp_path / "maps", release=1)
    assert store.offers() == []
