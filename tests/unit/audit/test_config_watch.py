"""Changes of the configuration and of the hot lists are in the audit log, also if they were made while it was off."""

from __future__ import annotations

from types import SimpleNamespace

from agent.runtime.audit import ConfigWatch, ListWatch


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


def test_lists_replaced_while_the_agent_was_off_are_audited(tmp_path):
    """Other changes are audited by whoever makes them; lists that are opened late are no change."""
    heard, now = Heard(), [lists()]

    def start(*steps):
        watch = ListWatch(tmp_path, lambda: now[-1], heard)
        for found in (lists(), *steps):
            now.append(found)
            watch.watch(None)
        return [(obj, outcome) for _, _, obj, outcome in heard.entries]

    told = [("stolen version 3", "first")]
    assert start(lists(stolen=3), lists(stolen=3)) == told
    assert start(lists(stolen=3), lists(stolen=4, wanted=1)) == told
    assert start(lists(stolen=4, wanted=1)) == told
    assert start(lists(stolen=5)) == [*told, ("stolen version 5", "since the last start")]
