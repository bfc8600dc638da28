"""Records from the future and from long ago: a unit whose clock is wrong breaks no page, and hides no other reads."""

from __future__ import annotations

import pytest

from protocol.wire.codec import I63_MAX
from protocol.wire.enums import DispositionAction, HitStage
from station.store import NewRecord
from tests.builders import make_read, make_record
from tests.hit_builders import make_disposition, make_hit_body
from tests.station_people import NOW_US, PLATES, fill
from tests.station_web import open_web

YEAR_10000_US = 253_402_300_800_000_000
TIMES = (YEAR_10000_US - 1, YEAR_10000_US, I63_MAX, 0, 1)
HIT_ID = bytes(15) + b"\x09"


def prepare(store):
    """Reads and a hit of one unit at impossible times, beside those of the others."""
    fill(store)
    records = []
    for number, utc_us in enumerate(TIMES, start=100):
        body = make_read(number, text=f"FUTURE{number}").body.model_copy(update={"utc_us": utc_us})
        records.append(make_record(body, seq=number, unit="unit-30", record_id=number.to_bytes(16, "big")))
    hit = make_hit_body("FUTURE1", hit_id=HIT_ID, stage=HitStage.FINAL, utc_us=I63_MAX, pictures=())
    made = make_disposition(DispositionAction.CONFIRMED, hit_id=HIT_ID)
    records += [make_record(hit, seq=200, unit="unit-30"), make_record(made, seq=201, unit="unit-30")]
    with store.transaction():
        store.add_records([NewRecord(record) for record in records], NOW_US)
        store.note_seen(["unit-30"], NOW_US)


@pytest.fixture
def web(tmp_path):
    web = open_web(tmp_path / "station.db", fill=prepare)
    yield web
    web.store.close()


@pytest.mark.slow
def test_pages_show_records_of_impossible_times(web):
    browser = web.logged_in("analyst")
    reads = [f"/reads/unit-30/{number:032x}" for number, _ in enumerate(TIMES, start=100)]
    hit = f"/hits/unit-30/{HIT_ID.hex()}"
    for path in (*reads, "/hits?days=0", "/hits?days=0&order=oldest", hit, "/units", "/units/unit-30", "/map"):
        answer = browser.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
    for path in (*reads, "/hits?days=0", "/map/units"):
        assert browser.get(f"/api/1{path}").status_code == 200, path


@pytest.mark.slow
def test_each_read_is_found_whatever_the_others_say_of_their_time(web):
    """In both orders and page by page, and those of today by their own time."""
    browser = web.logged_in("analyst")
    for oldest_first in (False, True):
        found, after = [], ""
        while after is not None:
            asked = {"limit": 4, "oldest_first": oldest_first, "after": after}
            told = browser.post_json("/api/1/reads/search", asked)
            assert told.status_code == 200, told.text
            found += [read["plate"] for read in told.json()["reads"]]
            after = told.json()["next"]
        assert len(found) == len(set(found)) == len(PLATES) + 2 + len(TIMES)
    today = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z", "limit": 100}
    told = browser.post_json("/api/1/reads/search", today).json()
    assert not [read for read in told["reads"] if read["plate"].startswith("FUTURE")]
