"""The demo's end: the station's page with an account made on the spot."""

from __future__ import annotations

import io
import re
import urllib.request

import pytest
from rich.console import Console

from cli.demo_station import station_page
from station.errors import StoreError
from station.store import open_store
from tests.station_map import RECEIVED_US, fill_map
from tests.station_web import CHEAP

CLIENT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setattr("station.web.app.argon2id", lambda: CHEAP)
    store = open_store(tmp_path / "station.db")
    fill_map(store)
    store.close()
    return tmp_path / "station.db"


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_the_map_has_the_demos_units_and_leads(database, keep):
    """The page answers as long as it is shown; a password is printed only if somebody can use it."""
    printed = io.StringIO()
    with station_page(database, lambda: RECEIVED_US, Console(file=printed, width=200), keep=keep) as address:
        assert CLIENT.open(f"{address}/log-in", timeout=20).status == 200
    assert f"map of the station with 4 units and 6 leads: {address}/map" in printed.getvalue()
    assert bool(re.search("log in as demo with the password", printed.getvalue())) is keep
    with pytest.raises(OSError):  # noqa: PT011 - refused, in the words of the system
        CLIENT.open(address, timeout=5)


def test_a_database_that_is_missing_is_an_error(tmp_path):
    with (
        pytest.raises(StoreError),
        station_page(tmp_path / "none.db", lambda: RECEIVED_US, Console(file=io.StringIO()), keep=False),
    ):
        pass
