"""``track_point/1``: positions of the unit at the rate of the policy; not recorded without such a rate."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import U16, U32, U63, Id16, key
from protocol.wire.enums import Lost
from protocol.wire.parts import Retention, TimeQuality
from protocol.wire.registry import Priority, RecordBody, RecordTime, RecordType, Value

MAX_POINTS = 60
RETENTION_CLASS = "track"

Lat = Annotated[int, Field(strict=True, ge=-900_000_000, le=900_000_000)]
Lon = Annotated[int, Field(strict=True, ge=-1_800_000_000, le=1_800_000_000)]


class TrackPoints(RecordBody):
    """The body: consecutive positions, oldest first."""

    SCHEMA: ClassVar[str] = "track_point/1"

    shift_id: Annotated[Id16 | None, key("sh")]
    utc_us: Annotated[U63 | None, key("t")]
    """Time of the first position."""
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    """The same on the monotonic clock."""
    points: Annotated[
        tuple[tuple[U32, Lat, Lon, U32, U16 | None], ...],
        Field(min_length=1, max_length=MAX_POINTS),
        key("pts"),
    ]
    """Milliseconds since the first, latitude and longitude (1e-7 degrees), error bound (cm), speed (cm/s) or None."""
    retention: Annotated[Retention, key("ret")]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times = [point[0] for point in self.points]
        if times[0] != 0 or times != sorted(times):
            raise ValueError("positions must be in order, the first at 0")
        return self


def _when(track: TrackPoints) -> RecordTime:
    return RecordTime(track.mono_us, track.utc_us, track.time.source, track.time.uncertainty_ms)


def _export(track: TrackPoints) -> dict[str, Value]:
    first = track.points[0]
    return {
        "shift": None if track.shift_id is None else track.shift_id.hex(),
        "points": len(track.points),
        "lat_deg": first[1] / 1e7,
        "lon_deg": first[2] / 1e7,
        "error_m": first[3] / 100,
    }


RECORD_TYPE = RecordType(
    schema="track_point/1",
    model=TrackPoints,
    priority=Priority.BULK,
    evictable=True,
    lost=Lost.RECORD,
    retention=lambda track: track.retention.policy_class,
    when=_when,
    export=_export,
)
