"""Bodies of shifts, coverage, track points and incidents for tests."""

from __future__ import annotations

from typing import Any

from agent.geotag.units import place_of, time_quality
from protocol.wire.enums import IncidentStage, ShiftStage, TimeSource
from protocol.wire.parts import Retention
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.incident import Incident
from protocol.wire.records.shift import Shift
from protocol.wire.records.track_point import TrackPoints
from tests.builders import UTC_NS, WHERE

SHIFT_ID = bytes(range(16, 32))
INCIDENT_ID = bytes(range(32, 48))
UTC_US = UTC_NS // 1000
_TIME = {"utc_us": UTC_US, "time": time_quality(TimeSource.GNSS, 150.0), "mono_us": 5_000_000}


def make_shift(**other: Any) -> Shift:
    values: dict[str, Any] = {
        **_TIME,
        "shift_id": SHIFT_ID,
        "revision": 3,
        "stage": ShiftStage.ENDED,
        "badge": "4711",
        "role": "driver",
        "method": "pin",
        "training": "valid",
        "crew": ("4712",),
        "vehicle": "unit-07",
        "zone": "north",
        "checkpoint": "",
        "task": "patrol",
        "equipment": ("rifle-3",),
        "roster_version": 12,
        "planned_id": "2026-05-28-a",
        "planned_us": (UTC_US - 36_000_000_000, UTC_US),
        "overtime_class": "scheduled",
        "started_us": UTC_US - 36_000_000_000,
        "worked_s": 36_100,
        "unmeasured": 0,
        "hours": (("patrol", 30_000, 31_000), ("transport", None, 5_100)),
        "overtime_s": 100,
        "overlaps": ((INCIDENT_ID, 600),),
        "end_reason": "signed_off",
        "automatic": False,
        "incidents": 1,
        "unanswered": 0,
        "retention": Retention(policy_class="shift"),
    }
    return Shift(**{**values, **other})


def make_coverage(**other: Any) -> Coverage:
    values: dict[str, Any] = {
        **_TIME,
        "shift_id": SHIFT_ID,
        "mono_first_us": 4_000_000,
        "roster_version": 12,
        "zones": (("", 100, 9_000, 2), ("north", 1_500, 90_000, 31)),
        "distance_m": 1_600,
        "located_ms": 99_000,
        "unlocated_ms": 21_000,
        "outages": 1,
        "jumps": 0,
        "reads_unlocated": 1,
        "retention": Retention(policy_class="coverage"),
    }
    return Coverage(**{**values, **other})


def make_track_points(**other: Any) -> TrackPoints:
    values: dict[str, Any] = {
        **_TIME,
        "shift_id": SHIFT_ID,
        "points": ((0, 450_000_000, -1_000_000_000, 450, 1_000), (10_000, 450_000_100, -1_000_000_000, 450, None)),
        "retention": Retention(policy_class="track"),
    }
    return TrackPoints(**{**values, **other})


def make_incident(**other: Any) -> Incident:
    values: dict[str, Any] = {
        **_TIME,
        "incident_id": INCIDENT_ID,
        "revision": 2,
        "stage": IncidentStage.CLOSED,
        "shift_id": SHIFT_ID,
        "place": place_of(WHERE),
        "where": "milestone 12",
        "category": "stolen-vehicle",
        "case_number": "26-0001",
        "notes": ("Vehicle found parked.", "Owner informed."),
        "reads": (bytes(16),),
        "hits": (bytes(range(48, 64)),),
        "people": ("RMS 1881",),
        "contribution": "located",
        "outcome": "recovered",
        "retention": Retention(policy_class="incident"),
    }
    return Incident(**{**values, **other})
