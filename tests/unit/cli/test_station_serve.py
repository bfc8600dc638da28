"""What the station says while it receives."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from cli.station_serve import _line, keys_hint
from protocol.wire.parts import Place
from station.ingest import IngestCounts


@pytest.mark.parametrize(
    ("has_keys", "told"),
    [(False, "start it with --keys FOLDER"), (True, "Add station*.key that they are encrypted")],
)
def test_records_that_cannot_be_opened_are_told_with_what_to_do(has_keys, told):
    counts = IngestCounts()
    ingest = SimpleNamespace(counts=counts)
    assert keys_hint([ingest], has_keys=has_keys) is None
    counts.key_unknown = 3
    hint = keys_hint([ingest], has_keys=has_keys)
    assert hint.startswith("3 ")
    assert "NOT stored" in hint
    assert "The units keep them" in hint
    assert told in hint


def test_a_pipe_gets_neither_plates_nor_places():
    fields = {field.name: None for field in dataclasses.fields(Place)} if dataclasses.is_dataclass(Place) else {}
    place = SimpleNamespace(**{**fields, "lat_deg": 44.02132, "lon_deg": -100.35762})
    read = SimpleNamespace(place=place, text="7ABC123", region="US-CA")
    record = SimpleNamespace(envelope=SimpleNamespace(unit="unit-07", seq=4, record_id=bytes(16)))
    shown, piped = (_line(record, read, show_plate=terminal) for terminal in (True, False))
    assert piped == f"unit-07 #4  {bytes(16).hex()}"
    assert "7ABC123" in shown
    assert "44.02132 -100.35762" in shown
