"""A station whose disk is full: what it has is purged, and it receives again."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress

import pytest

from protocol.wire.codec import decode, encode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.enums import NackCode, PictureKind
from station.asker import Asker
from station.commands import Commands
from station.errors import StoreError
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, UTC_NS, make_read_record
from tests.power_cut import CuttableDisk

pytestmark = pytest.mark.integration
NOW_US = UTC_NS // 1000
DAY_US = 86_400_000_000
SECOND_US = 1_000_000


@pytest.fixture
def disk(tmp_path):
    made = CuttableDisk(tmp_path, mib=48)
    yield made
    made.release()


def chunk(data, read_id):
    return encode(
        PictureChunk(
            unit="unit-07", boot_id=BOOT, read_id=read_id, kind=PictureKind.PLATE,
            sha256=hashlib.sha256(data).digest(), total_bytes=len(data), offset=0, data=data,
        )
    )  # fmt: skip


def fill(path):
    """Another program takes all that is left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))


def answers(found):
    return [decode(payload, Receipt, Nack, PictureStatus) for _, payload in found]


def test_a_full_disk_is_purged_and_the_station_receives_again(disk):
    """Whatever a unit sends until the disk is full, a purge has room to work, and finishes."""
    now_us = [NOW_US]
    store = open_store(disk.mount / "station.db")
    ingest = Ingest(store, "s", lambda: now_us[0])
    number, refused = 0, []
    while not refused and number < 2_000:
        number += 1
        now_us[0] += SECOND_US
        record = make_read_record(number, seq=number)
        ingest.take("lpr/1/unit-07/up/read", record.payload)
        for _ in range(2):
            ingest.take("lpr/1/unit-07/up/pic", chunk(secrets.token_bytes(30_000), record.envelope.record_id))
        refused = [a for a in answers(ingest.commit()) if isinstance(a, Nack)]
    assert (refused[0].code, refused[0].retry) == (NackCode.STORAGE, True)
    assert "which a purge needs" in ingest.last_failure
    store.close()
    others = disk.mount / "others"
    fill(others)
    os.truncate(others, others.stat().st_size - 3 * 2**20)
    store = open_store(disk.mount / "station.db", must_exist=True)
    later = Commands(store, Asker("tester"), lambda: now_us[0] + 10 * DAY_US)
    assert later.purge(1).records == number - 1
    assert store.count_pictures() == 0
    others.unlink()
    ingest = Ingest(store, "s", lambda: now_us[0])
    (answer,) = answers(ingest.handle("lpr/1/unit-07/up/read", make_read_record(number, seq=number).payload))
    assert isinstance(answer, Receipt)
    store.close()


def test_a_disk_without_any_room_is_a_sentence(disk):
    store = open_store(disk.mount / "station.db")
    fill(disk.mount / "others")
    with pytest.raises(StoreError, match="which a purge needs"):
        store.check_room()
    store.close()
