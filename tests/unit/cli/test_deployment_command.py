"""``patrol-lpr deployment``: files of an agency in, reports out; hostile contents stay contents."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from cli import roster as roster_cli
from cli.deployment import app
from protocol.seal import SigningKey
from station.store import open_store
from tests.builders import make_record
from tests.shift_builders import make_coverage, make_incident, make_shift
from tests.station_files import add

pytestmark = pytest.mark.slow
UTC_US = 1_803_988_800_000_000  # 2027-03-02 12:00 UTC
WHY = ("--purpose", "planning")
PEOPLE = (
    "badge,name,rights,training_until\n4711,A. Example,officer,2027-12-31\n4712,B. Example,officer supervisor,\n"
)
PLAN = (
    "id,badge,starts,ends,zone,vehicle,task,hours\n"
    "s1,4711,2027-03-02 06:00,2027-03-02 11:00,north,unit-07,patrol,patrol 8; report 1\n"
    "s1,4711,2027-03-02 11:00,2027-03-02 16:00,river,unit-07,patrol,\n"
    "n1,4712,2027-03-13 22:00,2027-03-14 06:00,north,unit-07,patrol,patrol 7\n"
)
ZONES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"id": name, "name": name.title()},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[west, 44.9], [west + 0.2, 44.9], [west + 0.2, 45.1], [west, 45.1], [west, 44.9]]
                ],
            },
        }
        for name, west in (("north", -100.1), ("river", -100.0))
    ],
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db = tmp_path / "station.db"
    open_store(db).close()

    def ran(*words, fails=False):
        done = CliRunner().invoke(app, [*map(str, words), "--db", str(db)])
        assert (done.exception is not None) is fails, done.output + repr(done.exception)
        return str(done.exception) if fails else done.output

    return ran


@pytest.fixture
def agency(run, tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "plan.csv").write_text(PLAN)
    (tmp_path / "zones.geojson").write_text(json.dumps(ZONES))
    run("settings", "--time-zone", "America/Chicago")
    said = run("zones", "import", "zones.geojson")
    assert "north and river overlap: reads and minutes there count in both" in said
    run("zones", "add", "vehicle", "unit-07", "--unit", "unit-07")
    run("zones", "add", "checkpoint", "cp-1", "--title", "Bridge", "--at", "45.0,-100.0")
    run("people", "import", "people.csv", *WHY)
    return run


def test_plan_of_a_file_is_shown_with_what_was_warned_of(agency):
    said = agency("plan", "import", "plan.csv", *WHY)
    assert "2 shifts planned" in said
    assert "note: n1: the clocks change: it takes 7 h, not 8 h" in said
    told = json.loads(agency("plan", "show", *WHY, "--from", "2027-03-01", "--days", "14", "--json"))
    assert [shift["id"] for shift in told["shifts"]] == ["s1", "n1"]
    assert [part["zone"] for part in told["shifts"][0]["assignments"]] == ["north", "river"]
    # Given again, it changes what is there.
    agency("plan", "import", "plan.csv", *WHY)
    agency("plan", "cancel", "n1", *WHY)
    assert "cancelled" in agency("plan", "show", *WHY, "--from", "2027-03-08")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "s9,4711,2027-03-14 02:30,2027-03-14 09:00,north,unit-07,patrol,",
            "line 2: 2027-03-14 02:30 does not exist",
        ),
        (
            "s9,9999,2027-03-10 06:00,2027-03-10 09:00,north,unit-07,patrol,",
            "s9: 9999 is nobody who can be planned",
        ),
        ("s9,4711,2027-03-10 06:00,2027-03-10 09:00,north,unit-07,patrol,many", "line 2: 'many' are no hours"),
        ("s9,4711,2027-03-10 06:00", "line 2: not as many values as columns"),
        ("'; DROP TABLE shifts,4711,2027-03-10 06:00,2027-03-10 05:00,,,,", "it ends before it starts"),
    ],
)
def test_wrong_line_is_named_and_nothing_is_planned(agency, tmp_path, row, said):
    (tmp_path / "bad.csv").write_text(PLAN.splitlines()[0] + "\n" + row + "\n")
    told = agency("plan", "import", "bad.csv", *WHY, fails=True)
    assert said in told
    assert "bad.csv" in told
    assert (
        json.loads(agency("plan", "show", *WHY, "--from", "2027-03-01", "--days", "60", "--json"))["shifts"] == []
    )


def test_zone_that_crosses_itself_is_refused_with_a_clear_word(run, tmp_path):
    bow = {**ZONES, "features": [dict(ZONES["features"][0])]}
    ring = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
    bow["features"][0]["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    (tmp_path / "bow.geojson").write_text(json.dumps(bow))
    assert "zone 'north': it crosses itself" in run("zones", "import", "bow.geojson", fails=True)


def test_roster_of_the_plan_is_signed_elsewhere_and_offered(agency, tmp_path):
    agency("plan", "import", "plan.csv", *WHY)
    said = agency("roster", "export", "roster.json", *WHY, "--from", "2027-03-01")
    assert "sign it with --version 1" in said
    SigningKey.generate().save(tmp_path / "agency.key")
    (tmp_path / "agency.pub").write_bytes(SigningKey.load(tmp_path / "agency.key").public.pem())
    words = ["sign", "roster.json", "roster.signed", "--key", "agency.key", "--version", "1"]
    done = CliRunner().invoke(roster_cli.app, words)
    assert done.exit_code == 0, done.output
    agency("roster", "offer", "roster.signed", "unit-07", "unit-08", "--key", "agency.pub")
    assert "sign it with --version 2" in agency("roster", "export", "next.json", *WHY, "--from", "2027-03-01")


def fill(tmp_path):
    store = open_store(tmp_path / "station.db")
    hostile = make_incident(utc_us=UTC_US, where="=HYPERLINK(1)", case_number='"><script>alert(1)</script>')
    bodies = [
        make_shift(
            utc_us=UTC_US + 36_000_000_000, started_us=UTC_US, planned_id="s1", planned_us=None, overlaps=()
        ),
        make_coverage(utc_us=UTC_US),
        hostile,
    ]
    add(store, *(make_record(body, seq=n) for n, body in enumerate(bodies, 1)), now_us=UTC_US + 40_000_000_000)
    store.close()


def test_reports_are_printed_and_written_in_all_formats(agency, tmp_path):
    agency("plan", "import", "plan.csv", *WHY)
    fill(tmp_path)
    of = ("--from", "2027-03-01")
    rows = json.loads(agency("hours", *WHY, *of, "--json"))
    assert rows[0]["name"] == "4711"
    assert rows[0]["actual_h"] == pytest.approx(36_100 / 3600, abs=0.001)
    agency("hours", *WHY, *of, "--csv", "hours.csv", "--html", "hours.html")
    assert "planned_h" in (tmp_path / "hours.csv").read_text()
    assert "Hours as planned and worked" in (tmp_path / "hours.html").read_text()
    agency("coverage", *of, "--csv", "c.csv", "--geojson", "c.geojson", "--html", "c.html")
    zones = json.loads((tmp_path / "c.geojson").read_text())["features"]
    assert {zone["id"]: zone["properties"]["reads"] for zone in zones} == {"north": 31, "river": 0}
    assert "unit-07" in agency("coverage", *of, "--by", "unit")
    agency(
        "incidents", *of, "--csv", "i.csv", "--geojson", "i.geojson", "--html", "i.html", "--heat-map", "h.geojson"
    )
    row = next(csv.DictReader((tmp_path / "i.csv").read_text().splitlines()))
    assert (row["place"], row["zones"]) == ("'=HYPERLINK(1)", "north river")
    page = (tmp_path / "i.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert json.loads((tmp_path / "h.geojson").read_text())["features"][0]["properties"] == {"count": 1}
    assert "recovered" in agency("incidents", *of)
    assert "4711" in agency("where", "unit-07", *WHY, "--from", "2027-03-02")


def test_purge_says_what_was_deleted_and_what_is_kept(agency, tmp_path):
    agency("plan", "import", "plan.csv", *WHY)
    said = agency("purge")
    assert "0 rows deleted" in said
    assert "people" in said


def test_a_clock_in_doubt_deletes_no_plans(agency, tmp_path):
    """The newest record came years ago by this clock: all that an agency must keep would be too old."""
    agency("plan", "import", "plan.csv", *WHY)
    store = open_store(tmp_path / "station.db")
    add(store, make_record(make_coverage(period_id=bytes(16)), seq=1), now_us=UTC_US - 3_000 * 86_400_000_000)
    store.close()
    assert "nothing was deleted: by this machine's clock the newest record came" in agency("purge", fails=True)
    assert "0 rows deleted" in agency("purge", "--trust-clock")
