"""``coverage/1``: kilometres, minutes and reads by zone in one period, computed on the unit: no track is needed.

Each message covers a period of its own: the sum over all ``period_id`` of a shift is the coverage of that shift.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import U16, U32, U63, Id16, Text36, key
from protocol.wire.parts import Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

MAX_ZONES = 256
RETENTION_CLASS = "coverage"


class Coverage(RecordBody):
    """The body of a coverage message."""

    SCHEMA: ClassVar[str] = "coverage/1"

    period_id: Annotated[Id16, key("per")]
    """Random; a message that is repeated after a power cut has the same."""
    shift_id: Annotated[Id16 | None, key("sh")]
    """None while nobody is signed on."""
    utc_us: Annotated[U63 | None, key("t")]
    """End of the period."""
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    mono_first_us: Annotated[U63, key("mono0")]
    """Begin of the period."""
    roster_version: Annotated[U32, key("ros")]
    """Roster that defines the zones; 0: none."""
    zones: Annotated[tuple[tuple[Text36, U32, U32, U32], ...], Field(max_length=MAX_ZONES), key("zone")]
    """Zone (empty: outside all), metres, milliseconds, reads.  Zones that overlap each count."""
    distance_m: Annotated[U32, key("m")]
    """Metres in total; a place in two zones counts once."""
    located_ms: Annotated[U32, key("loc_ms")]
    """Milliseconds with a known position."""
    unlocated_ms: Annotated[U32, key("unk_ms")]
    """Milliseconds without one: no kilometres and no zone."""
    outages: Annotated[U16, key("gaps")]
    jumps: Annotated[U16, key("jmp")]
    """Changes of position that the speed does not explain; their distance is not counted."""
    reads_unlocated: Annotated[U32, key("unk_n")]
    """Reads without a position."""
    retention: Annotated[Retention, key("ret")]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.mono_us < self.mono_first_us:
            raise ValueError("the period ends before it begins")
        return self


def _when(coverage: Coverage) -> RecordTime:
    return RecordTime(coverage.mono_us, coverage.utc_us, coverage.time.source, coverage.time.uncertainty_ms)


def _export(coverage: Coverage) -> dict[str, Value]:
    return {
        "period": coverage.period_id.hex(),
        "shift": None if coverage.shift_id is None else coverage.shift_id.hex(),
        "period_s": (coverage.mono_us - coverage.mono_first_us) / 1e6,
        "distance_m": coverage.distance_m,
        "located_s": coverage.located_ms / 1e3,
        "unlocated_s": coverage.unlocated_ms / 1e3,
        "outages": coverage.outages,
        "jumps": coverage.jumps,
        "reads_unlocated": coverage.reads_unlocated,
        "zones": "; ".join(f"{zone or '-'} {m} m {ms / 1e3:g} s {reads}" for zone, m, ms, reads in coverage.zones),
        "roster_version": coverage.roster_version,
    }


RECORD_TYPE = RecordType(
    schema="coverage/1",
    model=Coverage,
    priority=Priority.NORMAL,
    retention=lambda coverage: coverage.retention.policy_class,
    when=_when,
    projection=Projection(
        "coverage",
        (
            Column("period_id", bytes, lambda coverage: coverage.period_id, indexed=True),
            Column("shift_id", bytes, lambda coverage: coverage.shift_id, indexed=True),
            Column("distance_m", int, lambda coverage: coverage.distance_m),
        ),
    ),
    export=_export,
)
