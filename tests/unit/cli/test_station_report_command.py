"""``station report`` by name: examples, definitions that were made on the page, files; and what there is."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from typer.testing import CliRunner

from cli.station import app
from station.asker import Asker
from station.reports.own import OwnDefinitions
from station.store import open_store
from station.store.rows import DefinitionRow
from tests.builders import UTC_NS, make_read_record
from tests.station_files import add

NOW_US = UTC_NS // 1000 + 3_600_000_000
OWN = 'id = "county"\ntitle = "Readers in the county"\nperiod = "quarter"\ntables = ["reads"]\n'
BROKEN = DefinitionRow("of-later", 'id = "of-later"\ntitle = "x"\nperiod = "decade"\n', "sam", NOW_US)


@pytest.fixture
def station(tmp_path):
    """Runs a command on a station with an own definition, and one that this version cannot use."""
    path = tmp_path / "station.db"
    with closing(open_store(path)) as store:
        add(store, make_read_record(), now_us=NOW_US)
        OwnDefinitions(store, Asker("sam"), lambda: NOW_US).save(OWN)
        with store.transaction():
            store.definitions.keep(BROKEN)

    def run(*arguments):
        return CliRunner().invoke(app, ["report", *arguments, "--db", str(path)])

    return run


def test_a_definition_of_the_page_is_found_by_its_name(station):
    done = station("county", "--period", "2026-Q2", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["definition"] == "county"
    assert sum(line["value"] for line in told["lines"] if line["table"] == "reads") == 1
    assert "Readers in the county" in station("county", "--period", "2026-Q2").output


def test_it_is_listed_with_the_examples(station):
    """Also one that this version cannot use, with the reason."""
    rows = json.loads(station("--list", "--json").stdout)
    found = {row["id"]: row for row in rows}
    assert list(found) == ["arkansas", "general", "virginia", "county", "of-later"]
    assert found["county"] == {
        "id": "county", "title": "Readers in the county", "period": "quarter", "from": "sam", "problem": "",
    }  # fmt: skip
    assert "period" in found["of-later"]["problem"]
    shown = station("--list").output
    assert all(name in shown for name in found)


@pytest.mark.parametrize("name", ["nothing", "Country", "../county", "county.toml"])
def test_a_name_that_is_unknown_is_told_with_those_there_are(station, name):
    error = station(name, "--period", "2026-Q2").exception
    assert error is not None
    if "." in name:
        assert "cannot be read" in str(error)
    else:
        assert "general" in str(error)
        assert "county" in str(error)


def test_a_definition_of_a_later_version_is_told_with_the_reason(station):
    assert "cannot be used by this version" in str(station("of-later", "--period", "2026").exception)


def test_a_file_is_read_as_before(station, tmp_path, monkeypatch):
    """By its path, or by a bare name in the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("other.toml", "other"):
        (tmp_path / name).write_text(OWN.replace("county", "file", 1))
        done = station(name, "--period", "2026-Q2", "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["definition"] == "file"


def test_without_a_period_the_option_is_named(station):
    done = station("county")
    assert done.exit_code == 2
    assert "--period" in done.output
