"""Messages -> canonical bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.wire.fields import Plain, pack

if TYPE_CHECKING:
    from protocol.wire.messages import (
        HealthMessage,
        Nack,
        PictureChunk,
        PictureStatus,
        Place,
        ReadMessage,
        Receipt,
        StatusMessage,
        TimeAnchorMessage,
        TimeQuality,
        TombstoneMessage,
    )


def encode_read(m: ReadMessage) -> bytes:
    """``read/1``."""
    return pack(
        {
            "agy": m.agency,
            "alt": [[text, probability] for text, probability in m.alternatives],
            "boot": m.boot_id,
            "box": list(m.box_px),
            "cam": m.camera,
            "cam_role": m.camera_role,
            "cc": m.char_confidence_u8,
            "cf": m.confidence_e4,
            "dev": m.unit,
            "frm": list(m.frame_px),
            "gps": _place(m.place),
            "id": m.read_id,
            "img": [
                {"h": p.height_px, "kind": p.kind.value, "len": p.size_bytes, "sha": p.sha256, "w": p.width_px}
                for p in m.pictures
            ],
            "jc": m.region_confidence_e4,
            "js": m.region,
            "mdl": list(m.models),
            "mono": m.mono_us,
            "mono0": m.mono_first_us,
            "mono1": m.mono_last_us,
            "n": m.n_sightings,
            "na": m.n_agreeing,
            "one": m.single_frame,
            "pl": m.text,
            "raw": m.raw,
            "ret": {"cls": m.retention},
            "seq": m.seq,
            "sw": m.software,
            "t": m.utc_us,
            "tq": _quality(m.time),
            "trk": m.track_id,
            "v": "read/1",
        },
        m.extra,
    )


def _place(p: Place) -> dict[str, Plain]:
    return {
        "acc_cm": p.error_cm,
        "age_ms": p.fix_age_ms,
        "alt_cm": p.alt_cm,
        "crs_cdeg": p.course_cdeg,
        "fix": p.quality.value,
        "hdop_c": p.hdop_c,
        "how": p.method.value,
        "lat": p.lat_e7,
        "lon": p.lon_e7,
        "sats": p.satellites,
        "spd_cms": p.speed_cmps,
    }


def _quality(q: TimeQuality) -> dict[str, Plain]:
    return {"src": q.source.value, "unc_ms": q.uncertainty_ms}


def encode_time_anchor(m: TimeAnchorMessage) -> bytes:
    """``dating/1``."""
    return pack(
        {
            "agy": m.agency,
            "boot": m.boot_id,
            "dev": m.unit,
            "id": m.record_id,
            "mono": m.mono_us,
            "of": m.dated_boot_id,
            "seq": m.seq,
            "t": m.utc_us,
            "tq": _quality(m.time),
            "v": "dating/1",
        },
        m.extra,
    )


def encode_tombstone(m: TombstoneMessage) -> bytes:
    """``tomb/1``."""
    t = m.tombstone
    return pack(
        {
            "agy": m.agency,
            "boot": m.boot_id,
            "bytes": t.size_bytes,
            "cnt": t.count,
            "dev": m.unit,
            "id": m.record_id,
            "lost": t.lost.value,
            "rng": [[first, last] for first, last in t.ranges],
            "seq": m.seq,
            "v": "tomb/1",
            "why": t.reason.value,
        },
        m.extra,
    )


def encode_chunk(m: PictureChunk) -> bytes:
    """``chunk/1``."""
    return pack(
        {
            "boot": m.boot_id,
            "data": m.data,
            "dev": m.unit,
            "kind": m.kind.value,
            "len": m.total_bytes,
            "off": m.offset,
            "rid": m.read_id,
            "sha": m.sha256,
            "v": "chunk/1",
        },
        m.extra,
    )


def encode_health(m: HealthMessage) -> bytes:
    """``health/1``."""
    return pack(
        {
            "boot": m.boot_id,
            "cnt": dict(sorted(m.counters)),
            "dev": m.unit,
            "gau": dict(sorted(m.gauges)),
            "mono": m.mono_us,
            "seq": m.seq_high,
            "t": m.utc_us,
            "v": "health/1",
        },
        m.extra,
    )


def encode_status(m: StatusMessage) -> bytes:
    """``status/1``."""
    return pack(
        {
            "boot": m.boot_id,
            "dev": m.unit,
            "mdl": list(m.models),
            "sw": m.software,
            "state": m.state.value,
            "v": "status/1",
            "why": m.reason,
        },
        m.extra,
    )


def encode_receipt(m: Receipt) -> bytes:
    """``receipt/1``."""
    return pack(
        {
            "dev": m.unit,
            "pic": [[sha, stored] for sha, stored in m.pictures],
            "rec": [[seq, record_id] for seq, record_id in m.records],
            "sta": m.station,
            "t": m.stored_us,
            "v": "receipt/1",
        },
        m.extra,
    )


def encode_nack(m: Nack) -> bytes:
    """``nack/1``."""
    return pack(
        {
            "code": m.code.value,
            "dev": m.unit,
            "ref": m.ref,
            "retry": m.retry,
            "v": "nack/1",
            "why": m.detail,
        },
        m.extra,
    )


def encode_picture_status(m: PictureStatus) -> bytes:
    """``picstat/1``."""
    return pack({"dev": m.unit, "off": m.offset, "sha": m.sha256, "v": "picstat/1"}, m.extra)
