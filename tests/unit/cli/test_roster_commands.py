"""The roster's commands, as docs/shifts.md shows them, and what people give them instead."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time

import pytest

from agent.runtime.config import ShiftTable
from agent.shift.pins import Argon2Pins
from cli.main import main
from cli.roster_source import roster_from
from protocol.errors import RosterError
from protocol.roster.roster import Roster
from protocol.roster.token import verify_token
from protocol.seal.keys import VerifyKey
from station.store import open_store
from tests.builders import make_record
from tests.conftest import ROOT
from tests.shift_builders import make_coverage, make_shift
from tests.station_files import add

TEXT = (ROOT / "docs" / "shifts.md").read_text(encoding="utf-8")
TOML = (ROOT / "docs" / "roster.toml").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("patrol-lpr ")
]

NOW_US = time.time_ns() // 1000


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with what the document assumes: a source, a station, a terminal that is a pipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roster.toml").write_text(TOML, encoding="utf-8")
    store = open_store(tmp_path / "station.db")
    add(store, make_record(make_shift(revision=2), seq=1), make_record(make_shift(), seq=2), now_us=NOW_US)
    add(store, make_record(make_coverage(), seq=3), make_record(make_coverage(), seq=4), now_us=NOW_US)
    add(store, make_record(make_coverage(period_id=bytes(16)), seq=5), now_us=NOW_US)
    store.close()
    pin = tmp_path / "pin"
    pin.write_text("482913\n", encoding="ascii")
    with pin.open(encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield tmp_path


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["patrol-lpr", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.slow
def test_the_commands_of_the_document_run(desk, monkeypatch, capsys):
    assert len(COMMANDS) == 8
    told = {}
    for words in COMMANDS:
        assert run(monkeypatch, *words) == 0, words
        told[" ".join(words[:2])] = capsys.readouterr().out
    made = told["roster pin"].strip()
    assert Argon2Pins().is_right("482913", made)
    assert "version 1 of roster" in told["roster inspect"]
    assert "argon2id" not in told["roster inspect"]
    assert "offered to unit-07" in told["roster offer"]
    (shift,) = json.loads(told["shift show"])
    assert (shift["badge"], shift["worked_s"], shift["distance_m"]) == ("4711", 36_100, 3_200)
    assert shift["zones"][1] == {"zone": "north", "distance_m": 3_000, "located_s": 180.0, "reads": 62}
    assert set(shift) == set(re.findall(r"`(\w+)`", _table("key of the JSON", 0)))


def _table(heading, column):
    rows = re.search(rf"^\| {heading} \| \|\n\|---\|---\|\n((?:\|.*\n)*)", TEXT, flags=re.MULTILINE)[1]
    return "\n".join(row.split(" | ")[column] for row in rows.splitlines())


def test_every_key_of_the_configuration_is_documented():
    documented = set(re.findall(r"`(\w+)`", _table(r"key of `\[shift\]`", 0)))
    assert documented == set(ShiftTable.model_fields)


@pytest.mark.slow
def test_showing_shifts_needs_a_purpose_and_is_audited(desk, monkeypatch, capsys):
    assert run(monkeypatch, "shift", "show", "--db", "station.db") == 2
    assert run(monkeypatch, "shift", "show", "--db", "station.db", "--purpose", " ") == 2
    assert run(monkeypatch, "shift", "show", "--db", "station.db", "--purpose", "payroll") == 0
    assert "4711" in capsys.readouterr().out
    for narrower in (("--badge", "1"), ("--unit", "unit-08"), ("--days", "0.01")):
        monkeypatch.setattr(time, "time_ns", lambda: (NOW_US + 3_600_000_000) * 1000)
        assert run(monkeypatch, "shift", "show", "--db", "station.db", "--purpose", "x", *narrower) == 0
        assert "4711" not in capsys.readouterr().out
    store = open_store(desk / "station.db", must_exist=True)
    trail = store.audit_trail()
    store.close()
    assert "payroll" in str(trail)


def test_reads_at_the_station_do_not_name_officers(desk, monkeypatch, capsys):
    assert run(monkeypatch, "station", "reads", "--db", "station.db", "--json") == 0
    assert "4711" not in capsys.readouterr().out


@pytest.mark.slow
def test_weak_pins_are_refused(desk, monkeypatch, capsys, tmp_path):
    (tmp_path / "weak").write_text("123456\n", encoding="ascii")
    with (tmp_path / "weak").open(encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert run(monkeypatch, "roster", "pin") == 2
    assert "in sequence" in capsys.readouterr().err


@pytest.mark.slow
def test_a_token_from_the_command_line_is_accepted_by_its_key(desk, monkeypatch, capsys):
    assert run(monkeypatch, "keys", "agency", "keys") == 0
    capsys.readouterr()
    assert run(monkeypatch, "roster", "token", "4711", "unit-07", "--key", "keys/agency.key") == 0
    key = VerifyKey.load(desk / "keys/agency.pub")
    found = verify_token(capsys.readouterr().out.strip(), key, unit="unit-07", now_s=time.time())
    assert (found.badge, found.expires_s - found.not_before_s) == ("4711", 600)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('badge = "4711"\nname', 'badge = "47 11"\nname', "officers.0.badge"),
        ("2031-01-31", '"2031-01-31"', "training_expires: write a date"),
        ("-06:00\nends", "\nends", "starts: give the time zone"),
        ("[[45.00, -100.10]", "[[45.00]", "zone 'north': corners are pairs"),
        ("lat_deg = 45.02", 'lat_deg = "45.02"', "lat_deg: write degrees"),
        ("{ patrol = 8.5, report = 1.5 }", '"8"', "hours: write hours by activity"),
        ("[[officers]]", "[officers]", "TOML"),
        ('zone = "north"\ntask', 'zone = "south"\ntask', "not in the roster"),
        ('id = "north"', 'id = "n"\nid = "north"', "TOML"),
    ],
)
def test_mistakes_in_the_source_are_named(tmp_path, old, new, says):
    assert old in TOML
    source = tmp_path / "roster.toml"
    source.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(RosterError, match=says):
        roster_from(source, None)


def test_a_source_in_another_encoding_is_refused(tmp_path):
    source = tmp_path / "roster.toml"
    source.write_bytes(TOML.replace("A. Example", "Ä. Example").encode("latin-1"))
    with pytest.raises(RosterError, match="not UTF-8 at byte"):
        roster_from(source, None)


def geojson(tmp_path, *features):
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    source = tmp_path / "roster.toml"
    source.write_text(TOML, encoding="utf-8")
    return source, path


RING = [[-100.0, 45.0], [-99.0, 45.0], [-99.0, 46.0], [-100.0, 45.0]]


def feature(coordinates, kind="Polygon", **properties):
    return {"type": "Feature", "properties": properties, "geometry": {"type": kind, "coordinates": coordinates}}


def test_zones_come_from_geojson(tmp_path):
    roster = roster_from(*geojson(tmp_path, feature([RING], id="east", name="East")))
    assert isinstance(roster, Roster)
    assert roster.zones[1].corners == tuple((round(lat * 1e7), round(lon * 1e7)) for lon, lat in RING[:3])


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (feature([RING, RING], id="z"), "without holes"),
        (feature([[RING]], "MultiPolygon", id="z"), "must be a Polygon"),
        (feature([RING]), "no property `id`"),
        ({"type": "Feature"}, "not a FeatureCollection"),
        (7, "not a FeatureCollection"),
        (feature([[["x", 1], [2, 3], [4, 5]]], id="z"), "write degrees"),
    ],
)
def test_other_geojson_is_refused(tmp_path, found, says):
    with pytest.raises(RosterError, match=says):
        roster_from(*geojson(tmp_path, found))


@pytest.mark.slow
def test_a_roster_is_installed_from_a_file_once(desk, monkeypatch, capsys):
    for words in COMMANDS[:1] + COMMANDS[2:4]:
        assert run(monkeypatch, *words) == 0
    config = desk / "config.toml"
    config.write_text(_config(desk), encoding="utf-8")
    assert run(monkeypatch, "roster", "install", "roster.signed", "--config", str(config)) == 0
    assert (desk / "state" / "roster" / "roster.signed").read_bytes() == (desk / "roster.signed").read_bytes()
    assert run(monkeypatch, "roster", "install", "roster.signed", "--config", str(config)) == 1
    assert "not above 1" in capsys.readouterr().err


def _config(folder):
    return f"""
unit = "unit-07"
agency = "Example Sheriff"
state_dir = "{folder / "state"}"
[seal]
mode = "off"
[shift]
roster_key = "{folder / "keys" / "agency.pub"}"
[[hw.cameras]]
kind = "folder"
path = "{folder}"
[hw.panel]
kind = "none"
[hw.link]
kind = "mqtt"
host = "127.0.0.1"
[hw.board]
kind = "linux"
"""
