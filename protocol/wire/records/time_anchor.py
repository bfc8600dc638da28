"""``dating/1``: ties a boot's monotonic clock to UTC, for records made before the time was known."""

from __future__ import annotations

from typing import Annotated, ClassVar

from protocol.wire.codec import U63, Id16, key
from protocol.wire.parts import TimeQuality
from protocol.wire.registry import Priority, RecordBody, RecordType, Value


class TimeAnchor(RecordBody):
    """The body of a time anchor."""

    SCHEMA: ClassVar[str] = "dating/1"

    anchored_boot_id: Annotated[Id16, key("of")]
    """The boot of the monotonic clock; not always that of the envelope."""
    mono_us: Annotated[U63, key("mono")]
    utc_us: Annotated[U63, key("t")]
    time: Annotated[TimeQuality, key("tq")]


def _export(anchor: TimeAnchor) -> dict[str, Value]:
    return {
        "anchored_boot_id": anchor.anchored_boot_id.hex(),
        "mono_us": anchor.mono_us,
        "utc_us": anchor.utc_us,
        "time_source": anchor.time.source.value,
        "uncertainty_ms": anchor.time.uncertainty_ms,
    }


RECORD_TYPE = RecordType(schema="dating/1", model=TimeAnchor, priority=Priority.NORMAL, export=_export)
