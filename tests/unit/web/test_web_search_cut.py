"""A search whose area has few of the reads around it: the page says up to which time it is complete, and goes on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from station.store import NewRecord, find
from tests.builders import WHERE
from tests.station_people import NOW_US, read_of
from tests.station_web import open_web

AREA = "44.0,-101.0;46.0,-101.0;44.0,-99.0"
COUNT = 9


@pytest.fixture
def analyst(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "_PAGE", 2)
    monkeypatch.setattr(find, "_MAX_LOOKED_AT", 4)

    def fill(store):
        """Only the oldest is inside."""
        outside = replace(WHERE, lat_deg=45.9, lon_deg=-99.1)
        inside = replace(WHERE, lat_deg=44.5, lon_deg=-100.8)
        records = [read_of(n, text=f"CUT{n}", where=inside if n == 1 else outside) for n in range(1, COUNT + 1)]
        with store.transaction():
            store.add_records([NewRecord(record) for record in records], NOW_US)

    return open_web(tmp_path / "station.db", fill=fill).logged_in("analyst")


def test_an_empty_page_that_was_cut_says_so_and_goes_on(analyst):
    address = analyst.post("/map/search", {"area": AREA, "seconds": 10**7}).headers["location"]
    pages = []
    while address:
        pages.append(analyst.get(address).text)
        following = re.search(r'rel="next" href="([^"]+)"', pages[-1])
        address = following and following[1]
    assert len(pages) == 3
    for page in pages[:-1]:
        assert "Nothing found yet" in page
        assert re.search(r"Since 20\d\d-.* \(UTC\) nothing is missing; the next page goes on from there", page)
        assert "No read meets" not in page
    assert "CUT1" in pages[-1]
    assert "nothing is missing" not in pages[-1]


def test_a_program_is_told_the_time_too(analyst):
    corners = [[float(part) for part in corner.split(",")] for corner in AREA.split(";")]
    asked = {"polygon": corners, "limit": 2}
    first = analyst.post_json("/api/1/reads/search", asked).json()
    assert (first["reads"], len(first["next"]) > 0) == ([], True)
    second = analyst.post_json("/api/1/reads/search", {**asked, "after": first["next"]}).json()
    assert second["complete_to_us"] < first["complete_to_us"]
    last = analyst.post_json("/api/1/reads/search", {**asked, "after": second["next"]}).json()
    assert [read["plate"] for read in last["reads"]] == ["CUT1"]
    assert (last["complete_to_us"], last["next"]) == (None, None)
