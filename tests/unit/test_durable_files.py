"""Small files that must survive a power cut: synced, then renamed into place, then the folder synced (fsync(2))."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agent.buffer import Limits, open_outbox
from agent.buffer import mark as outbox_mark
from agent.sync.transfer import FileKind, FileTransfer, Transfers, Want
from hw import output
from protocol.wire.codec import encode
from protocol.wire.control.transfer import FileOffer, FilePart
from provision import pki
from tests.builders import BOOT, make_encoder
from updater import releases

DATA = b"content"


@pytest.fixture
def steps(monkeypatch):
    """What is synced and renamed, in order."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle):
        done.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def renamed(self, target):
        done.append(("rename", Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    return done


def write_output(path, data):
    with output.output(path) as file:
        file.write(data)


def write_transfer(path, data):
    """A file for the unit, verified and put into place."""
    kind = FileKind("maps", path.parent, path.name, 100, lambda _: Want.NOW, verify=lambda _: None)
    transfers = Transfers("unit-07", (FileTransfer(kind, unit="unit-07", boot_id=BOOT, timeout_s=1),))
    sha256 = hashlib.sha256(data).digest()
    offer = FileOffer(
        unit="unit-07", release=1, sha256=sha256, size_bytes=len(data), attempt=0, parts=(), kind="maps"
    )
    transfers.offered("maps", encode(offer))
    transfers.next_request(1, metered=False)
    transfers.take(encode(FilePart(unit="unit-07", sha256=sha256, offset=0, data=data)))
    transfers.next_request(2, metered=False)


@pytest.mark.parametrize(
    "write",
    [outbox_mark.write_durably, releases.write_durably, pki.write_private, write_output, write_transfer],
    ids=["outbox", "releases", "authority", "output", "transfer"],
)
def test_contents_then_name_then_folder(tmp_path, steps, write):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    write(path, DATA)
    assert path.read_bytes() == DATA
    at = steps.index(("rename", "file"))
    assert [kind for kind, _ in steps[:at]] == ["sync"]
    assert steps[at + 1] == ("sync", "folder")


def test_a_commit_of_the_outbox_waits_for_the_disk(tmp_path):
    """FULL: with NORMAL the latest commits may be lost (sqlite.org/pragma.html#pragma_synchronous)."""
    outbox = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]
    values = [outbox._con.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
    outbox.close()
    assert values in ([2, b"wal"], [2, "wal"])
