"""Hits at the station: stages and decisions put together; every question is in the audit trail."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from protocol.wire.enums import DispositionAction, HitStage
from station.asker import Asker
from station.errors import StoreError
from station.ingest import Ingest
from station.query import Query
from station.store import AuditRow, move_store, open_store
from station.store.hit_states import HITS
from tests.builders import UTC_NS, make_record
from tests.hit_builders import HIT_ID, make_disposition, make_hit_body

NOW_US = UTC_NS // 1000


@pytest.fixture
def station(tmp_path):
    """A station that gets bodies of one unit, in any order."""
    path = tmp_path / "station.db"
    store = open_store(path)
    ingest, query = Ingest(store, "s", lambda: NOW_US), Query(store, Asker("tester"), lambda: NOW_US)

    def send(*bodies, order=None, unit="unit-07"):
        records = [make_record(body, seq=seq, unit=unit) for seq, body in enumerate(bodies, 1)]
        for index in order or range(len(records)):
            ingest.handle(f"lpr/1/{unit}/up/read", records[index].payload)

    yield send, query, path
    store.close()


def test_hit_shows_its_latest_stage_decision_and_outcome(station):
    send, query, _ = station
    send(
        make_hit_body(), make_hit_body(stage=HitStage.FINAL, n_agreeing=7),
        make_disposition(DispositionAction.ACKNOWLEDGED), make_disposition(),
        make_disposition(DispositionAction.OUTCOME),
    )  # fmt: skip
    (hit,) = query.hits()
    assert (hit.state, hit.outcome, hit.hit.n_agreeing, hit.list_age_s) == ("confirmed", "recovered", 7, 3600)
    assert hit.decision.confirming_agency == "Example State Police"
    assert query.audit_trail()[-1].what == "show hits"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_order_of_arrival_does_not_matter(station, order):
    send, query, _ = station
    send(
        make_hit_body(), make_hit_body(stage=HitStage.FINAL), make_disposition(),
        make_disposition(DispositionAction.REJECTED), order=order,
    )  # fmt: skip
    (hit,) = query.hits()
    assert (hit.hit.stage, hit.state, hit.decision.reason) == (HitStage.FINAL, "rejected", "misread")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bodies", "state"),
    [
        ((), "new"),
        ((make_disposition(DispositionAction.ACKNOWLEDGED, officer=""),), "acknowledged"),
        ((make_disposition(DispositionAction.EXPIRED),), "expired"),
        ((make_hit_body(stage=HitStage.WITHDRAWN),), "withdrawn"),
        ((make_disposition(), make_hit_body(stage=HitStage.WITHDRAWN)), "confirmed"),
        ((make_disposition(DispositionAction.ACKNOWLEDGED), make_hit_body(stage=HitStage.WITHDRAWN)), "withdrawn"),
    ],
)
def test_state_follows_from_the_records(station, bodies, state):
    send, query, _ = station
    send(make_hit_body(), *bodies)
    assert [hit.state for hit in query.hits()] == [state]


def test_hits_of_two_units_are_two_even_under_one_id(station):
    send, query, _ = station
    send(make_hit_body(), make_disposition())
    send(make_hit_body(), unit="unit-08")
    assert [(hit.record.unit, hit.state) for hit in query.hits()] == [("unit-07", "confirmed"), ("unit-08", "new")]
    assert [hit.record.unit for hit in query.hits(unit="unit-08")] == ["unit-08"]
    assert len(query.hits(limit=1)) == 1


def test_decision_without_its_hit_waits_for_it(station):
    send, query, _ = station
    send(make_hit_body(hit_id=bytes(16)), make_disposition())
    assert [(hit.hit.hit_id, hit.state) for hit in query.hits()] == [(bytes(16), "new")]


def test_command_shows_hits(station):
    send, _, path = station
    send(make_hit_body(list_stale=True), make_disposition(), make_disposition(DispositionAction.OUTCOME))
    shown = CliRunner().invoke(app, ["hits", "--db", str(path)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "1 h" in shown.output
    assert "confirmed" in shown.output
    as_json = CliRunner().invoke(app, ["hits", "--db", str(path), "--json"])
    (values,) = json.loads(as_json.output)
    assert (values["hit_id"], values["outcome"], values["list_age_s"]) == (HIT_ID.hex(), "recovered", 3600)


def test_command_without_hits_says_so_by_an_empty_list(station):
    _, _, path = station
    assert CliRunner().invoke(app, ["hits", "--db", str(path), "--json"]).output.strip() == "[]"


def test_row_of_a_hit_is_made_from_its_latest_records(station, monkeypatch):
    """A unit that sends one hit again and again does not slow down the others."""
    monkeypatch.setattr("station.store.hit_states.MAX_RECORDS", 2)
    _, query, path = station
    store = open_store(path)
    ingest = Ingest(store, "s", lambda: NOW_US)
    bodies = (*[make_hit_body()] * 5, make_hit_body(stage=HitStage.FINAL))
    for seq, body in enumerate(bodies, 1):
        ingest.handle("lpr/1/unit-07/up/read", make_record(body, seq=seq).payload)
    assert len(store._records._hit_states._rows(HITS, "unit-07", HIT_ID)) == 2
    store.close()
    (hit,) = query.hits()
    assert hit.hit.stage is HitStage.FINAL


def test_hits_of_an_older_file_are_known_before_it_is_moved(station):
    """Rows of hits are copied, and must be made first; here no database answers."""
    send, _, path = station
    send(make_hit_body())
    with closing(sqlite3.connect(path)) as con:
        con.execute("DELETE FROM hit_states")
        con.execute("UPDATE projections SET generation = generation + 1, complete = 0 WHERE schema = 'hit/1'")
        con.commit()
        with pytest.raises(StoreError):
            move_store(path, "postgresql://localhost:1/none", AuditRow(NOW_US, "clerk", "migrate", "", 0))
        assert con.execute("SELECT count(*) FROM hit_states").fetchone() == (1,)
