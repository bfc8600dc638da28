"""Bodies of shifts, coverage, track points and incidents for tests."""

from __future__ import annotations

from typing import Any

from agent.geotag.units import place_of, time_quality
from agent.shift.incidents import IncidentDraft, IncidentText
from protocol.wire.enums import IncidentStage, ShiftStage, TimeSource
from protocol.wire.parts import Retention
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.incident import Incident
from protocol.wire.records.shift import Shift
from protocol.wire.records.track_point import TrackPoints
from tests.builders import BOOT, UTC_NS, WHERE

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
        "period_id": bytes(range(64, 80)),
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


def make_draft(shift_id: bytes = SHIFT_ID, **other: Any) -> IncidentDraft:
    values: dict[str, Any] = {
        "incident_id": INCIDENT_ID.hex(),
        "revision": 0,
        "shift_id": shift_id.hex(),
        "badge": "4711",
        "boot": BOOT.hex(),
        "t_mono_ns": 5 * 10**9,
        "utc_us": UTC_US,
        "time_source": "gnss",
        "uncertainty_ms": 150.0,
        "place": place_of(WHERE).model_dump(by_alias=True, mode="json"),
        "saved_utc_us": UTC_US,
        "text": IncidentText(category="amber"),
    }
    return IncidentDraft(**{**values, **other})
