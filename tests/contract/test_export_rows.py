"""A request for an export says for what agencies and units it is: nothing that is left out means everything."""

from __future__ import annotations

import pytest

from station.asker import EVERYTHING, Scope
from station.errors import StoreError
from station.store import ExportRow
from tests.contract.test_station_store import NOW_US, make, store

__all__ = ["make", "store"]
TOLD = ("e1", "jane", "csv", "{}", "stolen vehicle", "26-1", NOW_US, "requested")


def test_a_request_without_a_scope_cannot_be_made():
    with pytest.raises(TypeError, match="scope"):
        ExportRow(*TOLD)


@pytest.mark.parametrize(
    "scope",
    [EVERYTHING, Scope(frozenset(), frozenset()), Scope(units=frozenset({"unit-07"})), Scope(frozenset({"null"}))],
)
def test_a_scope_is_stored_as_it_was_said(store, scope):
    """All, nothing and some are three things."""
    with store.transaction():
        store.exports.add(ExportRow(*TOLD, scope=scope))
    found = store.exports.get("e1")
    assert found is not None
    assert found.scope == scope


@pytest.mark.parametrize("named", [{}, {"agencies": "null"}, {"units": "null"}, {"agencies": None, "units": None}])
def test_the_database_refuses_a_row_without_a_scope(store, named):
    """Whoever writes it: a station of before, or somebody by hand."""
    names = ("export_id", "account", "kind", "body", "purpose", "case_number", "requested_us", "state")
    columns = dict(zip(names, TOLD, strict=True)) | named
    listed = ", ".join("NULL" if value is None else repr(value) for value in columns.values())
    with pytest.raises(StoreError), store.transaction():
        store.db.driver_sql(f"INSERT INTO exports ({', '.join(columns)}) VALUES ({listed})")  # noqa: S608 - of this test
    assert store.exports.all(account=None, limit=5) == []
