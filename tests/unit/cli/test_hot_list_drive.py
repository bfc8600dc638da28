"""The shipped drive with a hot list: from pixels to the outcome at the station, by the models and a signed list."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.demo import show_hits
from cli.simulate import replay_drive
from hw.drive_load import load_drive
from station.asker import Asker
from station.query import Query
from station.store import open_store
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("played")
    return replay_drive(load_drive(ROOT / "tests/drives/hot-list"), folder / "hot-list"), folder


def hits_at_the_station(folder):
    store = open_store(folder / "hot-list" / "station.db")
    found = Query(store, Asker("tester"), lambda: 0).hits()
    store.close()
    return found


def test_listed_and_out_of_state_plates_are_hits_and_no_others(played):
    """The look-alike BLR0B10 is listed, BLR0810 passes; three plates are not listed at all.

    The reader is not sure of the first plate's state, which the officer compares: the list has another one.
    """
    outcome, folder = played
    found = {hit.hit.text: hit for hit in hits_at_the_station(folder)}
    assert set(found) == {"512C65", "2FJW545"}
    assert outcome.truth - set(found) == {"RBU077", "OSC1899", "BLR0810", "FDR9863"}
    assert (found["512C65"].hit.region_match, found["2FJW545"].hit.region_match) == ("unknown", "equal")


def test_officer_cannot_skip_the_verification_and_the_station_has_the_outcome(played):
    outcome, folder = played
    assert outcome.result.refusals == ["not_verified", "not_verified"]
    other_state, listed = hits_at_the_station(folder)
    assert (other_state.state, other_state.decision.reason) == ("rejected", "other_region")
    assert (listed.state, listed.outcome, listed.decision.reference) == ("confirmed", "recovered", "2026-0512")
    assert listed.decision.checks.all_equal
    assert listed.record.pictures == 2
    assert outcome.balanced


def test_demo_shows_hits_with_the_age_of_their_list(played):
    _, folder = played
    shown = io.StringIO()
    show_hits(folder, Console(file=shown, width=200))
    assert "5 h" in shown.getvalue()
    assert "confirmed" in shown.getvalue()
