"""Another process that looks into a file while it is written takes no commit away: outbox and station's file.

SQLite's locks belong to the process: if a part of it opens and closes the file by itself, all are gone, and the next
other process that closes the file deletes the log under the writer, who goes on writing into a deleted file.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from station.store import open_store
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
LOOK_AT_OUTBOX = """
from agent.buffer import OutboxReader
reader = OutboxReader(Path(sys.argv[1]) / FILE_NAME)
print(reader.stats().reads)
reader.close()
"""
WRITE_OUTBOX = """
from agent.buffer import Limits, open_outbox
from tests.builders import make_encoder, make_read
folder = Path(sys.argv[1])
for start in range(2):
    outbox, _ = open_outbox(folder, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    outbox.append([make_read(2 * start + 1, pictures=())])
    if not start:
        outbox.close()
look()
outbox.append([make_read(4, pictures=())])
"""
LOOK_AT_STATION = """
store = open_store(Path(sys.argv[1]) / "station.db")
print(len(list(store.audit_trail())))
store.close()
"""
WRITE_STATION = """
path = Path(sys.argv[1]) / "station.db"
stores = [open_store(path) for _ in range(2)]  # that of the receiver and that of the pages
for number in range(3):
    if number == 2:
        look()
    with stores[0].transaction():
        stores[0].audit(AuditRow(number, "test", "a", "b", 1))
"""
HEAD = """
import os, signal, subprocess, sys
from pathlib import Path
from agent.buffer.outbox import FILE_NAME
from station.store import AuditRow, open_store
def look():
    subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], check=True)
"""
KILLED = "\nos.kill(os.getpid(), signal.SIGKILL)\n"


def write(folder, program, look):
    """Run a program that writes, lets another process look, writes again, and is killed."""
    words = [sys.executable, "-c", HEAD + program + KILLED, str(folder), HEAD + look]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.split()


def test_reads_after_another_process_looked_into_the_outbox_survive_a_kill(tmp_path):
    assert write(tmp_path, WRITE_OUTBOX, LOOK_AT_OUTBOX) == ["2"]
    reader = OutboxReader(tmp_path / FILE_NAME)
    assert reader.stats().reads == 3
    reader.close()


def test_commits_after_another_process_looked_into_the_stations_file_survive_a_kill(tmp_path):
    assert write(tmp_path, WRITE_STATION, LOOK_AT_STATION) == ["2"]
    store = open_store(tmp_path / "station.db")
    assert len(list(store.audit_trail())) == 3
    store.close()


def test_new_file_of_a_station_is_its_owners_also_behind_a_link(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    open_store(tmp_path / "link.db").close()
    assert (tmp_path / "elsewhere.db").stat().st_mode & 0o777 == 0o600
