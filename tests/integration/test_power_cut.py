"""Power cuts on a real file system: what ``append`` has returned is there afterwards, and the file is whole."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from agent.buffer import Limits, NewRecord, OutboxReader, PictureStored, Receipted, open_outbox
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxError, OutboxFullError
from tests.builders import make_encoder, make_read, make_time_anchor
from tests.power_cut import CuttableDisk

pytestmark = pytest.mark.integration
LIMITS = Limits(min_free_bytes=0, ballast_bytes=64 * 1024)
SMALL = Limits(max_bytes=40_000, min_free_bytes=0, ballast_bytes=64 * 1024)


class Unit:
    """An outbox on a disk, and what it said it had committed and freed."""

    def __init__(self, disk: CuttableDisk, limits: Limits = LIMITS) -> None:
        self._disk, self._limits = disk, limits
        self.committed: dict[int, bytes] = {}
        self.freed: set[int] = set()
        self.number = 0
        self.open()

    def open(self) -> None:
        self.outbox, self.report = open_outbox(self._disk.mount / "state", make_encoder(), limits=self._limits)

    def append(self, count: int = 3) -> None:
        reads = [make_read(self.number + i + 1) for i in range(count)]
        self.number += count
        anchors = [NewRecord(make_time_anchor())] if self.number % 2 else []
        seqs = self.outbox.append([*reads, *anchors])
        self.committed |= {seq: read.read_id for seq, read in zip(seqs, reads, strict=False)}

    def receipt(self) -> None:
        seq = min(self.committed.keys() - self.freed, default=None)
        if seq is not None:
            self.outbox.apply([Receipted(((seq, self.committed[seq]),))])
            self.freed.add(seq)

    def picture(self) -> None:
        picture = make_read(max(1, self.number)).pictures[1]
        self.outbox.apply([PictureStored(picture.sha256, len(picture.jpeg))])

    def cut_and_restart(self) -> None:
        self._disk.cut()
        with pytest.raises(OutboxError):
            self.outbox.append([make_read(999_999)])
        # The failed append gave its connection up: nothing is written at the end, as by a dead process.
        self.outbox.close()
        self._disk.power_off()
        self._disk.power_on()
        self.open()


@pytest.fixture
def disk(tmp_path):
    made = CuttableDisk(tmp_path)
    yield made
    made.release()


def check(unit: Unit, *, evicting: bool = False) -> None:
    """The file is whole and holds every committed read that was not freed."""
    path = unit.outbox.path
    con = sqlite3.connect(path)
    assert con.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    con.close()
    assert unit.report.moved_to is None
    reader = OutboxReader(path)
    rows = {row.seq: row.record_id for row in reader.records(after_seq=0, limit=100_000)}
    stats = reader.stats()
    reader.close()
    missing = {seq for seq, name in unit.committed.items() if rows.get(seq) != name}
    if evicting:
        assert len(missing - unit.freed) == stats.evicted_reads
    else:
        assert missing == unit.freed
    assert stats.next_seq > max(unit.committed, default=0)


STEPS = {
    "after a commit": ["append"],
    "after several groups": ["append"] * 6,
    "after a receipt": ["append", "append", "receipt"],
    "after many receipts": ["append"] * 4 + ["receipt"] * 9,
    "after a picture left": ["append", "picture"],
    "between everything": ["append", "receipt", "append", "picture", "append", "receipt", "receipt", "append"],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_power_cut_loses_no_committed_read(disk, steps):
    """Three cuts in a row, work in between: reads committed before each are there or receipted after it."""
    unit = Unit(disk)
    for _ in range(3):
        for step in steps:
            getattr(unit, step)()
        unit.cut_and_restart()
        check(unit)
    unit.outbox.close()


def test_power_cut_during_eviction_keeps_the_counters(disk):
    """Over budget, evicting continuously: evicted rows are counted, the others are intact."""
    unit = Unit(disk, SMALL)
    for _ in range(4):
        for _ in range(12):
            unit.append(4)
        unit.cut_and_restart()
        check(unit, evicting=True)
    unit.outbox.close()


def test_power_cut_after_the_first_start_leaves_a_usable_outbox(disk):
    """The file was just created: it opens again, and numbers start correctly."""
    unit = Unit(disk)
    unit.cut_and_restart()
    unit.append()
    check(unit)
    unit.outbox.close()


def test_power_cut_after_a_checkpoint(disk):
    """With or without a checkpoint the same reads are there."""
    unit = Unit(disk)
    unit.append(20)
    unit.outbox.close()
    unit.open()
    unit.append(5)
    unit.cut_and_restart()
    check(unit)
    assert unit.outbox.path.name == FILE_NAME
    unit.outbox.close()


def heavy_read(number: int):
    read = make_read(number)
    scene = read.pictures[1]
    heavy = scene.__class__(scene.kind, number.to_bytes(32, "big"), b"x" * 60_000, 10, 10)
    return make_read(number, pictures=(heavy,))


def fill(disk: CuttableDisk) -> None:
    """Another program fills the disk completely."""
    with (disk.mount / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_disk_that_fills_up_stops_the_growth_and_loses_no_read(disk):
    """Long before the disk is full pictures go first, counted; every read is there."""
    unit = Unit(disk, Limits(max_bytes=2**40, min_free_bytes=8 * 2**20, ballast_bytes=2**20))
    for number in range(1, 400):
        (seq,) = unit.outbox.append([heavy_read(number)])
        unit.committed[seq] = heavy_read(number).read_id
    stats = unit.outbox.stats()
    assert (stats.appended, stats.reads, stats.evicted_reads) == (399, 399, 0)
    assert stats.evicted_overviews > 0
    check(unit)
    unit.outbox.close()


def test_disk_filled_by_others_is_reported_and_loses_no_read(disk):
    """The disk is full: the ballast is deleted, then the caller keeps the read; with free space work continues."""
    unit = Unit(disk, Limits(min_free_bytes=0, ballast_bytes=2**20))
    unit.append(5)
    fill(disk)
    refused = 0
    for number in range(100, 160):
        try:
            (seq,) = unit.outbox.append([heavy_read(number)])
        except OutboxFullError:
            refused += 1
        else:
            unit.committed[seq] = heavy_read(number).read_id
    assert refused > 0
    check(unit, evicting=True)
    (disk.mount / "filler").unlink()
    (seq,) = unit.outbox.append([heavy_read(200)])
    unit.committed[seq] = heavy_read(200).read_id
    check(unit, evicting=True)
    unit.outbox.close()
