"""Health and status of a unit."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import I63, NAMED, U63, Id16, Message, Name64, Text64, Text128, Text256, UnitId, key
from protocol.wire.enums import UnitState
from protocol.wire.record import Life

MAX_COUNTERS = 512
MAX_HEAD_BYTES = 512


class Health(Message):
    """``health/1``: all counters and gauges."""

    SCHEMA: ClassVar[str] = "health/1"

    unit: Annotated[UnitId, key("dev")]
    boot_id: Annotated[Id16, key("boot")]
    mono_us: Annotated[U63, key("mono")]
    utc_us: Annotated[U63 | None, key("t")]
    seq_high: Annotated[U63, key("seq")]
    """The last sequence number assigned; 0 for none."""
    counters: Annotated[dict[Name64, I63], Field(max_length=MAX_COUNTERS), key("cnt")]
    """Counters since the boot."""
    gauges: Annotated[dict[Name64, I63], Field(max_length=MAX_COUNTERS), key("gau")]
    """Gauges, with the unit in the name."""
    life: Annotated[Life, key("life")] = b""
    """The life whose numbers ``seq_high`` counts."""
    head: Annotated[bytes, Field(strict=True, max_length=MAX_HEAD_BYTES), key("head")] = b""
    """``head/1``, signed; empty from a unit without keys."""


class Status(Message):
    """``status/1``, retained: birth, state and death."""

    SCHEMA: ClassVar[str] = "status/1"

    unit: Annotated[UnitId, key("dev")]
    boot_id: Annotated[Id16, key("boot")]
    state: Annotated[UnitState, NAMED, key("state")]
    reason: Annotated[Text256, key("why")]
    software: Annotated[Text64, key("sw")]
    models: Annotated[tuple[Text128, ...], Field(max_length=8), key("mdl")]
