"""An update on trial is rolled back to the last release, and comes again later: no record is lost or doubled.

The last release is its own code, in a process; the station is the present one.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from agent.buffer import Limits, OutboxReader, Receipted, adopt, open_outbox, schema
from agent.buffer.damage import SUSPECT_NAME
from agent.buffer.opening import MARK_NAME, opens_slowly
from agent.buffer.outbox import FILE_NAME
from agent.buffer.recount import contradictions
from agent.buffer.rescue import RESCUE_NAME
from agent.buffer.rows import SENDING
from agent.errors import OutboxVersionError
from agent.sync.encoder import RecordEncoder
from protocol.seal import Opener, Sealer, SigningKey, StationKey, load_keyring
from protocol.seal.series import examine, read_series
from protocol.wire.codec import decode, encode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry
from station.asker import Asker
from station.ingest import Ingest
from station.query import Query
from station.store import open_store
from tests.builders import BOOT, make_read
from tests.last_release.files import AGENCY, EXPECTED, HERE, RELEASE, UNIT, copy_of, environment

pytestmark = pytest.mark.slow

OUTBOXES = ("outbox-open", "outbox-sealed")
LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)
OLDER = adopt.OLDER_NAME
NOW_US = 1_790_000_000_000_000


class Unit:
    """Its folder, and the two releases that work on it."""

    def __init__(self, state, keys, name, high=0):
        self.state, self.keys, self.name = state, keys, name
        self.high = high
        """The mark at the rollback: the last release counts on above it."""

    def present(self):
        return open_outbox(self.state, self.encoder(), limits=LIMITS)

    def encoder(self):
        station = StationKey.load_public(self.keys / "station.pub")
        sealer = Sealer(UNIT, SigningKey.load(self.keys / "unit.key"), station)
        sealed = self.name == "outbox-sealed"
        return RecordEncoder(UNIT, AGENCY, BOOT[::-1], released_registry(), sealer if sealed else None)

    def append(self, *numbers):
        outbox, report = self.present()
        assert report.moved_to is None, report
        seqs = outbox.append([make_read(number) for number in numbers])
        outbox.close()
        return seqs

    def last_release(self, first, count):
        keys = self.keys if self.name == "outbox-sealed" else "-"
        done = subprocess.run(
            [sys.executable, HERE / "append.py", self.state, str(keys), str(first), str(count)],
            env=environment(RELEASE),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def mark(self):
        return int((self.state / MARK_NAME).read_bytes())

    def held(self):
        """Numbers with ids, waiting or refused, and pictures with whether their bytes are there."""
        outbox, report = self.present()
        found = self.held_by(outbox)
        outbox.close()
        return found, report

    @staticmethod
    def held_by(outbox):
        reader = OutboxReader(outbox.path)
        rows = [*reader.records(after_seq=0, limit=1000), *(row for row, _ in reader.quarantined(limit=1000))]
        pictures = [
            (picture.read_id, picture.kind, len(reader.jpeg(picture.pic)) == picture.size_bytes)
            for lane in SENDING
            for picture in reader.pictures(lane, after_pic=0, limit=1000)
        ]
        reader.close()
        assert contradictions(outbox._con) == ""
        return sorted((row.seq, row.record_id) for row in rows), sorted(pictures)

    def copy(self, folder):
        return Unit(Path(shutil.copytree(self.state, folder)), self.keys, self.name, self.high)


@pytest.fixture(scope="module", params=OUTBOXES)
def rolled_back(request, tmp_path_factory):
    """The last release's outbox, carried on by the present release (13, 14), then again by the last one."""
    folder = tmp_path_factory.mktemp("rolled")
    unit = Unit(copy_of(request.param, folder), copy_of("keys", folder), request.param)
    assert unit.append(100, 101) == [13, 14]
    before = unit.high = unit.mark()
    told = unit.last_release(200, 2)
    assert told == {"created": True, "moved_to": None, "seqs": [before + 2, before + 3]}
    told = unit.last_release(202, 1)
    assert told == {"created": False, "moved_to": None, "seqs": [before + 4]}
    assert unit.mark() > before
    return unit


@pytest.fixture
def unit(rolled_back, tmp_path):
    return rolled_back.copy(tmp_path / "state")


def expected(unit):
    """What must be there: the first file's, both reads of the present release, tombstone and reads of the last one."""
    told = EXPECTED[unit.name]
    first = [(row[0], bytes.fromhex(row[2])) for row in told["waiting"]]
    reads = [(13, 100), (14, 101), *((unit.high + 2 + n, 200 + n) for n in range(3))]
    return first, [(seq, number.to_bytes(16, "big")) for seq, number in reads]


def check_whole(unit, found):
    rows, pictures = found
    first, reads = expected(unit)
    assert set(first) <= set(rows)
    assert [number for number, _ in rows] == sorted({number for number, _ in rows})
    ids = [record_id for _, record_id in rows]
    assert len(ids) == len(set(ids))
    assert {record_id for _, record_id in reads} <= set(ids)
    of_reads = [read_id for _, read_id in reads]
    assert len([1 for read_id, _, whole in pictures if read_id in of_reads and whole]) == 2 * len(of_reads)
    assert not (unit.state / OLDER).exists()


def test_update_renames_the_file_and_migrates_it(tmp_path):
    """What is in the write-ahead log comes along, and the last release finds no file that it would refuse."""
    for name in OUTBOXES:
        unit = Unit(copy_of(name, tmp_path), copy_of("keys", tmp_path / name), name)
        before = unit.mark()
        (rows, _), report = unit.held()
        assert (report.created, report.moved_to, report.taken_from) == (False, None, "")
        assert {row[0] for row in EXPECTED[name]["waiting"]} <= {seq for seq, _ in rows}
        assert [path.name for path in sorted(unit.state.glob("outbox*"))] == [FILE_NAME, MARK_NAME]
        assert unit.mark() == before


def test_records_of_both_files_are_there_once(unit):
    assert opens_slowly(unit.state)
    before = unit.mark()
    outbox, report = unit.present()
    assert (report.taken_from, report.taken_records, report.taken_pictures) == (OLDER, 4, 6)
    assert (report.moved_to, report.problems) == (None, ())
    check_whole(unit, unit.held_by(outbox))
    last = max(seq for seq, _ in unit.held_by(outbox)[0])
    assert outbox.append([make_read(300)]) == [last + 1]
    outbox.close()
    assert unit.mark() >= before
    assert not opens_slowly(unit.state)


def told(answers):
    return [decode(payload, Receipt, Nack, PictureStatus) for _, payload in answers]


def send(ingest, outbox, wanted=lambda _: True):
    """Send records; free those with a receipt; return how many."""
    reader = OutboxReader(outbox.path)
    rows = [row for row in reader.records(after_seq=0, limit=1000) if wanted(row)]
    for row in rows:
        answers = told(ingest.handle(f"lpr/1/{UNIT}/up/read", row.payload))
        assert all(isinstance(answer, Receipt) for answer in answers), answers
    reader.close()
    assert outbox.apply([Receipted(tuple((row.seq, row.record_id) for row in rows))]).freed == len(rows)
    return len(rows)


def test_station_stores_all_records_and_the_series_is_right(unit, tmp_path):
    """Late records under the last release's tombstone are stored, receipted, and no longer counted as lost."""
    sealed = unit.name == "outbox-sealed"
    opener = Opener(load_keyring(unit.keys))
    store = open_store(tmp_path / "station.db", open_picture=opener.picture)
    ingest = Ingest(store, "s", lambda: NOW_US, opener=opener, sealed_only=False)
    outbox, _ = unit.present()
    outbox.requeue()
    outbox.append([make_read(300)])
    kept = unit.held_by(outbox)
    send(ingest, outbox, lambda row: row.seq > unit.high)
    query = Query(store, Asker("clerk"), lambda: NOW_US)
    ((before, _),) = query.units()
    late = send(ingest, outbox)
    ((after, gaps),) = query.units()
    assert (before.missing, after.missing) == (0, 0)
    assert (before.evicted - after.evicted, outbox.stats().waiting) == (late, 0)
    numbers = {seq for seq, _ in kept[0]}
    assert not [gap for gap in gaps if numbers & set(range(gap.first, gap.last + 1))]
    reader = OutboxReader(outbox.path)
    for lane in SENDING:
        for picture in reader.pictures(lane, after_pic=0, limit=1000):
            data = reader.jpeg(picture.pic)
            chunk = PictureChunk(
                unit=UNIT,
                boot_id=BOOT,
                read_id=picture.read_id,
                kind=picture.kind,
                sha256=picture.sha256,
                total_bytes=len(data),
                offset=0,
                data=data,
            )
            ingest.handle(f"lpr/1/{UNIT}/up/pic", encode(chunk))
    reader.close()
    for number in (100, 101, 200, 201, 202, 300):
        assert query.record(UNIT, number.to_bytes(16, "big")).pictures == 2
    if sealed:
        series = tmp_path / "series.lpr"
        with series.open("wb") as out:
            query.export_evidence(out, load_keyring(unit.keys))
        with series.open("rb") as file:
            _, proofs = read_series(file)
            keys = {UNIT: list(load_keyring(unit.keys).units[UNIT].values())}
            (findings,) = examine(proofs, keys)
        assert findings.is_right, findings
        assert findings.restarts == [unit.high + 1]
    outbox.close()
    store.close()


class PowerCut(BaseException):
    """Raised at a step; the disk as it was then is in a copy."""


def cut_at(monkeypatch, unit, step, target):
    """Open, and lose power behind the ``step``-th change of names, file or mark; None when there are fewer."""
    steps = count(1)

    def cutting(done):
        def cut(*arguments, **named):
            result = done(*arguments, **named)
            if next(steps) == step:
                shutil.copytree(unit.state, target)
                raise PowerCut
            return result

        return cut

    with monkeypatch.context() as patch:
        for owner, name in (
            (Path, "replace"), (Path, "rename"), (Path, "unlink"), (adopt, "_checkpoint"), (schema, "migrate"),
            (adopt.TakeOver, "_commit"), (adopt, "sync_folder"), (adopt.counters, "store"),
        ):  # fmt: skip
            patch.setattr(owner, name, cutting(getattr(owner, name)))
        try:
            outbox, _ = unit.present()
        except PowerCut:
            return Unit(target, unit.keys, unit.name, unit.high)
        outbox.close()
    return None


def cuts(monkeypatch, unit, folder):
    """Yield each step with the unit as a cut behind it left it."""
    for step in count(1):
        after = cut_at(monkeypatch, unit.copy(folder / f"{step}"), step, folder / f"cut{step}")
        if after is None:
            return
        yield step, after


def test_power_cut_at_any_step_of_the_take_over(rolled_back, tmp_path, monkeypatch):
    """One record a transaction: the next opening does the rest; so does one after another rollback."""
    monkeypatch.setattr(adopt, "BATCH_BYTES", 1)
    step = 0
    for step, after in cuts(monkeypatch, rolled_back, tmp_path):
        again = after.copy(tmp_path / f"again{step}") if step % 5 == 0 else None
        found, report = after.held()
        assert (report.moved_to, report.problems) == (None, ()), step
        check_whole(after, found)
        if again is not None:
            new = again.last_release(210, 1)
            assert new["moved_to"] is None
            rows = again.held()[0][0]
            check_whole(again, again.held()[0])
            assert (new["seqs"][0], (210).to_bytes(16, "big")) in rows
    assert step > 12, "each of ten rows is a transaction"


@pytest.mark.parametrize("name", OUTBOXES)
def test_power_cut_at_any_step_of_the_rename(tmp_path, monkeypatch, name):
    """The next release to open it is this one or the last one: every record is there in the end."""
    source = Unit(copy_of(name, tmp_path), copy_of("keys", tmp_path), name)
    waiting = {(row[0], bytes.fromhex(row[2])) for row in EXPECTED[name]["waiting"]}
    step = 0
    for step, after in cuts(monkeypatch, source, tmp_path):
        again = after.copy(tmp_path / f"again{step}")
        (rows, _), report = after.held()
        assert (report.moved_to, waiting <= set(rows)) == (None, True), step
        (seq,) = again.last_release(210, 1)["seqs"]
        (rows, _), report = again.held()
        assert (report.moved_to, {*waiting, (seq, (210).to_bytes(16, "big"))} <= set(rows)) == (None, True), step
    assert step > 3


def test_damaged_older_file_costs_only_what_cannot_be_read(unit):
    """The rest is announced, the file is kept, and no number is given out twice."""
    first, reads = expected(unit)
    path = unit.state / OLDER
    con = sqlite3.connect(path)
    (page,) = con.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()
    con.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    before = unit.mark()
    (rows, pictures), report = unit.held()
    assert report.moved_to is None
    assert any("outbox.damaged-1.db" in problem for problem in report.problems)
    assert {*first, *reads} <= set(rows)
    assert len([1 for *_, whole in pictures if whole]) >= 10
    assert max(seq for seq, _ in rows) == before + 1, "the tombstone"
    assert unit.append(300) == [before + 2]


def test_damaged_page_of_records_is_announced(unit):
    """What the page held is named by a tombstone; what can be read of other pages comes along."""
    path = unit.state / OLDER
    unit.last_release(203, 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    before = unit.mark()
    outbox, report = unit.present()
    assert report.taken_records + report.taken_pictures > 60
    assert "outbox.damaged-1.db" in report.problems[0]
    reader = OutboxReader(outbox.path)
    assert reader.records(after_seq=before, limit=9)[0].schema == Tombstone.SCHEMA
    reader.close()
    outbox.close()
    assert unit.append(300)[0] > before + 1


def test_damaged_log_is_remembered_over_a_power_cut(unit, monkeypatch):
    """Closing the file removes its log: what it lost is announced all the same, and its numbers are not used again."""
    monkeypatch.setattr(adopt, "lost_commits", lambda file, _: file.with_name(f"{file.name}-wal").exists())
    after = cut_at(monkeypatch, unit, 2, unit.state.with_name("cut"))
    monkeypatch.setattr(adopt, "lost_commits", lambda *_: False)
    before = after.mark()
    found, report = after.held()
    assert found[0][-1][0] == before + 1, "the tombstone"
    assert (report.taken_records, len(report.problems)) == (4, 1)


def test_rescue_of_the_last_release_that_was_cut_short_is_finished(unit):
    """Its note names the file that it was saving from; the present file is not what it is about."""
    aside = unit.state / "outbox.damaged-1.db"
    (unit.state / OLDER).rename(aside)
    (unit.state / adopt.OLDER_RESCUE_NAME).write_text(aside.name)
    found, report = unit.held()
    assert report.moved_to is None
    check_whole(unit, found)
    assert aside.exists()
    assert not (unit.state / adopt.OLDER_RESCUE_NAME).exists()


def test_rescue_that_was_cut_short_goes_on_after_a_rollback(unit):
    """The present file lay aside when the last release made its own: both are saved."""
    aside = unit.state / "outbox.damaged-1.db"
    (unit.state / FILE_NAME).rename(aside)
    (unit.state / RESCUE_NAME).write_text(aside.name)
    found, report = unit.held()
    assert report.moved_to == str(aside)
    check_whole(unit, found)


def test_older_file_with_other_records_under_the_same_numbers_is_kept(unit):
    """The last release lost power between making its file and counting on above the mark: it began again at 1."""
    for suffix in ("", "-wal", "-shm"):
        (unit.state / f"{OLDER}{suffix}").unlink(missing_ok=True)
    con = schema.connect(unit.state / OLDER)
    schema.migrate(con, schema.MIGRATIONS[:2])
    con.close()
    assert unit.last_release(200, 14)["seqs"] == list(range(1, 15))
    first, reads = expected(unit)
    quarantined = [seq for seq, _ in EXPECTED[unit.name]["quarantined"]]
    (rows, _), report = unit.held()
    assert {*first, *reads[:2]} <= set(rows)
    *rows, tombstone = rows
    taken = {seq for seq, _ in rows} - {seq for seq, _ in (*first, *reads[:2])} - set(quarantined)
    assert taken == {1, 2, 3}
    assert any("outbox.damaged-1.db" in problem for problem in report.problems)
    assert any(f"{14 - len(taken)} records" in problem for problem in report.problems)
    con = sqlite3.connect(unit.state / "outbox.damaged-1.db")
    assert con.execute("SELECT count(*) FROM records").fetchone() == (14,)
    con.close()
    assert unit.append(300) == [tombstone[0] + 1]


def test_file_of_a_newer_version_under_the_older_name_is_refused(unit):
    con = sqlite3.connect(unit.state / OLDER)
    con.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    con.close()
    with pytest.raises(OutboxVersionError):
        unit.present()


def test_names_beside_the_file_follow_its_name():
    """So that the last release takes no note about the present file for one about its own."""
    stem = FILE_NAME.removesuffix(".db")
    assert (f"{stem}.rescue", f"{stem}.suspect") == (RESCUE_NAME, SUSPECT_NAME)
    assert FILE_NAME != OLDER
