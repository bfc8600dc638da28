"""A station with units of two agencies, and hostile texts in every field that a unit fills."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from protocol.wire.codec import encode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import PictureKind, UnitState
from protocol.wire.record import Record, encode_record
from station.store import NewRecord
from tests.builders import BOOT, UTC_NS, make_picture, make_read_record

if TYPE_CHECKING:
    from station.store import Store

NOW_US = UTC_NS // 1000 + 3_600_000_000
NORTH, SOUTH = "north-pd", "south-pd"
PLATES = ("7ABC123", "6KYN051", "XUP9415", "314RLZ", "F29MSS", "SAS0323", "7A8C123", "OQD0Q1")


def read_of(
    number: int, *, text: str, agency: str = NORTH, unit: str = "unit-07", picture: bytes = b"", **fields: Any
) -> Record:
    """One read; with a picture of the plate if it is given."""
    pictures = (make_picture(PictureKind.PLATE, content=picture),) if picture else ()
    made = make_read_record(number, seq=number, text=text, unit=unit, pictures=pictures, **fields)
    envelope = made.envelope.model_copy(update={"agency": agency})
    assert made.body is not None
    return Record(envelope, made.body, encode_record(envelope, made.body))


def fill(store: Store, *, picture: bytes = b"") -> None:
    """Reads of one unit of each agency, their states and counters."""
    records = [read_of(n, text=text, picture=picture) for n, text in enumerate(PLATES, start=1)]
    records += [read_of(n, text=f"SOUTH{n}", agency=SOUTH, unit="unit-20") for n in (1, 2)]
    with store.transaction():
        store.add_records([NewRecord(record) for record in records], NOW_US)
        store.note_seen(["unit-07", "unit-20"], NOW_US)
        for unit in ("unit-07", "unit-20"):
            status = Status(
                unit=unit, boot_id=BOOT, state=UnitState.ONLINE, reason="", software="patrol-lpr 0.3", models=()
            )
            store.note_status(status, NOW_US)
            health = Health(
                unit=unit, boot_id=BOOT, mono_us=1, utc_us=NOW_US, seq_high=12,
                counters={"reads.kept": 8, "files.update.offered": 1}, gauges={"outbox.reads": 0},
            )  # fmt: skip
            store.note_health(health, encode(health), NOW_US)
        if picture:
            chunk = PictureChunk(
                unit="unit-07", boot_id=BOOT, read_id=bytes(16), kind=PictureKind.PLATE,
                sha256=hashlib.sha256(picture).digest(), total_bytes=len(picture), offset=0, data=picture,
            )  # fmt: skip
            store.add_chunk(chunk, NOW_US)
