"""A release that migrates the outbox is rolled back and comes again: nothing is lost, the older release works."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from agent.buffer import Limits, OutboxReader, adopt, counters, open_outbox
from agent.buffer.adopt import OLDER_NAME
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxError
from agent.sync.encoder import RecordEncoder
from protocol.seal import Opener, Sealer, SigningKey, StationKey, load_keyring
from protocol.seal.series import Proof, examine
from protocol.wire.released import released_registry
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, make_read
from tests.last_release.files import AGENCY, HERE, RELEASE, UNIT, copy_of, environment

OUTBOXES = ("outbox-open", "outbox-sealed")
LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)


class Unit:
    """The folder of a unit, opened by either release."""

    def __init__(self, tmp_path, name):
        self.sealed = name == "outbox-sealed"
        self.keys = copy_of("keys", tmp_path)
        self.folder = copy_of(name, tmp_path)
        self.station = tmp_path / "station.db"

    def open(self):
        sealer = Sealer(
            UNIT, SigningKey.load(self.keys / "unit.key"), StationKey.load_public(self.keys / "station.pub")
        )
        encoder = RecordEncoder(UNIT, AGENCY, BOOT[::-1], released_registry(), sealer if self.sealed else None)
        return open_outbox(self.folder, encoder, limits=LIMITS)

    def append(self, *numbers):
        outbox, _ = self.open()
        seqs = outbox.append([make_read(number, pictures=()) for number in numbers])
        outbox.close()
        return seqs

    def older_appends(self, first, count):
        """The older release starts after the roll-back, and makes reads."""
        keys = self.keys if self.sealed else "-"
        done = subprocess.run(
            [sys.executable, str(HERE / "append.py"), str(self.folder), str(keys), str(first), str(count)],
            env=environment(RELEASE),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [int(seq) for seq in done.stdout.split()]

    def waiting(self):
        reader = OutboxReader(self.folder / FILE_NAME)
        rows = reader.records(after_seq=0, limit=1000)
        reader.close()
        return rows


@pytest.fixture(params=OUTBOXES)
def unit(request, tmp_path):
    return Unit(tmp_path, request.param)


def test_older_release_starts_after_a_roll_back(unit):
    """It finds no file it would refuse, and gives out no number twice."""
    mine = unit.append(100, 101)
    assert not (unit.folder / OLDER_NAME).exists()
    theirs = unit.older_appends(200, 3)
    assert min(theirs) > max(mine)


def test_records_of_both_releases_are_sent_after_the_next_update(unit):
    """Each once, by their own numbers; the next number follows the last; the station misses nothing."""
    mine = unit.append(100, 101)
    theirs = unit.older_appends(200, 3)
    (last,) = unit.append(102)
    assert last == max(theirs) + 1
    assert not list(unit.folder.glob(f"{OLDER_NAME}*"))
    rows = unit.waiting()
    seqs = [row.seq for row in rows]
    assert len(seqs) == len(set(seqs))
    assert {*mine, *theirs, last} <= set(seqs)
    opener = Opener(load_keyring(unit.keys)) if unit.sealed else None
    store = open_store(unit.station)
    ingest = Ingest(store, "s", lambda: 1_790_000_000_000_000, opener=opener)
    for row in rows:
        ingest.handle(f"lpr/1/{UNIT}/up/read", row.payload)
    assert ingest.counts.reads + ingest.counts.others == len(rows)
    assert [gap for gap in store.gaps(UNIT) if not gap.explained and gap.first > min(mine)] == []
    if unit.sealed:
        proofs = [Proof(row.evidence, row.salt, row.record) for row in store.each_evidence(UNIT)]
        (found,) = examine(proofs, {UNIT: load_keyring(unit.keys).units[UNIT].values()})
        assert (found.changed, found.broken, found.unknown_key) == ([], [], [])
    store.close()


def test_pictures_of_the_older_release_are_taken_over(unit):
    unit.append(100)
    unit.older_appends(200, 3)
    outbox, report = unit.open()
    stats = outbox.stats()
    outbox.close()
    assert "taken over" in report.problems[0]
    reader = OutboxReader(unit.folder / FILE_NAME)
    assert reader.stats() == stats
    reader.close()
    rows = sqlite3.connect(unit.folder / FILE_NAME).execute("SELECT count(*) FROM jpegs").fetchone()
    assert rows[0] == stats.plates + stats.overviews + stats.held


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
def test_a_cut_short_takeover_is_repeated(unit, monkeypatch, cut):
    """Nothing is lost and nothing is there twice, wherever the power goes."""
    mine = unit.append(100, 101)
    theirs = unit.older_appends(200, 3)

    def fails(*_, **__):
        raise OSError(5, "cut")

    with monkeypatch.context() as patch:
        if cut == "before the commit":
            patch.setattr(counters, "store", fails)
        else:
            patch.setattr(adopt, "sync_folder", fails)
            patch.setattr("pathlib.Path.unlink", fails)
        with pytest.raises(OutboxError):
            unit.open()
    (last,) = unit.append(102)
    assert last == max(theirs) + 1
    seqs = [row.seq for row in unit.waiting()]
    assert len(seqs) == len(set(seqs))
    assert {*mine, *theirs, last} <= set(seqs)


def test_a_damaged_file_of_the_older_release_costs_what_cannot_be_read(unit):
    """The rest is announced, and the unit reads on."""
    unit.append(100, 101)
    theirs = unit.older_appends(200, 40)
    path = unit.folder / OLDER_NAME
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    outbox, report = unit.open()
    (seq,) = outbox.append([make_read(102, pictures=())])
    outbox.close()
    assert seq > max(theirs)
    assert "taken over" in report.problems[0]
    assert "tomb/1" in {row.schema for row in unit.waiting()}
