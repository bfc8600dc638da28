"""Damaged outboxes: every page zeroed, bit-flipped and truncated; readable rows are salvaged, and the unit works on."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.buffer import (
    Limits,
    NewRecord,
    Outbox,
    OutboxReader,
    OutboxRow,
    PicturePriority,
    Quarantined,
    Receipted,
    open_outbox,
    opening,
)
from agent.buffer.damage import SUSPECT_NAME, note_damage, note_proven, read_mark
from agent.buffer.mark import LATEST_NAME
from agent.buffer.opening import RESCUE_NAME, opens_slowly
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxDamagedError, OutboxDiskError
from protocol.errors import WireError
from protocol.wire.enums import Lost, LostReason, PictureKind
from protocol.wire.record import decode_record
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry
from tests.builders import make_encoder, make_picture, make_read, make_time_anchor

if TYPE_CHECKING:
    from pathlib import Path

TYPES = released_registry()
SMALL = Limits(min_free_bytes=0, ballast_bytes=0)
PAGE = 4096
NEXT = 9_000
MAX_STARTS = 6
MAX_TRIES = 12


def heavy_read(number: int, *, extra_bytes: int = 32, picture_bytes: int = 64):
    """Overflow pages in records by a key of a version to come, in pictures by size."""
    fill = number.to_bytes(4, "big")
    return make_read(
        number,
        x_extra=fill * (extra_bytes // 4),
        pictures=(
            make_picture(content=fill * (picture_bytes // 4)),
            make_picture(PictureKind.OVERVIEW, content=b"s" + fill * (picture_bytes // 2)),
        ),
    )


def few(outbox):
    outbox.append([*(heavy_read(n) for n in range(1, 12)), NewRecord(make_time_anchor())])


def large_records(outbox):
    outbox.append([heavy_read(n, extra_bytes=8_000) for n in range(1, 15)])


def large_pictures(outbox):
    outbox.append([heavy_read(n, picture_bytes=9_000) for n in range(1, 9)])


def many(outbox):
    for group in range(0, 400, 50):
        outbox.append([heavy_read(n) for n in range(group + 1, group + 51)])


def gaps_and_refused(outbox):
    """As after a while on the road: most receipted, some refused, what waits far above number 1."""
    for group in range(0, 240, 40):
        outbox.append([heavy_read(n) for n in range(group + 1, group + 41)])
    outbox.apply([Receipted(tuple((n, make_read(n).read_id) for n in range(1, 180) if n % 9))])
    outbox.apply([Quarantined(n, "malformed") for n in range(200, 215)])


SHAPES = {f.__name__: f for f in (few, large_records, large_pictures, many, gaps_and_refused)}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """One folder a shape, each with its log folded in or not."""
    folders = {}
    for name, fill in SHAPES.items():
        folder = tmp_path_factory.mktemp(name)
        outbox, _ = open_outbox(folder, make_encoder(), limits=SMALL)
        fill(outbox)
        # As after a power cut: the files as they are, nothing folded.
        shutil.copytree(folder, folders.setdefault((name, "log"), tmp_path_factory.mktemp("log") / name))
        (folders[name, "log"] / f"{FILE_NAME}-shm").unlink()
        outbox.close()
        folders[name, "folded"] = folder
    return folders


def zeroed(data, page):
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def flipped(data, page):
    at = slice(page * PAGE, (page + 1) * PAGE)
    data[at] = bytes(byte ^ 0xFF for byte in data[at])


def nibbled(data, page):
    """One bit in every 97th byte: headers, pointers, texts, numbers."""
    for at in range(page * PAGE + page % 97, min((page + 1) * PAGE, len(data)), 97):
        data[at] ^= 1 << (at % 8)


def cut_off(data, page):
    del data[page * PAGE + 100 * (page % 3) :]


KINDS = (zeroed, flipped, nibbled, cut_off)


@dataclass(frozen=True, slots=True)
class Held:
    """What a file holds, read row by row."""

    records: dict[int, bytes]
    refused: dict[int, bytes]
    pictures: frozenset[bytes]


def held(path: Path) -> Held:
    """Ask for every key by itself: what SQLite gives for it, if it is whole."""
    con = sqlite3.connect(path)
    con.execute("PRAGMA writable_schema = ON")
    con.text_factory = bytes
    encoder = make_encoder()

    def ask(query: str, key: int):
        try:
            return con.execute(query, (key,)).fetchone()
        except sqlite3.Error:
            return None

    rows: dict[str, dict[int, bytes]] = {"records": {}, "quarantine": {}}
    for table, found in rows.items():
        for seq in range(1, 450):
            row = ask(f"SELECT seq, schema, id, payload FROM {table} WHERE seq = ?", seq)  # noqa: S608 - words of ours
            if row and [type(value) for value in row] == [int, bytes, bytes, bytes]:
                whole = OutboxRow(row[0], row[1].decode(errors="replace"), row[2], row[3])
                if row[0] == seq and encoder.intact(whole):
                    found[seq] = row[3]
    shas = set()
    for pic in range(1, 900):
        row = ask("SELECT lane, kind, seq, read_id, sha FROM pictures WHERE pic = ?", pic)
        jpeg = ask("SELECT jpeg FROM jpegs WHERE pic = ?", pic)
        if row and jpeg and [type(value) for value in row] == [int, bytes, int, bytes, bytes]:
            known = row[1].decode(errors="replace") in set(PictureKind)
            if known and isinstance(jpeg[0], bytes) and make_picture(content=jpeg[0]).sha256 == row[4]:
                shas.add(row[4])
    con.close()
    return Held(rows["records"], rows["quarantine"], frozenset(shas))


def work(outbox: Outbox, reader: OutboxReader) -> None:
    """A round of all that a unit does: send records and pictures, take answers, append."""
    reader.stats()
    rows = reader.records(after_seq=0, limit=10_000)
    for priority in reader.priorities():
        reader.records_of(priority, after_seq=0, limit=10_000)
    for priority in PicturePriority:
        for picture in reader.pictures(priority, after_pic=0, limit=10_000):
            reader.jpeg(picture.pic)
    reader.quarantined(limit=10_000)
    outbox.apply([Receipted(((rows[-1].seq, b"another id"),))] if rows else [])
    outbox.append([heavy_read(NEXT)])
    outbox.stats()


def runs_well(outbox: Outbox) -> bool:
    """Work as one process does, with a moment's patience; False when it had to end."""
    reader = OutboxReader(outbox.path)
    try:
        for _ in range(MAX_TRIES):
            try:
                work(outbox, reader)
            except OutboxDiskError:
                continue
            except OutboxDamagedError:
                return False
            return True
    finally:
        reader.close()
    return pytest.fail("it stands still")


def live(folder: Path) -> Outbox:
    """Start, work, and start again when the process had to end, as systemd does."""
    for _ in range(MAX_STARTS):
        outbox, _ = open_outbox(folder, make_encoder(), limits=SMALL)
        if runs_well(outbox):
            return outbox
        outbox._let_go()
    return pytest.fail("it starts for ever")


def announced(rows: list[OutboxRow]) -> set[int]:
    bodies = [decode_record(row.payload, TYPES).body for row in rows if row.schema == Tombstone.SCHEMA]
    announced = [body for body in bodies if isinstance(body, Tombstone)]
    return {
        seq
        for tombstone in announced
        if tombstone.reason is LostReason.DAMAGE and tombstone.lost is Lost.RECORD
        for first, last in tombstone.ranges
        for seq in range(first, last + 1)
    }


def number_inside(row: OutboxRow) -> int:
    """The number that the record itself bears: the one in the table may be what was damaged, unseen."""
    try:
        return decode_record(row.payload, TYPES).envelope.seq
    except WireError:
        return row.seq


def check_lives(source: Path, folder: Path, kind, page: int) -> None:
    """Damage a page of a copy; every readable row is saved, the rest announced, and the unit works on."""
    shutil.copytree(source, folder)
    path = folder / FILE_NAME
    before = held(shutil.copytree(source, folder.with_name("whole")) / FILE_NAME)
    data = bytearray(path.read_bytes())
    kind(data, page)
    path.write_bytes(data)
    readable = held(shutil.copytree(folder, folder.with_name("damaged")) / FILE_NAME)
    outbox = live(folder)
    now = held(path)
    assert readable.records.items() <= now.records.items()
    assert readable.refused.items() <= (now.refused | now.records).items()
    assert readable.pictures <= now.pictures
    reader = OutboxReader(path)
    rows = reader.records(after_seq=0, limit=10_000)
    refused = {row.seq for row, _ in reader.quarantined(limit=10_000)}
    told = announced(rows)
    there = {row.seq for row in rows} | refused | set(map(number_inside, rows))
    assert (before.records | before.refused).keys() <= told | there
    assert not told & {row.seq for row in rows}, "announced and there"
    assert sum(row.record_id == heavy_read(NEXT).read_id for row in rows) >= 1
    assert rows[-1].seq > max(before.records | before.refused)
    assert reader.stats().next_seq == rows[-1].seq + 1
    reader.close()
    outbox.close()
    clean, report = open_outbox(folder, make_encoder(), limits=SMALL)
    assert report.moved_to is None
    clean.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", ["folded", "log"])
@pytest.mark.parametrize("shape", ["few"])
def test_damage_of_any_page_of_a_small_file(shapes, tmp_path, shape, state, kind):
    """Every page, one after the other."""
    source = shapes[shape, state]
    for page in range((source / FILE_NAME).stat().st_size // PAGE):
        check_lives(source, tmp_path / f"{page}" / "unit", kind, page)


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    state=st.sampled_from(["folded", "log"]),
    kind=st.sampled_from(KINDS),
    place=st.floats(0, 1, exclude_max=True),
)
def test_damage_of_any_page_of_larger_files(shapes, tmp_path_factory, *, shape, state, kind, place):
    """Large records, large pictures, many rows, gaps and quarantined ones; with and without a checkpoint."""
    source = shapes[shape, state]
    page = int((source / FILE_NAME).stat().st_size // PAGE * place)
    check_lives(source, tmp_path_factory.mktemp("case") / "unit", kind, page)


@pytest.mark.slow
def test_damage_of_any_page_of_the_wal(tmp_path):
    """SQLite silently ends the log at the damage: what was committed after it is announced anyway."""
    folder = tmp_path / "unit"
    outbox, _ = open_outbox(folder, make_encoder(), limits=SMALL)
    log = f"{FILE_NAME}-wal"
    committed = [outbox.append([heavy_read(n)])[0] for n in range(1, 8)]
    last_group = (folder / log).stat().st_size
    committed += outbox.append([heavy_read(8)])
    size = (folder / log).stat().st_size
    frames = range(32 + 24 + 100, size, PAGE + 24)
    for at in [4, *(at for at in frames if at < last_group)]:
        copy = tmp_path / f"{at}"
        shutil.copytree(folder, copy)
        data = bytearray((copy / log).read_bytes())
        data[at] ^= 0xFF
        (copy / log).write_bytes(data)
        (copy / f"{FILE_NAME}-shm").unlink()
        again = live(copy)
        reader = OutboxReader(again.path)
        rows = reader.records(after_seq=0, limit=10_000)
        assert set(committed) <= announced(rows) | {row.seq for row in rows}
        assert rows[-1].seq > committed[-1], "a number is given out twice"
        reader.close()
        again.close()
    outbox.close()


def test_torn_last_transaction_is_not_damage(tmp_path):
    """A power cut while the log is written: its end is torn, and nothing is moved aside."""
    folder, copy = tmp_path / "unit", tmp_path / "copy"
    outbox, _ = open_outbox(folder, make_encoder(), limits=SMALL)
    outbox.append([heavy_read(1)])
    before = (folder / f"{FILE_NAME}-wal").stat().st_size
    latest = (folder / LATEST_NAME).read_bytes()
    outbox.append([heavy_read(2)])
    shutil.copytree(folder, copy)
    outbox.close()
    (copy / f"{FILE_NAME}-shm").unlink()
    # Written only after the commit.
    (copy / LATEST_NAME).write_bytes(latest)
    with (copy / f"{FILE_NAME}-wal").open("r+b") as log:
        log.seek(before + 24 + 7)
        log.write(b"torn")
    again, report = open_outbox(copy, make_encoder(), limits=SMALL)
    assert (report.moved_to, again.stats().reads) == (None, 1)
    again.close()


def page_of(data: bytearray, number: int) -> int:
    """The page where the record of a read is: its id with the record behind it."""
    return data.index(make_read(number).read_id + b"\xde") // PAGE


def test_damage_found_by_the_reader_is_handled_at_the_next_start(tmp_path):
    """The writer never reads the page: the reader's mark is enough; five failures make it certain."""
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    many(outbox)
    outbox.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    zeroed(data, page_of(data, 200))
    path.write_bytes(data)
    outbox, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is None, "nothing has met it yet"
    reader = OutboxReader(outbox.path)
    for expected in [OutboxDiskError] * 4 + [OutboxDamagedError]:
        with pytest.raises(expected) as met:
            reader.records(after_seq=0, limit=10_000)
        assert type(met.value) is expected
        assert "card" not in str(met.value)
        mark = read_mark(tmp_path)
        assert mark is not None
        assert (mark.seen, mark.certain) == (True, expected is OutboxDamagedError)
    reader.close()
    outbox.close()
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is not None
    assert 380 < report.salvaged_records < 400
    again.close()


def test_damaged_first_page_of_records_is_repaired_at_the_first_start(tmp_path):
    """What the counters need is read at the opening, so that the first start repairs it."""
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    many(outbox)
    outbox.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    zeroed(data, page_of(data, 1))
    path.write_bytes(data)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.moved_to is not None
    assert again.stats().reads == report.salvaged_records > 380
    again.close()


def test_file_is_replaced_if_full_checks_miss_certain_damage(tmp_path):
    """Certain damage that a full check does not find: at the third time the file is replaced."""
    outcomes = []
    for _ in range(5):
        outbox, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
        outcomes.append(report.moved_to is not None)
        outbox.append([make_read(len(outcomes))])
        outbox.close()
        note_damage(tmp_path, "odd", certain=True)
    assert outcomes == [False, False, False, True, False]


def test_damage_mark_is_removed_after_a_run_without_damage(tmp_path):
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    outbox.close()
    note_damage(tmp_path, "once", certain=True)
    for expected in (False, None):
        outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
        outbox.close()
        mark = read_mark(tmp_path)
        assert (mark and mark.seen) is expected
    assert not (tmp_path / SUSPECT_NAME).exists()


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"/etc", b"outbox.damaged-7.db"])
def test_torn_rescue_note_loses_nothing(tmp_path, note):
    """A power cut before the note was complete: the existing file is salvaged, nothing else is changed."""
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    few(outbox)
    outbox.close()
    (tmp_path / RESCUE_NAME).write_bytes(note)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert report.salvaged_records == 12
    assert again.stats().reads == 11
    again.close()


@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b"{", b'{"seen": true, "more": 1}', bytes(64)])
def test_torn_damage_mark_causes_a_full_check(tmp_path, content):
    """Any content of the mark causes a full check, which finds nothing."""
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    few(outbox)
    outbox.close()
    (tmp_path / SUSPECT_NAME).write_bytes(content)
    assert opens_slowly(tmp_path)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert (report.moved_to, again.stats().reads, opens_slowly(tmp_path)) == (None, 11, False)
    again.close()


def test_rescue_on_a_full_disk_saves_all_records_and_reports_lost_pictures(tmp_path, monkeypatch):
    """Ballast and earlier damaged files are deleted first; then pictures are dropped, announced and reported."""
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=4096))
    few(outbox)
    outbox.close()
    (tmp_path / "outbox.damaged-1.db").write_bytes(b"older")
    note_proven(tmp_path, "met twice")
    monkeypatch.setattr(opening, "free_bytes", lambda _: 1000)
    again, report = open_outbox(tmp_path, make_encoder(), limits=SMALL)
    assert (report.salvaged_records, report.salvaged_pictures, report.lost_pictures) == (12, 0, 22)
    assert not (tmp_path / "outbox.damaged-1.db").exists()
    assert any("too full for all readable pictures" in problem for problem in report.problems)
    reader = OutboxReader(again.path)
    rows = [row for row in reader.records(after_seq=0, limit=99) if row.schema == Tombstone.SCHEMA]
    announced = [decode_record(row.payload, TYPES).body for row in rows]
    told = {tombstone.lost: tombstone.ranges for tombstone in announced}
    assert told[Lost.PLATE] == told[Lost.OVERVIEW] == ((1, 11),)
    reader.close()
    again.close()
