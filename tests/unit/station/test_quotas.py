"""A stolen card fills its own share of the disk and not the disk; an honest unit loses nothing."""

from __future__ import annotations

import hashlib

import pytest

from protocol.wire.codec import decode, encode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.enums import NackCode, PictureKind
from station.asker import Asker
from station.ingest import Ingest, IngestLimits, Quota
from station.query import Query
from station.store import open_store
from tests.builders import BOOT, UTC_NS, make_picture, make_read_record
from tests.station_files import stored_reads

NOW_US = UTC_NS // 1000
DAY_US = 86_400_000_000
UNIT = "unit-07"


class Station:
    def __init__(self, folder, **quota):
        self.now_us = NOW_US
        self.store = open_store(folder / "station.db")
        limits = IngestLimits(quota=Quota(**quota))
        self.ingest = Ingest(self.store, "s", lambda: self.now_us, limits=limits)

    def read(self, number, *, unit=UNIT, seq=None, **other):
        record = make_read_record(number, seq=seq or number, unit=unit, **other)
        self.ingest.take(f"lpr/1/{unit}/up/read", record.payload)
        return record

    def chunk(self, data, read_id, *, unit=UNIT):
        message = PictureChunk(
            unit=unit, boot_id=BOOT, read_id=read_id, kind=PictureKind.PLATE, sha256=hashlib.sha256(data).digest(),
            total_bytes=len(data), offset=0, data=data,
        )  # fmt: skip
        self.ingest.take(f"lpr/1/{unit}/up/pic", encode(message))

    def commit(self):
        return [decode(payload, Receipt, Nack, PictureStatus) for _, payload in self.ingest.commit()]


@pytest.fixture
def make(tmp_path):
    opened = []

    def made(**quota):
        opened.append(Station(tmp_path, **quota))
        return opened[-1]

    yield made
    for one in opened:
        one.store.close()


def nacks(answers):
    return [(a.unit, a.code, a.retry, a.detail) for a in answers if isinstance(a, Nack)]


def test_records_above_the_quota_wait_for_the_next_day(make):
    """What is refused is kept by the unit, which sends it again; others are not affected."""
    station = make(records=3)
    for number in range(1, 6):
        station.read(number)
    station.read(9, unit="unit-08", seq=1)
    answers = station.commit()
    assert nacks(answers) == [(UNIT, NackCode.QUOTA, True, "more than 3 records in a day")]
    assert sorted(len(a.records) for a in answers if isinstance(a, Receipt)) == [1, 3]
    station.read(4)
    assert nacks(station.commit()) != []
    assert station.ingest.counts.over_quota == 2
    units = {
        row.unit: row.refused_today for row, _ in Query(station.store, Asker("me"), lambda: station.now_us).units()
    }
    assert units == {UNIT: 3, "unit-08": 0}
    station.now_us += DAY_US
    station.read(4)
    station.read(5)
    assert nacks(station.commit()) == []
    assert len(stored_reads(station.store)) == 6


def test_bytes_above_the_quota_are_refused_for_now(make):
    station = make(size_bytes=100_000)
    record = station.read(1)
    station.commit()
    for number in range(10):
        station.chunk(bytes([number]) * 30_000, record.envelope.record_id)
    answers = station.commit()
    assert nacks(answers) == [(UNIT, NackCode.QUOTA, True, "more than 0 MiB in a day")]
    assert station.store.count_pictures() == 3


def test_pictures_of_unknown_records_are_bounded(make):
    """Whoever has a card could send chunks that no record names; those of stored records come through."""
    station = make(loose_bytes=2**20)
    record = station.read(1)
    station.commit()
    for number in range(80):
        station.chunk(number.to_bytes(2, "big") * 16_000, BOOT)
    station.chunk(b"its picture", record.envelope.record_id)
    answers = station.commit()
    assert nacks(answers) == [
        (UNIT, NackCode.QUOTA, True, "more than 1 MiB of pictures of unknown records in a day")
    ]
    assert station.store.count_pictures() == 2**20 // 32_000 + 1


def test_a_picture_may_come_with_its_record(make):
    """One batch has both: the record need not be stored before."""
    station = make(loose_bytes=1)
    picture = make_picture(content=b"jpeg" * 100)
    record = station.read(1, pictures=(picture,))
    station.chunk(picture.jpeg, record.envelope.record_id)
    assert nacks(station.commit()) == []
    assert station.store.count_pictures() == 1


def test_usage_is_counted_over_a_restart(make, tmp_path):
    station = make(records=3)
    for number in range(1, 4):
        station.read(number)
    station.commit()
    station.store.close()
    again = make(records=3)
    again.read(4)
    assert nacks(again.commit()) == [(UNIT, NackCode.QUOTA, True, "more than 3 records in a day")]


def test_usage_is_counted_at_the_end_of_the_transaction(make, monkeypatch):
    """Another worker that counts the same unit waits for a commit, not for everything before it."""
    station = make()
    order = []
    for name in ("add_usage", "add_records", "add_chunk", "note_seen"):
        done = getattr(station.store, name)
        monkeypatch.setattr(station.store, name, lambda *a, n=name, d=done: order.append(n) or d(*a))
    record = station.read(1)
    station.chunk(b"a picture", record.envelope.record_id)
    station.commit()
    assert order == ["add_records", "add_chunk", "note_seen", "add_usage"]
    assert station.store.usage_of_day(NOW_US)[UNIT].records == 1
