"""A station with units, reads and leads, for tests of the map and of leads."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.wire.control.chunk import PictureChunk
from protocol.wire.enums import DispositionAction, HitStage, PictureKind, TimeSource
from tests.builders import (
    BOOT,
    UTC_NS,
    WHERE,
    TimeTag,
    make_picture,
    make_read_record,
    make_record,
    picture_ref,
    place_of,
)
from tests.hit_builders import make_disposition, make_hit_body
from tests.station_files import add

if TYPE_CHECKING:
    from station.store import Store

MADE_US = UTC_NS // 1000
RECEIVED_US = MADE_US + 1_800_000_000
HOSTILE = '"><img src=x onerror=alert(1)>{{7*7}}'
MINUTE_US = 60_000_000


def hit_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def fill_map(store: Store, *, reads: int = 60) -> None:
    """Four units around a town, their reads, six leads with what became of them, one with pictures."""
    draw = random.Random(1)  # noqa: S311 - not for secrets

    def somewhere():
        return replace(WHERE, lat_deg=44.02 + draw.gauss(0, 0.01), lon_deg=-100.35 + draw.gauss(0, 0.01))

    records = [
        make_read_record(
            number, seq=number, unit=f"unit-0{number % 4 + 1}", text=f"{number % 10}ABC{number:03}", alternatives=(),
            pictures=(), where=somewhere(),
            when=TimeTag((RECEIVED_US - (reads - number) * MINUTE_US) * 1000, TimeSource.GNSS, 100.0),
        )
        for number in range(1, reads + 1)
    ]  # fmt: skip
    plate = make_picture(PictureKind.PLATE, content=jpeg())
    for number in range(1, 7):
        hit = make_hit_body(
            hit_id=hit_id(number), utc_us=RECEIVED_US - number * MINUTE_US, place=place_of(somewhere()),
            pictures=(picture_ref(plate),) if number == 1 else (),
            stage=HitStage.WITHDRAWN if number == 6 else HitStage.FINAL,
        )  # fmt: skip
        records.append(make_record(hit, seq=1000 + number, unit="unit-01"))
    decisions = (
        (2, DispositionAction.ACKNOWLEDGED), (3, DispositionAction.CONFIRMED), (3, DispositionAction.OUTCOME),
        (4, DispositionAction.REJECTED), (5, DispositionAction.EXPIRED),
    )  # fmt: skip
    for seq, (number, action) in enumerate(decisions, 2000):
        records.append(make_record(make_disposition(action, hit_id=hit_id(number)), seq=seq, unit="unit-01"))
    add(store, *records, now_us=RECEIVED_US)
    content = jpeg()
    with store.transaction():
        store.note_seen([f"unit-0{number}" for number in range(1, 5)], RECEIVED_US)
        chunk = PictureChunk(
            unit="unit-01", boot_id=BOOT, read_id=BOOT,
            sha256=hashlib.sha256(content).digest(), kind=PictureKind.PLATE, offset=0,
            total_bytes=len(content), data=content,
        )  # fmt: skip
        store.add_chunk(chunk, RECEIVED_US)


def fill_hostile(store: Store) -> None:
    """A lead whose every text is hostile, of a unit that a stranger could run."""
    hit = make_hit_body(
        HOSTILE[:32], utc_us=RECEIVED_US, list_id="list" + HOSTILE[:20], list_name=HOSTILE, list_owner=HOSTILE,
        entry_id=HOSTILE, listed_reason=HOSTILE, policy=HOSTILE, camera=HOSTILE[:36], region=HOSTILE[:16],
        listed_region=HOSTILE[:16], listed_text=HOSTILE[:32], software=HOSTILE, pictures=(), others=(),
    )  # fmt: skip
    made = make_disposition(
        confirming_agency=HOSTILE, reference=HOSTILE, note=HOSTILE, officer=HOSTILE[:32], outcome=HOSTILE[:32],
        hit_id=hit.hit_id,
    )  # fmt: skip
    records = [make_record(hit, seq=1), make_record(made, seq=2)]
    records.append(
        make_read_record(3, seq=3, text=HOSTILE[:32], alternatives=(), pictures=(), region=HOSTILE[:16])
    )
    add(store, *records, now_us=RECEIVED_US)


def jpeg() -> bytes:
    """A small picture."""
    import io  # noqa: PLC0415 - needed here alone

    from PIL import Image  # noqa: PLC0415 - slow to import

    out = io.BytesIO()
    Image.new("RGB", (64, 32), (200, 200, 60)).save(out, "JPEG")
    return out.getvalue()
