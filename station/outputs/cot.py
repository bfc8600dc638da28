"""Cursor-on-Target events (MITRE's base schema, version 2.0): hits as leads, positions of units.  Pure.

``ce`` and ``le`` are one-sigma errors in metres.  A read plate is within some distance of the unit, which is added to
the position's own bound.  The receiver's altitude is above the sea, not above the ellipsoid, so that ``hae`` and ``le``
are the schema's value for "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

from protocol.wire.enums import DispositionAction, GeotagMethod, HitStage
from station.outputs.events import LEAD, list_age_s

if TYPE_CHECKING:
    from protocol.wire.parts import Place
    from protocol.wire.records.hit import Hit
    from station.outputs.config import CotOutput
    from station.query.stored import StoredRecord

UNKNOWN = "9999999.0"
UNIT_TYPE = "a-f-G-E-V-C-P"
"""A friendly civil vehicle: law enforcement."""
LEAD_TYPE = "a-u-G-E-V-C"
"""A vehicle of unknown standing: a hit is no statement about who is in it."""
_HOW: dict[GeotagMethod, Literal["m-g", "m-p"]] = {GeotagMethod.INTERPOLATED: "m-g"}
"""By GNSS; anything else is predicted."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WITHDRAWING = {
    DispositionAction.REJECTED: "rejected by an officer",
    DispositionAction.EXPIRED: "expired: nobody decided",
}
_MAX_UTC_US = 253_402_300_799_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Times of an event, UTC."""

    made_us: int
    stale_us: int
    now_us: int


def unit_event(stored: StoredRecord, place: Place, config: CotOutput, now_us: int) -> bytes | None:
    """Return where a unit was when it made a record; None if that is unknown or stale."""
    made_us = stored.utc_us
    if made_us is None:
        return None
    moment = Moment(made_us, made_us + round(config.unit_stale_s * 1e6), now_us)
    if place.lat_deg is None or not _is_current(moment):
        return None
    event = _event(f"patrol-lpr.{stored.unit}", UNIT_TYPE, place, 0.0, moment)
    detail = ET.SubElement(event, "detail")
    ET.SubElement(detail, "contact", callsign=_text(stored.unit))
    _add_track(detail, place)
    _add_precision(detail, place)
    return _bytes(event)


def hit_event(
    stored: StoredRecord,
    hit: Hit,
    config: CotOutput,
    now_us: int,
    decision: DispositionAction | None = None,
) -> bytes | None:
    """Return a hit; None if its time or position is unknown, or it is stale.

    A withdrawn or rejected one is sent once more, stale from now on, so that it leaves the map.
    """
    if stored.utc_us is None or hit.place.lat_deg is None:
        return None
    ended = decision in _WITHDRAWING or hit.stage is HitStage.WITHDRAWN
    stale_us = now_us if ended else stored.utc_us + round(config.stale_s * 1e6)
    moment = Moment(stored.utc_us, stale_us, now_us)
    if not ended and not _is_current(moment):
        return None
    event = _event(
        f"patrol-lpr.{stored.unit}.{hit.hit_id.hex()}", LEAD_TYPE, hit.place, config.plate_distance_m, moment
    )
    detail = ET.SubElement(event, "detail")
    standing = "HIT" if decision is DispositionAction.CONFIRMED else "LEAD"
    shown = hit.text if config.plates else hit.list_name or hit.list_id
    ET.SubElement(detail, "contact", callsign=_text(f"{standing} {shown}"))
    ET.SubElement(detail, "link", uid=_text(f"patrol-lpr.{stored.unit}"), relation="p-p", type=UNIT_TYPE)
    _add_precision(detail, hit.place)
    ET.SubElement(detail, "remarks", source="patrol-lpr").text = _text(_remarks(stored, hit, config, decision))
    return _bytes(event)


def _remarks(stored: StoredRecord, hit: Hit, config: CotOutput, decision: DispositionAction | None) -> str:
    said = [_standing(hit, decision)]
    if config.plates:
        listed = f"{hit.listed_text} {hit.listed_region}".strip()
        said.append(f"read {hit.text} {hit.region} ({hit.confidence_e4 / 100:.0f} %), listed {listed}")
        said.append(hit.listed_reason)
    said.append(f"list {hit.list_name or hit.list_id} of {hit.list_owner}, {_age(stored, hit)}")
    said.append(f"match {hit.rule.value}, {hit.probability_e4 / 100:.0f} %; priority {hit.priority.value}")
    said.append("the position is that of the patrol vehicle")
    return ". ".join(part for part in said if part)


def _standing(hit: Hit, decision: DispositionAction | None) -> str:
    if decision is DispositionAction.CONFIRMED:
        return "Confirmed by an officer and the entering agency"
    if decision in _WITHDRAWING:
        return f"Withdrawn: {_WITHDRAWING[decision]}"
    if hit.stage is HitStage.WITHDRAWN:
        return "Withdrawn: the final text does not match"
    stage = "preview, " if hit.stage is HitStage.PREVIEW else ""
    return f"NOT CONFIRMED: {stage}{LEAD}"


def _age(stored: StoredRecord, hit: Hit) -> str:
    age_s = list_age_s(stored, hit)
    stale = ", STALE" if hit.list_stale else ""
    return f"age of the list {'unknown' if age_s is None else f'{age_s / 3600:.1f} h'}{stale}"


def _event(uid: str, kind: str, place: Place, further_m: float, moment: Moment) -> ET.Element:
    event = ET.Element(
        "event",
        version="2.0",
        uid=_text(uid),
        type=kind,
        how=_HOW.get(place.method, "m-p"),
        time=_time(moment.now_us),
        start=_time(moment.made_us),
        stale=_time(max(moment.stale_us, moment.made_us)),
    )
    error = UNKNOWN if place.error_m is None else f"{place.error_m + further_m:.1f}"
    ET.SubElement(
        event, "point", lat=f"{place.lat_deg:.7f}", lon=f"{place.lon_deg:.7f}", hae=UNKNOWN, ce=error, le=UNKNOWN
    )
    return event


def _add_track(detail: ET.Element, place: Place) -> None:
    if place.speed_cmps is not None and place.course_cdeg is not None:
        ET.SubElement(
            detail, "track", course=f"{place.course_cdeg / 100 % 360:.1f}", speed=f"{place.speed_cmps / 100:.1f}"
        )


def _add_precision(detail: ET.Element, place: Place) -> None:
    source = "GPS" if place.method is GeotagMethod.INTERPOLATED else "ESTIMATED"
    ET.SubElement(detail, "precisionlocation", geopointsrc=source, altsrc="???")


def _is_current(moment: Moment) -> bool:
    return moment.now_us < moment.stale_us and 0 < moment.made_us <= _MAX_UTC_US


def _time(utc_us: int) -> str:
    when = _EPOCH + timedelta(microseconds=min(max(utc_us, 0), _MAX_UTC_US))
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


def _text(text: str) -> str:
    """Only what XML 1.0 can carry, on one line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _bytes(event: ET.Element) -> bytes:
    text = ET.tostring(event, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{text}\n'.encode()
