"""An outbox on a disk that fails at random: `LD_PRELOAD=.../fiu_posix_preload.so python -m tests.disk_faults FOLDER`.

libfiu makes writes, reads and fsyncs of this process fail with EIO.  The unit goes on as the agent does: what the disk
did not take is held and given again, a process that had to end is started again.  At the end, without faults, the file
must be whole and hold every read that was reported committed and not receipted, each once, under the number told.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import random
import sqlite3
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from agent.buffer import Limits, Outbox, OutboxReader, Receipted, open_outbox
from agent.errors import OutboxError, OutboxHeldError
from tests.builders import make_encoder, make_read

if TYPE_CHECKING:
    from agent.records import Read

LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)
ALWAYS = -1
MAX_TRIES = 20
POINTS = {
    b"posix/io/sync/fdatasync": 0.06,
    b"posix/io/sync/fsync": 0.06,
    b"posix/io/rw/pwrite": 0.02,
    b"posix/io/rw/pread": 0.0005,
    b"posix/io/file/ftruncate": 0.05,
}


class FailingDisk:
    """libfiu, as it was preloaded into this process."""

    def __init__(self, seed: int) -> None:
        self._fiu = ctypes.CDLL("libfiu.so.0")
        self._fiu.fiu_set_prng_seed(seed)
        assert not self._fiu.fiu_init(0)
        self._fiu.fiu_enable_random.argtypes = (
            ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_float,
        )  # fmt: skip

    def fail(self, *, error: int = errno.EIO, share: float | None = None) -> None:
        """Let each point fail at its own rate, or all writing at ``share``."""
        self.heal()
        for point, rate in POINTS.items():
            if share is None or b"pread" not in point:
                self._fiu.fiu_enable_random(point, ALWAYS, error, 0, share or rate)

    def heal(self) -> None:
        """All is well again."""
        for point in POINTS:
            self._fiu.fiu_disable(point)


class Unit:
    """An outbox, what waits in memory, and what was reported."""

    def __init__(self, folder: Path, disk: FailingDisk, seed: int) -> None:
        self._folder, self._disk = folder, disk
        self._rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._number = 0
        self.held: list[Read] = []
        self.committed: dict[int, bytes] = {}
        self.freed: set[int] = set()
        self.unsure: set[bytes] = set()
        """Reads that a process held when it ended: they may be in the file or not, once."""
        self.seen: Counter[str] = Counter()
        self.outbox = self.open()

    def open(self) -> Outbox:
        """As systemd would: again and again, until the disk is well.  What was in memory is gone."""
        self.unsure |= {read.read_id for read in self.held}
        self.held.clear()
        for tries in count():
            if tries == MAX_TRIES:
                self._disk.heal()
            try:
                outbox, found = open_outbox(self._folder, make_encoder(), limits=LIMITS)
            except OutboxError:
                self.seen["start refused"] += 1
            else:
                assert found.moved_to is None, found
                return outbox
        raise AssertionError("it counts for ever")

    def step(self) -> None:
        what = self._rng.choices(("read", "receipt", "restart"), (6, 4, 0.3))[0]
        before = self.outbox._con
        try:
            getattr(self, f"_{what}")()
        except OutboxHeldError as error:
            self.seen[f"{what}: {_cause(error)}"] += 1
        except OutboxError as error:
            self.seen[f"ended: {_cause(error)}"] += 1
            self.outbox = self.open()
        self.seen["connections"] += self.outbox._con is not before

    def _read(self) -> None:
        for _ in range(self._rng.randint(1, 4)):
            self._number += 1
            self.held.append(make_read(self._number))
        self.take_held()

    def take_held(self) -> None:
        group = self.held[:64]
        seqs = self.outbox.append(group)
        self.committed |= {seq: read.read_id for seq, read in zip(seqs, group, strict=True)}
        assert len(set(seqs)) == len(group)
        del self.held[: len(group)]

    def _receipt(self) -> None:
        waiting = sorted(self.committed.keys() - self.freed)[: self._rng.randint(1, 6)]
        self.outbox.apply([Receipted(tuple((seq, self.committed[seq]) for seq in waiting))])
        self.freed |= set(waiting)

    def _restart(self) -> None:
        try:
            self.outbox.close()
        finally:
            self.outbox = self.open()

    def settle(self) -> None:
        """The disk is well again: everything held is taken, and the books are compared with the file."""
        self._disk.heal()
        while self.held:
            self.take_held()
        self.outbox.close()
        self.outbox = self.open()
        con = sqlite3.connect(self.outbox.path)
        assert con.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        con.close()
        reader = OutboxReader(self.outbox.path)
        rows = [(row.seq, row.record_id) for row in reader.records(after_seq=0, limit=10**6)]
        stats = reader.stats()
        reader.close()
        known = {seq: name for seq, name in self.committed.items() if seq not in self.freed}
        assert known.items() <= set(rows), "a committed read is lost"
        unsure = dict(rows).keys() - known.keys()
        assert {dict(rows)[seq] for seq in unsure} <= self.unsure, (
            "a read is there twice, or back after its receipt"
        )
        assert len({name for _, name in rows}) == len(rows), "a read is there twice"
        assert stats.appended == len(self.committed) + len(unsure) == stats.next_seq - 1, "numbers have a gap"
        assert (stats.reads, stats.receipted, stats.evicted_reads) == (len(rows), len(self.freed), 0)


def _cause(error: OutboxError) -> str:
    return str(getattr(error.__cause__, "sqlite_errorname", type(error.__cause__).__name__))


def main() -> None:
    """Live through the faults; a broken promise raises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    disk = FailingDisk(options.seed)
    unit = Unit(options.folder, disk, options.seed)
    for number in range(options.steps):
        if number % 50 == 0:
            # A card that fails now and then, one that has gone read-only, one that is well.
            (disk.fail, lambda: disk.fail(error=errno.EROFS, share=1.0), disk.heal)[number // 50 % 3]()
        unit.step()
    unit.settle()
    unit.outbox.close()
    print(json.dumps({"reads": len(unit.committed), **dict(sorted(unit.seen.items()))}))


if __name__ == "__main__":
    main()
