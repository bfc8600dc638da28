"""Commands about accounts with a misspelt file leave no empty database behind."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cli.station import app
from station.errors import StoreError


@pytest.mark.parametrize("words", [("list",), ("disable", "bob"), ("enable", "bob"), ("reset", "bob")])
def test_a_misspelt_file_is_refused_and_not_made(tmp_path, words):
    place = tmp_path / "stationn.db"
    refused = CliRunner().invoke(app, ["account", *words, "--db", str(place)])
    assert isinstance(refused.exception, StoreError)
    assert "stationn.db does not exist" in str(refused.exception)
    assert not list(tmp_path.iterdir())


def test_the_first_account_makes_the_database(tmp_path):
    words = ("add", "ann", "--role", "administrator", "--full-name", "Ann", "--db", str(tmp_path / "station.db"))
    done = CliRunner().invoke(app, ["account", *words])
    assert not done.exit_code, done.exception
    assert (tmp_path / "station.db").exists()
