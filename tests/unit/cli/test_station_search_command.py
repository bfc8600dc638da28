"""``patrol-lpr station search``: what is asked, found and noted."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from station.asker import Asker
from station.query import Circle, Polygon, Query, ReadSearch
from station.store import open_store
from tests.builders import UTC_NS, make_read_record
from tests.station_files import add

NOW_US = UTC_NS // 1000
RUNNER = CliRunner()


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "station.db"
    with closing(open_store(path)) as store:
        reads = (make_read_record(n, seq=n, text=text, pictures=()) for n, text in enumerate(("7ABC1", "XYZ"), 1))
        add(store, *reads, now_us=NOW_US)
    return path


def search(db, *words: str) -> list[str]:
    done = RUNNER.invoke(app, ["--db", str(db), "search", "--json", *words])
    assert done.exit_code == 0, done.output
    return [row["plate"] for row in json.loads(done.output)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "plates"),
    [
        ((), ["XYZ", "7ABC1"]),
        (("7A*",), ["7ABC1"]),
        (("7A*", "X?Z"), ["XYZ", "7ABC1"]),
        (("--near", "45.0,-100.0,100"), ["XYZ", "7ABC1"]),
        (("--near", "46.0,-100.0,100"), []),
        (("--since", "2026-05-28T20:26:42"), ["XYZ"]),
        (("--until", "2026-05-28T20:26:41"), ["7ABC1"]),
        (("--min-confidence", "0.96"), []),
        (("--region", "US-CA", "--camera", "front", "--unit", "unit-07", "--limit", "1"), ["XYZ"]),
    ],
)
def test_conditions_of_the_command(db, words, plates):
    """Each option excludes what does not meet it; times are UTC."""
    assert search(db, *words) == plates


@pytest.mark.slow
@pytest.mark.parametrize("near", ["45", "45,-100", "a,b,c", "45,-100,1,2"])
def test_a_circle_that_is_none_is_refused(db, near):
    """With an example of one."""
    done = RUNNER.invoke(app, ["--db", str(db), "search", "--near", near])
    assert done.exit_code == 2
    assert "45.0,-100.0,500" in done.output


def test_a_search_is_noted_with_all_its_conditions(db):
    """Who asked for which plate, where and when; a page says where the next one starts."""
    with closing(open_store(db)) as store:
        query = Query(store, Asker("clerk"), lambda: NOW_US)
        area = Circle(45.0, -100.0, 500.0)
        asked = ReadSearch(("7*", "X*"), region="US-CA", since_us=1, until_us=2**60, area=area)
        page = query.search(asked, limit=1)
        rest = query.search(asked, limit=2, after=page.after)
        query.search(ReadSearch(area=Polygon(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))), limit=2)
        assert [[row.body.text for row in found.records] for found in (page, rest)] == [["XYZ"], ["7ABC1"]]
        assert rest.after is None
        first, _, last = store.audit_trail()
        assert (first.what, first.count) == ("search reads", 1)
        assert first.filter == (
            "plates=7*,X* region=US-CA since_us=1 until_us=1152921504606846976 "
            "area=45.000000,-100.000000,500m limit=1"
        )
        assert "area=0.000000,0.000000;1.000000,0.000000;1.000000,1.000000" in last.filter
