"""The committer with an unwritable disk: every read is kept, and memory for pictures is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.buffer import Receipted, open_outbox
from agent.buffer.retention import Limits
from agent.commit import ReadCommitter
from agent.errors import OutboxDiskError, OutboxFullError
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.geotag.timebase import Timebase
from protocol.wire.enums import PictureKind
from tests.builders import BOOT, make_encoder, make_read


class Ready:
    """A geotagger whose reads are made already."""

    waiting = 0

    def __init__(self) -> None:
        self.reads: list = []

    def tick(self, _):
        reads, self.reads = self.reads, []
        return reads

    flush = tick


class Disk:
    """An outbox whose disk can fail."""

    def __init__(self, inner) -> None:
        self._inner, self.error = inner, None

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def append(self, *arguments):
        if self.error:
            raise self.error
        return self._inner.append(*arguments)

    def apply(self, commands):
        if self.error:
            raise self.error
        return self._inner.apply(commands)


@pytest.fixture
def parts(tmp_path):
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    disk, ready = Disk(outbox), Ready()
    yield ReadCommitter(NmeaState(NmeaConfig()), ready, Timebase(BOOT), disk), ready, disk, outbox
    outbox.close()


@pytest.mark.parametrize(
    ("error", "counted"), [(OutboxFullError("full"), "disk_full"), (OutboxDiskError("EIO"), "disk_failed")]
)
def test_reads_are_kept_until_the_disk_is_writable(parts, error, counted):
    """Failed writes are counted, and reads are committed in order after recovery."""
    committer, ready, disk, outbox = parts
    disk.error = error
    for number in range(1, 4):
        ready.reads = [make_read(number)]
        result = committer.commit_ready(number)
        assert (result.stuck, result.reads, committer.stuck) == (True, (), True)
    assert (getattr(committer.counts, counted), committer.waiting) == (3, 3)
    disk.error = None
    result = committer.commit_ready(9)
    assert (result.seqs, committer.stuck, committer.waiting) == ((1, 2, 3), False, 0)
    assert outbox.stats().reads == 3


@pytest.mark.slow
def test_reads_that_wait_for_the_time_are_forgotten_when_the_station_has_them(parts):
    """A unit with a station and without a time, for months: nothing grows."""
    committer, ready, _, outbox = parts
    seq = 0
    for _ in range(40):
        ready.reads = [
            replace(make_read(seq + n, pictures=()), expires_utc_us=None, period_s=180) for n in range(1, 65)
        ]
        result = committer.commit_ready(1)
        seq = result.seqs[-1]
        committer.add_command(Receipted(tuple((n, make_read(n).read_id) for n in result.seqs)))
    assert outbox.stats().appended == 2_560
    assert len(committer._undated) < 1_200


def test_receipts_are_kept_until_the_disk_is_writable(parts):
    """A receipt that could not be applied is applied later."""
    committer, ready, disk, outbox = parts
    ready.reads = [make_read(1)]
    committer.commit_ready(0)
    disk.error = OutboxDiskError("EIO")
    committer.add_command(Receipted(((1, make_read(1).read_id),)))
    assert committer.commit_ready(1).stuck
    disk.error = None
    assert committer.commit_ready(2).freed == 1
    assert outbox.stats().reads == 0


def test_overviews_are_discarded_while_the_disk_is_unwritable(parts):
    """All reads and plates are there in the end; the scenes of the later ones are gone and counted."""
    committer, ready, disk, outbox = parts
    disk.error = OutboxDiskError("read-only")
    for number in range(1, 401):
        ready.reads = [make_read(number)]
        committer.commit_ready(number)
    assert committer.counts.scenes_dropped == 400 - 256
    disk.error = None
    result = committer.commit_ready(9999)
    assert len(result.reads) == 400
    assert [len(read.pictures) for read in result.reads] == [2] * 256 + [1] * 144
    assert result.reads[-1].pictures[0].kind is PictureKind.PLATE
    stats = outbox.stats()
    assert (stats.reads, stats.plates, stats.overviews) == (400, 400, 256)


def test_evicted_reads_are_reported_in_their_round(tmp_path):
    """Over budget with nothing but reads: the oldest go, and the round says how many."""
    limits = Limits(max_bytes=9_000, min_free_bytes=0, ballast_bytes=0)
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=limits)
    ready = Ready()
    committer = ReadCommitter(NmeaState(NmeaConfig()), ready, Timebase(BOOT), outbox)
    lost = []
    for number in range(1, 40):
        ready.reads = [make_read(number, pictures=())]
        lost.append(committer.commit_ready(number).lost)
    assert lost[0] == 0
    assert sum(lost) == outbox.stats().evicted_reads > 0
    assert committer.commit_ready(99).lost == 0
    outbox.close()
