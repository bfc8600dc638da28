"""The pages of units: what each one has of lists and policies, and what an operator must do something about."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health
from station.asker import Asker, Scope
from station.query.versions import FileVersion, Versions, fetched
from station.store import NewRecord, OfferedFile
from station.store.rows import Usage
from tests.builders import BOOT, make_read_record
from tests.station_people import NORTH, NOW_US, fill
from tests.station_web import open_web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.store import Store
    from tests.station_web import Web

HOSTILE = "files.<script>alert(1)</script>.fetched"
LIVES = (bytes(15) + b"\1", bytes(15) + b"\2")


def note_health(store: Store, unit: str, **gauges: int) -> None:
    health = Health(
        unit=unit, boot_id=BOOT, mono_us=2, utc_us=NOW_US, seq_high=12, counters={},
        gauges={name.replace("__", "."): value for name, value in gauges.items()},
    )  # fmt: skip
    with store.transaction():
        store.note_health(health, encode(health), NOW_US)


def offer(store: Store, unit: str, kind: str, version: int) -> None:
    with store.transaction():
        store.offer(unit, OfferedFile(kind, version, hashlib.sha256(b"x").digest(), 1, ()), NOW_US)


def prepare(store: Store) -> None:
    fill(store)
    offer(store, "unit-07", "hotlist", 18)
    offer(store, "unit-07", "policy", 4)
    offer(store, "unit-20", "hotlist-2", 5)
    gauges = {"files__hotlist__fetched": 17, "files__policy__fetched": 4, "files__hotlist-3__fetched": 2}
    note_health(store, "unit-07", **gauges, **{HOSTILE: 9})


@pytest.fixture
def web(tmp_path) -> Iterator[Web]:
    web = open_web(tmp_path / "station.db", fill=prepare)
    yield web
    web.store.close()


def test_versions_of_lists_and_policies_are_shown_with_what_is_behind(web: Web):
    files = Versions(web.store, Asker("test"), lambda: NOW_US).files(["unit-07", "unit-20", "unit-99"])
    assert files["unit-20"] == [FileVersion("hotlist-2", 5, None)]
    assert {one.kind: (one.offered, one.has, one.is_behind) for one in files["unit-07"][1:]} == {
        "hotlist": (18, 17, True), "hotlist-3": (0, 2, False), "policy": (4, 4, False),
    }  # fmt: skip
    browser = web.logged_in("officer")
    listed, one = browser.get("/units").text, browser.get("/units/unit-07").text
    assert "17 of 18" in listed
    assert "hotlist-2" in listed
    assert "Lists and policies" in one
    for text in (listed, one):
        assert "<script>alert" not in text
    told = browser.get("/api/1/units/unit-07").json()
    assert {"kind": "hotlist", "offered": 18, "has": 17} in told["files"]
    assert browser.get("/api/1/units").json()["units"][0] == told


def test_versions_of_another_agencys_units_are_not_told(web: Web):
    asker = Asker("test", scope=Scope(agencies=frozenset({NORTH})))
    assert set(Versions(web.store, asker, lambda: NOW_US).files(["unit-07", "unit-20"])) == {"unit-07"}
    assert web.store.audit_trail()[-1].what == "show versions"


def test_a_health_message_that_is_none_has_no_versions():
    assert fetched(None) == {}
    assert fetched(b"\xff") == {}


def test_two_units_with_one_name_and_one_above_its_quota_are_said_on_the_pages(web: Web):
    """On a page that an operator opens each morning, not in a log alone."""
    with web.store.transaction():
        for minute, (seq, life) in enumerate(((1, 0), (1, 1), (2, 0))):
            record = make_read_record(100 + seq + 10 * life, seq=seq, unit="unit-08", life=LIVES[life])
            web.store.add_records([NewRecord(record)], NOW_US + minute * 60_000_000)
        web.store.add_usage({"unit-08": Usage(refused=7)}, NOW_US)
    browser = web.logged_in("officer")
    listed = browser.get("/units").text
    assert "two units use this name" in listed
    assert "over its quota" in listed
    page = browser.get("/units/unit-08").text
    assert "Two units use this name" in page
    assert "7 messages were refused today" in page
    told = browser.get("/api/1/units/unit-08").json()
    assert (told["lives"], told["name_conflicts"], told["refused_today"]) == (2, 1, 7)
