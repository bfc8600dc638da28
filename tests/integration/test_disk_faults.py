"""A failing or read-only disk: a clear error, nothing lost, and work continues after recovery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.errors import OutboxDiskError
from tests.builders import make_encoder, make_read
from tests.power_cut import CuttableDisk

pytestmark = pytest.mark.integration
LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)
PRELOAD = Path("/usr/lib/fiu/fiu_posix_preload.so")


@pytest.mark.parametrize("seed", [3, 5])
def test_failing_writes_reads_and_fsyncs_lose_no_committed_read(tmp_path, repo, seed):
    """EIO at random, weeks of EROFS, restarts in between (tests/disk_faults.py): the counters balance at the end."""
    assert PRELOAD.exists(), "libfiu is missing; run: make system-packages"
    done = subprocess.run(
        [sys.executable, "-m", "tests.disk_faults", str(tmp_path), "--seed", str(seed)],
        cwd=repo, env={**os.environ, "LD_PRELOAD": str(PRELOAD)}, capture_output=True, text=True, check=False,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["reads"] > 500
    for fault in ("read: SQLITE_IOERR_FSYNC", "read: SQLITE_IOERR_WRITE", "receipt: SQLITE_IOERR_WRITE"):
        assert seen[fault] > 0
    assert seen["connections"] > 50, "a connection that met a fault was used again"


@pytest.fixture
def disk(tmp_path):
    made = CuttableDisk(tmp_path)
    yield made
    made.release()


def waiting(path):
    reader = OutboxReader(path)
    rows = [row.record_id for row in reader.records(after_seq=0, limit=100)]
    reader.close()
    return rows


def test_disk_remounted_read_only_by_the_kernel_is_reported_and_loses_nothing(disk):
    """As with a worn card: ext4 remounts read-only under the running agent.

    What was committed can still be read and sent, what comes is refused with a clear word, and after the disk was
    mounted anew everything goes on.
    """
    state = disk.mount / "state"
    outbox, _ = open_outbox(state, make_encoder(), limits=LIMITS)
    outbox.append([make_read(1)])
    reader = OutboxReader(outbox.path)
    disk.abort()
    for _ in range(3):
        with pytest.raises(OutboxDiskError, match="mounted read-only"):
            outbox.append([make_read(2)])
        assert [row.seq for row in reader.records(after_seq=0, limit=9)] == [1]
    reader.close()
    outbox.close()
    second, report = open_outbox(state, make_encoder(), limits=LIMITS)
    assert report.moved_to is None
    with pytest.raises(OutboxDiskError, match="mounted read-only"):
        second.append([make_read(2)])
    second.close()
    disk.power_off()
    disk.power_on()
    again, report = open_outbox(state, make_encoder(), limits=LIMITS)
    assert report.moved_to is None
    assert again.append([make_read(2)]) == [2]
    assert waiting(again.path) == [make_read(1).read_id, make_read(2).read_id]
    again.close()


def test_disk_that_becomes_writable_again_needs_no_restart(disk):
    """Temporarily read-only: the same outbox then stores the waiting read."""
    state = disk.mount / "state"
    outbox, _ = open_outbox(state, make_encoder(), limits=LIMITS)
    outbox.append([make_read(1)])
    # A connection that met a fault lets go of its files, so the kernel agrees to the remount.
    outbox._let_go()
    disk.remount("ro")
    for _ in range(3):
        with pytest.raises(OutboxDiskError, match="nothing was lost"):
            outbox.append([make_read(2)])
    disk.remount("rw")
    assert outbox.append([make_read(2)]) == [2]
    assert waiting(outbox.path) == [make_read(1).read_id, make_read(2).read_id]
    outbox.close()
