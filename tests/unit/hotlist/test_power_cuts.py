"""A process that is killed at any step of an installation leaves the old list or the new one."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from agent.hotlist import store
from agent.hotlist.store import ListsInForce
from agent.records import CharRead, PlateText
from protocol.hotlist.entry import Entry
from protocol.seal.keys import SigningKey
from tests.hotlist_builder import AS_OF_US, make_lists, make_package

KEY = SigningKey.generate()
FIRST = make_package([Entry("1", "ABC123")], KEY)
FULL = make_package([Entry("2", "ABC123")], KEY, version=2)
DELTA = make_package([Entry("2", "ABC123")], KEY, version=2, base=FIRST)
STEPS = ("os.open", "os.fsync", "Path.replace", "Path.unlink", "sync_folder")


def entry_of(lists: ListsInForce) -> str:
    (match,) = lists.matcher.match(PlateText(tuple(CharRead(c, 0.9) for c in "ABC123"), 0.9), now_utc_us=None)
    return match.entry.entry_id


def kill_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """The process ends at once at the n-th call of one of the steps."""
    left = [number]

    def dying(real):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **kwargs)

        return call

    patch.setattr(store.os, "fsync", dying(os.fsync))
    patch.setattr(store.os, "open", dying(os.open))
    patch.setattr(store, "sync_folder", dying(store.sync_folder))
    patch.setattr(Path, "replace", dying(Path.replace))
    patch.setattr(Path, "unlink", dying(Path.unlink))


@pytest.mark.slow
@pytest.mark.parametrize("package", [FULL, DELTA], ids=["full", "delta"])
def test_killed_at_every_step(tmp_path: Path, package: bytes) -> None:
    seen = []
    for number in range(1, 100):
        lists = make_lists(tmp_path / str(number), FIRST, authority=KEY)
        child = os.fork()
        if child == 0:
            patch = pytest.MonkeyPatch()
            kill_at(number, patch)
            lists.install(io.BytesIO(package))
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        again = ListsInForce(lists.folder, lists.terms, lists.public, lambda: AS_OF_US)
        assert lists._key is not None
        again.unlock(lists._key)
        assert again.faults == ()
        seen.append(entry_of(again))
        assert not list(again.folder.glob("*.part"))
        if not killed:
            break
        if seen[-1] == "1":
            again.install(io.BytesIO(package))
        assert entry_of(again) == "2"
    assert seen[0] == "1"
    assert seen[-1] == "2"
    assert len(seen) > 8
