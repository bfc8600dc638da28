"""Agent records -> wire messages: rounding to integer units, clamping to the wire's ranges.

Clamping rather than refusing: a read with an absurd error bound is still a read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocol.wire.fields import I32, I63, U8, U16, U32
from protocol.wire.messages import PictureRef, Place, ReadMessage, TimeAnchorMessage, TimeQuality
from protocol.wire.wire import record_id

if TYPE_CHECKING:
    from agent.records import Geotag, Read, TimeAnchor

_NS_PER_US = 1_000
_E4 = 10_000


def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def _scaled(value: float | None, scale: float, low: int, high: int) -> int | None:
    """Round ``value * scale`` into ``low..high``; None stays None, and not-a-number is as good as unknown."""
    if value is None or math.isnan(value):
        return None
    # Clamped before it is rounded: neither infinity nor what overflows to it can be rounded.
    return round(min(max(value * scale, low), high))


def _probability(value: float, scale: int) -> int:
    return _scaled(value, scale, 0, scale) or 0


def _us(nanoseconds: int) -> int:
    return _clamp(nanoseconds // _NS_PER_US, 0, I63)


def _optional_us(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else _us(nanoseconds)


def _bound(value: float | None, scale: float) -> int | None:
    """Scale and round up into ``0..U32``: a bound must stay a bound."""
    if value is None or math.isnan(value):
        return None
    return math.ceil(min(max(value * scale, 0), U32))


def _pixel(value: float, limit: int) -> int:
    return _scaled(value, 1, 0, limit) or 0


def _place(where: Geotag) -> Place:
    lat_e7 = _scaled(where.lat_deg, 1e7, -900_000_000, 900_000_000)
    lon_e7 = _scaled(where.lon_deg, 1e7, -1_800_000_000, 1_800_000_000)
    known = lat_e7 is not None and lon_e7 is not None
    return Place(
        method=where.method,
        lat_e7=lat_e7 if known else None,
        lon_e7=lon_e7 if known else None,
        error_cm=_bound(where.error_m, 100),
        fix_age_ms=None if where.fix_age_ms is None else _clamp(where.fix_age_ms, 0, U32),
        speed_cmps=_scaled(where.speed_mps, 100, 0, U16),
        course_cdeg=_scaled(where.course_deg, 100, 0, 36_000),
        alt_cm=_scaled(where.alt_m, 100, -I32, I32),
        hdop_c=_scaled(where.hdop, 100, 0, U16),
        satellites=None if where.satellites is None else _clamp(where.satellites, 0, U8),
        quality=where.quality,
    )


def read_message(read: Read, *, unit: str, agency: str, boot_id: bytes, seq: int) -> ReadMessage:
    """Give a read its envelope; probabilities, coordinates and times are rounded to the wire's units."""
    box, width, height = read.box, _clamp(read.frame_width_px, 1, U16), _clamp(read.frame_height_px, 1, U16)
    x0, x1 = (_pixel(x, width) for x in (box.x0, box.x1))
    y0, y1 = (_pixel(y, height) for y in (box.y0, box.y1))
    return ReadMessage(
        unit=unit,
        agency=agency,
        boot_id=boot_id,
        seq=seq,
        read_id=read.read_id,
        camera=read.camera,
        camera_role=read.camera_role,
        utc_us=_optional_us(read.when.utc_ns),
        time=TimeQuality(read.when.source, _bound(read.when.uncertainty_ms, 1)),
        mono_us=_us(read.t_mono_ns),
        mono_first_us=_us(read.t_first_mono_ns),
        mono_last_us=_us(read.t_last_mono_ns),
        n_sightings=_clamp(read.n_sightings, 0, U16),
        n_agreeing=_clamp(read.n_agreeing, 0, U16),
        single_frame=read.single_frame,
        text=read.text,
        raw=read.raw,
        confidence_e4=_probability(read.confidence, _E4),
        char_confidence_u8=bytes(_probability(c, U8) for c in read.char_confidence),
        alternatives=tuple((text, _probability(p, _E4)) for text, p in read.alternatives[:5]),
        region=read.region,
        region_confidence_e4=_probability(read.region_confidence, _E4),
        box_px=(x0, y0, max(x0, x1), max(y0, y1)),
        frame_px=(width, height),
        place=_place(read.where),
        track_id=read.track_id & U32,
        pictures=tuple(
            PictureRef(p.kind, p.sha256, len(p.jpeg), _clamp(p.width_px, 0, U16), _clamp(p.height_px, 0, U16))
            for p in read.pictures
        ),
        software=read.software,
        models=read.models,
        retention=read.retention,
    )


def time_anchor_message(
    anchor: TimeAnchor, *, unit: str, agency: str, boot_id: bytes, seq: int
) -> TimeAnchorMessage:
    """Give a anchor its envelope; ``boot_id`` is the boot that sends, which need not be the boot that is dated."""
    return TimeAnchorMessage(
        unit=unit,
        agency=agency,
        boot_id=boot_id,
        seq=seq,
        record_id=record_id(boot_id, seq),
        dated_boot_id=anchor.boot_id,
        mono_us=_us(anchor.t_mono_ns),
        utc_us=_us(anchor.utc_ns),
        time=TimeQuality(anchor.source, _bound(anchor.uncertainty_ms, 1)),
    )
