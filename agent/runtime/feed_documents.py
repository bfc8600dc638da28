"""The documents of the feed, as JSON values.  ``docs/feed.md`` explains every key; a test compares the two."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from agent.runtime.lamp import is_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.buffer import OutboxStats
    from agent.policy.policy import Policy
    from agent.policy.records import Pause
    from agent.records import Fix, Read
    from agent.runtime.camera import CameraComponent
    from agent.shift.shifts import ShiftState

VERSION = 1
_NS_PER_S = 1_000_000_000
"""Version of the protocol; raised when a key is removed or changes its meaning, not when one is added."""
_NS_PER_US = 1_000
_NS_PER_MS = 1_000_000

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Document = dict[str, Json]


def encode_line(document: Mapping[str, Json]) -> bytes:
    """Return one line of JSON with its line end.  Raises ValueError for NaN and infinity."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def stamp(t_mono_ns: int) -> Document:
    """Microseconds of the monotonic clock."""
    return {"mono_us": t_mono_ns // _NS_PER_US}


def utc_us(utc_ns: int | None) -> int | None:
    """Microseconds since 1970 UTC; JSON parsers round larger numbers."""
    return None if utc_ns is None else utc_ns // _NS_PER_US


def camera_document(camera: CameraComponent) -> Document:
    """One camera at this moment."""
    view = camera.view
    return {
        "name": camera.camera_name,
        "role": camera.role,
        "ready": camera.ready,
        "ok": camera.alive and not camera.missing,
        "fps": round(camera.fps, 1),
        "blinded": view.blinded,
        "dirty": view.dirty,
        "moved": view.moved,
        "frozen": view.frozen,
        "damaged": view.damaged,
        "upside_down": view.upside_down,
    }


def fix_document(fix: Fix | None, t_mono_ns: int) -> Document | None:
    """The latest fix; None before the first."""
    if fix is None:
        return None
    return {
        "found": is_fresh(fix, t_mono_ns),
        "age_ms": max(0, t_mono_ns - fix.t_mono_ns) // _NS_PER_MS,
        "utc_us": utc_us(fix.utc_ns),
        "lat_deg": _number(fix.lat_deg, 7),
        "lon_deg": _number(fix.lon_deg, 7),
        "error_m": _number(fix.error_m, 1),
        "speed_mps": _number(fix.speed_mps, 2),
        "course_deg": _number(fix.course_deg, 1),
        "satellites": fix.satellites,
        "quality": fix.quality.value,
    }


def pause_document(pause: Pause | None) -> Document | None:
    """Why nothing is recorded; None if it is."""
    return None if pause is None else {"reason": pause.reason.value, "name": pause.name}


def policy_document(policy: Policy | None) -> Document | None:
    """The policy that holds here; None if policies are off."""
    return None if policy is None else {"id": policy.id, "version": policy.version}


def outbox_document(stats: OutboxStats) -> Document:
    """Counters of the outbox."""
    return {
        "appended": stats.appended,
        "reads_waiting": stats.reads,
        "others_waiting": stats.others,
        "plates_waiting": stats.plates,
        "overviews_waiting": stats.overviews,
        "quarantined": stats.quarantined,
        "used_bytes": stats.used_bytes,
    }


def read_document(read: Read, seq: int) -> Document:
    """A committed read, without its pictures."""
    body = read.body
    return {
        "read_id": read.read_id.hex(),
        "seq": seq,
        "camera": body.camera,
        "camera_role": body.camera_role,
        "text": body.text,
        "confidence": body.confidence_e4 / 1e4,
        "region": body.region,
        "region_confidence": body.region_confidence_e4 / 1e4,
        "single_frame": body.single_frame,
        "n_sightings": body.n_sightings,
        "n_agreeing": body.n_agreeing,
        "motion": body.motion,
        "motion_confidence": body.motion_confidence_e4 / 1e4,
        "mono_us": body.mono_us,
        "utc_us": body.utc_us,
        "time_source": body.time.source.value,
        "geotag": body.place.method.value,
        "lat_deg": body.place.lat_deg,
        "lon_deg": body.place.lon_deg,
        "error_m": body.place.error_m,
    }


def shift_document(shift: ShiftState) -> Document:
    """The key ``shift``: an open shift."""
    return {
        "shift_id": shift.shift_id,
        "badge": shift.badge,
        "role": shift.assignment.role,
        "vehicle": shift.assignment.vehicle,
        "zone": shift.assignment.zone,
        "checkpoint": shift.assignment.checkpoint,
        "activity": shift.hours.activity,
        "since_utc_us": shift.started_utc_us,
        "worked_s": shift.hours.worked_ns // _NS_PER_S,
    }


def _number(value: float | None, digits: int) -> float | None:
    """Round; None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else round(value, digits)
