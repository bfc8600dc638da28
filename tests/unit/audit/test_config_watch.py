"""Changes of the configuration and of the hot lists are in the audit log, also if they were made while it was off."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

from agent.runtime.audit import ConfigWatch, ListNote


class Heard:
    def __init__(self) -> None:
        self.entries = []

    def add(self, who, action, obj, *, purpose="", case_number="", outcome="ok"):
        self.entries.append((who, action, obj, outcome))


def start(folder, sha256):
    heard = Heard()
    ConfigWatch(folder, sha256, heard).start()
    return heard.entries


def test_only_a_change_is_audited(tmp_path):
    one, other = bytes(32), bytes(range(32))
    assert start(tmp_path, one) == [], "the first is no change"
    assert start(tmp_path, one) == []
    assert start(tmp_path, other) == [("unit", "config_change", "sha256 000102030405", "was 000000000000")]


def test_change_that_cannot_be_noted_is_audited_again(tmp_path):
    assert start(tmp_path, bytes(32)) == []
    (tmp_path / "audited-config.new").mkdir(exist_ok=True)
    assert len(start(tmp_path, bytes(range(32)))) == 1
    assert len(start(tmp_path, bytes(range(32)))) == 1


def lists(**versions):
    return [SimpleNamespace(list_id=name, version=version) for name, version in versions.items()]


def test_lists_replaced_while_the_agent_was_off_are_told_once(tmp_path):
    """Other changes are audited by whoever makes them, and noted here."""
    note = ListNote(tmp_path)
    assert note.unaudited(lists()) is None
    assert note.unaudited(lists(stolen=3)) == ("stolen version 3", "first")
    assert ListNote(tmp_path).unaudited(lists(stolen=3)) is None
    for changed in lists(stolen=4, wanted=1):
        note.add(changed)
    assert ListNote(tmp_path).unaudited(lists(stolen=4, wanted=1)) is None
    assert note.unaudited(lists(stolen=5)) == ("stolen version 5", "since the last start")
    note.set(lists(wanted=2))
    assert note.unaudited(lists(wanted=2)) is None


def test_lists_noted_by_an_older_release_are_no_change(tmp_path):
    (tmp_path / "audited-lists").write_text(hashlib.sha256(b"stolen version 3, wanted version 1").hexdigest())
    assert ListNote(tmp_path).unaudited(lists(wanted=1, stolen=3)) is None
    assert ListNote(tmp_path).unaudited(lists(wanted=1, stolen=4)) is not None
