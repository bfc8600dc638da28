"""A unit that was written anew counts from 1 again: how far a report goes is said for each of its lives."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from protocol.seal import SigningKey
from station.asker import Asker
from station.query import Query
from station.reports.lines import line
from station.reports.make import Report, make_report
from station.reports.recompute import recompute
from station.store import open_store
from station.store.reporting import Period
from tests.builders import UTC_NS, make_read_record
from tests.signed_series import NOW_US, SignedUnit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from station.store import Store

CLERK = Asker("clerk")
DAY_US = 86_400_000_000
MAY = Period(UTC_NS // 1000 - DAY_US, UTC_NS // 1000 + DAY_US)
NEW = b"second life....."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


def report_of(store: Store) -> Report:
    return make_report(store, CLERK, lambda: NOW_US, MAY)


def test_what_a_new_life_sends_after_the_report_is_not_counted(store: Store) -> None:
    """Its number is below the highest of the earlier life."""
    first = SignedUnit(store)
    second = SignedUnit(store)
    second.key = first.key
    for number in (1, 2, 3):
        first.read(number)
    second.store_signed([make_read_record(11, seq=1, life=NEW)])
    report = report_of(store)
    through = {one for one in report.lines if one.table == "through" and one.keys[0] == "unit-07"}
    assert through == {
        line("through", "number", 3, "unit-07"),
        line("through", "number", 1, "unit-07", NEW.hex()),
    }
    second.store_signed([make_read_record(12, seq=2, life=NEW)])
    ring = replace(first.ring(), log=SigningKey.generate())
    series, log = io.BytesIO(), io.BytesIO()
    query = Query(store, CLERK, lambda: NOW_US)
    query.export_evidence(series, ring)
    query.export_log(log, ring)
    found = recompute(report.lines, [io.BytesIO(series.getvalue())], io.BytesIO(log.getvalue()))
    assert (found.altered, found.differences, found.records) == ([], [], 5)
