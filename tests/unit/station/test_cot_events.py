"""Cursor-on-Target events keep the rules of MITRE's base schema, whatever a unit sent."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.enums import DispositionAction, HitStage
from protocol.wire.released import released_registry
from station.outputs.config import CotOutput
from station.outputs.cot import hit_event, unit_event
from station.query.stored import StoredRecord
from tests.builders import UTC_NS, make_read_record, make_record
from tests.hit_builders import make_hit_body

if TYPE_CHECKING:
    from protocol.wire.record import Record

MADE_US = UTC_NS // 1000
NOW_US = MADE_US + 5_000_000
TYPE = re.compile(r"\w+(-\w+)*(;[^;]*)?")
HOW = re.compile(r"\w(-\w+)*")


def config(**other) -> CotOutput:
    return CotOutput.model_validate({"name": "tak", "kind": "cot", "url": "tls://tak.example.org", **other})


def stored(record: Record, *, utc_us: int | None = MADE_US) -> StoredRecord:
    known = released_registry().get(record.envelope.schema_id)
    return StoredRecord(record, known, utc_us, "gnss", 150, False, NOW_US, "hit", 0)


def hit_of(hit, table=None, *, now_us=NOW_US, utc_us=MADE_US, **more):
    return hit_event(stored(make_record(hit), utc_us=utc_us), hit, table or config(), now_us, **more)


def utc(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text)


def parsed(message: bytes) -> ET.Element:
    """Check an event by the rules of the base schema: attributes, their patterns and ranges, one point, one detail."""
    event = ET.fromstring(message)  # noqa: S314 - our own output
    assert event.tag == "event"
    assert set(event.attrib) == {"version", "uid", "type", "how", "time", "start", "stale"}
    assert float(event.get("version")) >= 2
    assert event.get("uid")
    assert TYPE.fullmatch(event.get("type"))
    assert HOW.fullmatch(event.get("how"))
    utc(event.get("time"))
    assert utc(event.get("start")) <= utc(event.get("stale"))
    assert [child.tag for child in event] == ["point", "detail"]
    point = event[0]
    assert set(point.attrib) == {"lat", "lon", "hae", "ce", "le"}
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in point.attrib.values())
    assert -90 <= float(point.get("lat")) <= 90
    assert -180 <= float(point.get("lon")) <= 180
    assert float(point.get("ce")) >= 0
    return event


def test_hit_is_a_lead_with_the_age_of_its_list_and_an_honest_error():
    """The error is the position's own and the distance of the plate; the height is not known."""
    event = parsed(hit_of(make_hit_body(), config(plates=True)))
    assert event.get("uid") == f"patrol-lpr.unit-07.{bytes(range(16)).hex()}"
    assert event.get("type").startswith("a-u-")
    assert (event[0].get("ce"), event[0].get("le"), event[0].get("hae")) == ("29.5", "9999999.0", "9999999.0")
    assert utc(event.get("stale")).timestamp() == MADE_US / 1e6 + 600
    assert utc(event.get("start")).timestamp() == MADE_US / 1e6
    remarks = event.find("detail/remarks").text
    assert "NOT CONFIRMED" in remarks
    assert "7ABC123" in remarks
    assert "age of the list 1.0 h" in remarks
    assert event.find("detail/contact").get("callsign") == "LEAD 7ABC123"


def test_plates_are_left_out_unless_they_are_shared():
    message = hit_of(make_hit_body(listed_reason="stolen 7ABC123")).decode()
    assert "7ABC123" not in message
    assert "Stolen vehicles" in message


@pytest.mark.parametrize(
    ("body", "decision", "said"),
    [
        ({"stage": HitStage.WITHDRAWN}, None, "Withdrawn"),
        ({}, DispositionAction.REJECTED, "rejected by an officer"),
        ({}, DispositionAction.EXPIRED, "nobody decided"),
    ],
)
def test_withdrawn_hit_leaves_the_map(body, decision, said):
    """It is stale from now on."""
    event = parsed(hit_of(make_hit_body(**body), decision=decision))
    assert utc(event.get("stale")) == utc(event.get("time"))
    assert said in event.find("detail/remarks").text


def test_confirmed_hit_says_so():
    event = parsed(hit_of(make_hit_body(), decision=DispositionAction.CONFIRMED))
    assert "Confirmed by an officer and the entering agency" in event.find("detail/remarks").text


def test_nothing_is_sent_without_time_or_position_or_when_stale():
    """An old hit of a backlog is no news for a map."""
    hit = make_hit_body()
    nowhere = hit.place.model_copy(update={"lat_e7": None, "lon_e7": None})
    assert hit_of(hit, utc_us=None) is None
    assert hit_of(hit.model_copy(update={"place": nowhere})) is None
    assert hit_of(hit, now_us=MADE_US + 600_000_000) is None
    read = make_read_record()
    assert unit_event(stored(read), read.body.place, config(), MADE_US + 120_000_000) is None
    assert unit_event(stored(read, utc_us=None), read.body.place, config(), NOW_US) is None


def test_unit_is_a_friendly_vehicle_with_course_and_speed():
    read = make_read_record()
    event = parsed(unit_event(stored(read), read.body.place, config(), NOW_US))
    assert (event.get("uid"), event.get("how")) == ("patrol-lpr.unit-07", "m-g")
    assert event.get("type").startswith("a-f-G")
    assert (event[0].get("lat"), event[0].get("lon"), event[0].get("ce")) == ("45.0000000", "-100.0000000", "4.5")
    assert event.find("detail/track").attrib == {"course": "90.0", "speed": "10.0"}
    assert "7ABC123" not in ET.tostring(event, encoding="unicode")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=32)


@given(
    TEXTS,
    TEXTS,
    st.integers(-900_000_000, 900_000_000),
    st.integers(-1_800_000_000, 1_800_000_000),
    st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    st.integers(0, 2**63 - 1),
    st.booleans(),
)
def test_hostile_contents_make_valid_events(text, name, lat_e7, lon_e7, error_cm, made_us, plates):  # noqa: PLR0917
    """Markup, control characters, absurd times and positions from a unit or a list."""
    hit = make_hit_body()
    place = hit.place.model_copy(update={"lat_e7": lat_e7, "lon_e7": lon_e7, "error_cm": error_cm})
    told = {"text": text, "listed_text": text, "list_name": name, "list_owner": name, "listed_reason": text}
    hit = hit.model_copy(update={**told, "place": place, "list_as_of_us": made_us})
    record = replace(stored(make_record(make_hit_body())), utc_us=made_us)
    message = hit_event(record, hit, config(plates=plates), made_us + 1)
    if message is not None:
        event = parsed(message)
        assert len(event.find("detail")) == 4
