"""Damage beyond single pages: the header, the log as a whole, older copies, and folders in the place of files."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.buffer.mark import LATEST_NAME
from agent.buffer.opening import MARK_NAME
from agent.buffer.outbox import FILE_NAME
from protocol.wire.enums import Lost, LostReason
from protocol.wire.record import decode_record
from protocol.wire.records.tombstone import Tombstone
from protocol.wire.released import released_registry
from tests.builders import make_encoder, make_picture, make_read

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Limits(min_free_bytes=0, ballast_bytes=0)
TYPES = released_registry()
N_READS = 12
NEXT = 9_000


def opened(folder: Path):
    return open_outbox(folder, make_encoder(), limits=SMALL)


def fill(outbox) -> None:
    outbox.append(
        [make_read(n, pictures=(make_picture(content=b"p%d" % n * 900),)) for n in range(1, N_READS + 1)]
    )


@pytest.fixture
def folded(tmp_path):
    """A folder as it is after the agent ended."""
    folder = tmp_path / "unit"
    outbox, _ = opened(folder)
    fill(outbox)
    outbox.close()
    return folder


@pytest.fixture
def logged(tmp_path):
    """A folder as it is after a power cut: everything is in the log."""
    running, folder = tmp_path / "running", tmp_path / "unit"
    outbox, _ = opened(running)
    fill(outbox)
    shutil.copytree(running, folder)
    outbox.close()
    return folder


def numbers(folder: Path) -> tuple[set[int], set[int]]:
    """Numbers of the reads that are there, and of those that were announced as lost."""
    reader = OutboxReader(folder / FILE_NAME)
    rows = reader.records(after_seq=0, limit=1000)
    reader.close()
    bodies = [decode_record(row.payload, TYPES).body for row in rows]
    lost = [body for body in bodies if isinstance(body, Tombstone)]
    told = {
        seq
        for body in lost
        if (body.lost, body.reason) == (Lost.RECORD, LostReason.DAMAGE)
        for first, last in body.ranges
        for seq in range(first, last + 1)
    }
    return {row.seq for row in rows if row.schema == "read/1"}, told


def reads_on(folder: Path):
    """Start, add a read, stop, start again; return the report of the first start."""
    outbox, report = opened(folder)
    (seq,) = outbox.append([make_read(NEXT)])
    assert seq > N_READS, "a number was given out again"
    outbox.close()
    again, clean = opened(folder)
    assert clean.moved_to is None
    again.close()
    return report


def nothing_is_silently_lost(folder: Path) -> int:
    """Every read is there or announced; return how many are there."""
    there, told = numbers(folder)
    wanted = set(range(1, N_READS + 1))
    assert wanted <= there | told
    assert not there & told
    return len(wanted & there)


def put(path: Path, at: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (0, b"X"),
        (16, b"\x02\x00"),
        (18, b"\x03"),
        (19, b"\x03"),
        (20, b"\xff"),
        (21, b"\x00"),
        (28, b"\x00\x00\x00\x01"),
        (28, b"\xff\xff\xff\xff"),
        (32, b"\x00\x00\x00\x02"),
        (44, b"\x00\x00\x00\x09"),
        (56, b"\x00\x00\x00\x02"),
        (60, b"\x00\x00\x00\x01"),
        (60, b"\x00\x00\x00\x00"),
        (60, b"\x04\x00\x00\x04"),
        (60, b"\x80\x00\x00\x04"),
        (68, b"ELSE"),
        (100, b"\x02"),
        (103, b"\x00\x00"),
        (0, bytes(4096)),
        (0, b"\xff" * 4096),
    ],
    ids=lambda value: str(value)[:24],
)
def test_damaged_first_page_loses_no_read(folded, at, content):
    """Header and schema are the same in every outbox; the rows are on other pages."""
    put(folded / FILE_NAME, at, content)
    reads_on(folded)
    assert nothing_is_silently_lost(folded) == N_READS


def test_the_first_page_as_it_was_is_kept(folded):
    put(folded / FILE_NAME, 0, b"broken")
    report = reads_on(folded)
    kept = folded / f"{report.moved_to.rsplit('/', 1)[-1]}.page-1"
    assert kept.read_bytes().startswith(b"broken")


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def scrambled(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def made_a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "something").write_text("of somebody")


LOG_DAMAGE = (removed, emptied, halved, zeroed, scrambled, made_a_folder)


@pytest.mark.parametrize("damage", LOG_DAMAGE, ids=lambda damage: damage.__name__)
def test_lost_log_is_announced_and_its_numbers_are_not_used_again(logged, damage):
    """SQLite takes a log that it cannot read for none."""
    damage(logged / f"{FILE_NAME}-wal")
    report = reads_on(logged)
    assert re.search(r"lost with the log|the log is damaged", report.damage)
    nothing_is_silently_lost(logged)


@pytest.mark.parametrize("damage", LOG_DAMAGE, ids=lambda damage: damage.__name__)
def test_index_of_the_log_is_made_anew(logged, damage):
    damage(logged / f"{FILE_NAME}-shm")
    assert reads_on(logged).moved_to is None
    assert nothing_is_silently_lost(logged) == N_READS


def test_older_copy_of_the_file_is_noticed(tmp_path):
    """Put back from a backup: what came after it is announced, and its numbers are not used again."""
    folder, copy = tmp_path / "unit", tmp_path / "copy.db"
    outbox, _ = opened(folder)
    outbox.append([make_read(n) for n in range(1, 5)])
    outbox.close()
    shutil.copy(folder / FILE_NAME, copy)
    outbox, _ = opened(folder)
    outbox.append([make_read(n) for n in range(5, N_READS + 1)])
    outbox.close()
    shutil.copy(copy, folder / FILE_NAME)
    assert reads_on(folder).moved_to is not None
    assert nothing_is_silently_lost(folder) == 4


@pytest.mark.parametrize(
    "name",
    [
        FILE_NAME, MARK_NAME, LATEST_NAME, f"{FILE_NAME}-journal", "outbox-3.suspect", "outbox-3.rescue", "ballast",
        "outbox.db", "outbox.rescue", "outbox.suspect",
    ],
)  # fmt: skip
def test_folder_in_the_place_of_a_file_is_moved_aside(folded, name):
    """It is kept, and the unit reads on."""
    made_a_folder(folded / name)
    report = reads_on(folded)
    assert (folded / f"{name}.other-1" / "something").read_text() == "of somebody"
    assert any(name in problem for problem in report.problems)
    assert nothing_is_silently_lost(folded) == (0 if name == FILE_NAME else N_READS)


def test_pipe_in_the_place_of_the_file_does_not_stop_the_unit(folded):
    (folded / FILE_NAME).unlink()
    os.mkfifo(folded / FILE_NAME)
    reads_on(folded)
    assert nothing_is_silently_lost(folded) == 0


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"-5", b"9" * 400, str(2**63).encode(), b"12 00000000", b"\xff" * 9]
)
@pytest.mark.parametrize("name", [MARK_NAME, LATEST_NAME])
def test_damaged_number_file_is_ignored(folded, name, content):
    (folded / name).write_bytes(content)
    assert reads_on(folded).moved_to is None
    assert nothing_is_silently_lost(folded) == N_READS


def test_latest_number_is_known_without_the_mark(folded):
    """Both files lost but the small one: no number is used again."""
    (folded / FILE_NAME).unlink()
    (folded / MARK_NAME).unlink()
    reads_on(folded)
    assert nothing_is_silently_lost(folded) == 0
