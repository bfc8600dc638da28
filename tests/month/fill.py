"""Stores a drawn month as a station does: signed and chained records, pictures, daily purges, legal holds."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from protocol.seal import SigningKey, StationKey
from protocol.seal.evidence import SALT_BYTES, START, Evidence, digest_of
from protocol.seal.opener import OpenedRecord
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.enums import PictureKind
from protocol.wire.parts import PictureRef
from protocol.wire.record import Envelope, Record, derived_record_id, encode_record
from protocol.wire.records.read import Read
from station.asker import Asker
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger
from station.store import NewRecord
from station.store.rows import PurgePlan, PurgeRule
from tests.month.truth import TruePurge
from tests.month.world import AGENCY, S_PER_H, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from station.store import Store
    from tests.month.draw import Event, Month
    from tests.month.truth import TrueHold

DELAY_US = 5 * US_PER_S
"""From a record's time to its receipt."""
_HOUR_US = S_PER_H * US_PER_S
_DAY_US = 24 * _HOUR_US
_PURGE_AT_US = 9 * _HOUR_US
"""Time of day, UTC."""


class Holds(Protocol):
    """Places and releases legal holds at the station."""

    def place(self, hold: TrueHold) -> None: ...

    def release(self, hold: TrueHold) -> None: ...


class StationHolds:
    """Those of a station."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}

    def place(self, hold: TrueHold) -> None:
        scope = hold_scope(ids=[record_id.hex() for record_id in hold.record_ids], unit=hold.unit)
        placed = self._desk(hold.placed_us).place(scope, case_number=hold.case_number, reason="discovery")
        self._numbers[hold.case_number] = placed.statement.number

    def release(self, hold: TrueHold) -> None:
        number = self._numbers[hold.case_number]
        self._desk(hold.released_us).release(number, case_number=hold.case_number, reason="closed")

    def _desk(self, now_us: int) -> HoldDesk:
        return HoldDesk(self._store, Asker("counsel"), lambda: now_us)


def purge_by_store(store: Store, before_us: int, retention: str, now_us: int) -> int:
    """Purge as a station does, with a certificate."""
    plan = PurgePlan((PurgeRule(retention, before_us),))
    return Purger(store, Asker("station"), lambda: now_us).run(plan, f"retention={retention}").records


@dataclass(slots=True)
class _Unit:
    """Keys and chain of a unit."""

    name: str
    key: SigningKey
    seq: int = 0
    link: bytes = START


class Filler:
    """Stores a month.  ``keys`` is the folder for the keys of station and units, as ``patrol-lpr keys`` makes them."""

    def __init__(
        self,
        month: Month,
        store: Store,
        *,
        keys: Path | None = None,
        purge: Callable[[Store, int, str, int], int] | None = purge_by_store,
        holds: Holds | None = None,
        on_day: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``purge`` (store, before, class, now) deletes once a day, None: never; ``on_day`` is called after each day
        with the time (µs UTC).  Without ``holds`` nothing is held.
        """
        self._month, self._store = month, store
        self._purge, self._holds, self._on_day = purge, holds, on_day
        names = [f"unit-{n + 1:02}" for n in range(month.size.units)]
        self._units = {name: _Unit(name, SigningKey.generate()) for name in names}
        self._reads = {read.read_id: read for read in month.truth.reads}
        self._by_day: dict[int, list[bytes]] = defaultdict(list)
        self._held: set[bytes] = set()
        if keys is not None:
            self._save_keys(keys)

    def _save_keys(self, keys: Path) -> None:
        keys.mkdir(parents=True, exist_ok=True)
        StationKey.generate().save(keys / "station.key")
        for unit in self._units.values():
            (keys / f"unit-{unit.name}.pub").write_bytes(unit.key.public.pem())

    def run(self) -> None:
        """Store everything, hour by hour, with a purge a day."""
        waiting = self._steps()
        for hour, events in groupby(self._month.events, key=lambda event: event.utc_us // _HOUR_US):
            waiting = self._do(waiting, hour * _HOUR_US)
            self._store_hour(list(events))
        self._do(waiting, self._month.last_us + _DAY_US)

    def _steps(self) -> list[tuple[int, Callable[[int], None]]]:
        """Purges, holds and ends of days, in the order of their times."""
        steps: list[tuple[int, Callable[[int], None]]] = []
        first_day, last_day = self._month.first_us // _DAY_US + 1, self._month.last_us // _DAY_US
        for day in range(first_day, last_day + 1):
            steps += [(day * _DAY_US + _PURGE_AT_US, self._daily)]
        for hold in self._month.truth.holds if self._holds is not None else ():
            steps.append((hold.placed_us, lambda _, hold=hold: self._place(hold)))
            if hold.released_us:
                steps.append((hold.released_us, lambda _, hold=hold: self._release(hold)))
        return sorted(steps, key=lambda step: step[0])

    def _do(
        self, steps: list[tuple[int, Callable[[int], None]]], now_us: int
    ) -> list[tuple[int, Callable[[int], None]]]:
        """Do what is due; return the rest."""
        due = [step for step in steps if step[0] <= now_us]
        for at_us, step in due:
            step(at_us)
        return steps[len(due) :]

    def _place(self, hold: TrueHold) -> None:
        assert self._holds is not None
        self._held |= set(hold.record_ids)
        self._holds.place(hold)

    def _release(self, hold: TrueHold) -> None:
        assert self._holds is not None
        self._held -= set(hold.record_ids)
        self._holds.release(hold)

    def _daily(self, now_us: int) -> None:
        if self._purge is not None:
            before_us = now_us - self._month.size.keep_days * _DAY_US
            gone = 0
            for read in self._month.truth.reads:
                is_due = read.utc_us < before_us and read.retention == "nonhit"
                if is_due and not read.purged and read.read_id not in self._held:
                    read.purged = True
                    gone += 1
            done = self._purge(self._store, before_us, "nonhit", now_us)
            assert done == gone, f"purge at {now_us}: {done} records deleted, {gone} were due"
            self._month.truth.purges.append(TruePurge(now_us, "nonhit", before_us, gone))
        self._on_day(now_us)

    def _store_hour(self, events: list[Event]) -> None:
        new, jpegs = [], []
        for event in events:
            body = event.body
            picture = None if event.record_id is None else self._month.pictures.get(event.record_id)
            if picture is not None and isinstance(body, Read):
                jpeg = draw_plate(picture)
                body = body.model_copy(update={"pictures": (_ref(jpeg),)})
                jpegs.append((event, jpeg))
            new.append(self._signed(event, body))
        now_us = max(event.utc_us for event in events) + DELAY_US
        with self._store.transaction():
            self._store.add_records(new, now_us)
            for event, jpeg in jpegs:
                self._store.add_chunk(_chunk(event, jpeg), now_us)
            self._store.note_seen({event.unit for event in events}, now_us)

    def _signed(self, event: Event, body: object) -> NewRecord:
        unit = self._units[event.unit]
        unit.seq += 1
        boot = hashlib.blake2b(f"{event.unit}{event.utc_us // _DAY_US}".encode(), digest_size=16).digest()
        record_id = event.record_id or derived_record_id(boot, unit.seq)
        envelope = Envelope(
            schema_id=body.SCHEMA, unit=event.unit, agency=AGENCY, boot_id=boot, seq=unit.seq, record_id=record_id
        )
        payload = encode_record(envelope, body)
        salt = hashlib.blake2b(record_id, digest_size=SALT_BYTES, key=b"month").digest()
        prev, own = unit.link, unit.key
        digest = digest_of(salt, payload)
        unsigned = Evidence(event.unit, unit.seq, prev, digest, own.id, b"")
        unit.link = unsigned.link
        evidence = Evidence(event.unit, unit.seq, prev, digest, own.id, own.sign(unit.link))
        proof = OpenedRecord(event.unit, unit.seq, record_id, payload, salt, evidence)
        return NewRecord(Record(envelope, body, payload), proof)


def fill(store: Store, month: Month, **options: object) -> None:
    """Store a month, once: its truth then has what was purged.  ``options`` as for :class:`Filler`."""
    Filler(month, store, **options).run()


def draw_plate(text: str) -> bytes:
    """A JPEG of a plate with this text."""
    image = np.full((48, 200, 3), 235, np.uint8)
    cv2.putText(image, text, (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 20), 2)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1])


def _ref(jpeg: bytes) -> PictureRef:
    return PictureRef(
        kind=PictureKind.PLATE,
        sha256=hashlib.sha256(jpeg).digest(),
        size_bytes=len(jpeg),
        width_px=200,
        height_px=48,
    )


def _chunk(event: Event, jpeg: bytes) -> PictureChunk:
    assert event.record_id is not None
    return PictureChunk(
        unit=event.unit, boot_id=bytes(16), read_id=event.record_id, kind=PictureKind.PLATE,
        sha256=hashlib.sha256(jpeg).digest(), total_bytes=len(jpeg), offset=0, data=jpeg,
    )  # fmt: skip
