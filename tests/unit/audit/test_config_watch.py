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
    assert start(tmp_path, one) == [("unit", "config_change", "sha256 000000000000", "first")]
    assert start(tmp_path, one) == []
    assert start(tmp_path, other) == [("unit", "config_change", "sha256 000102030405", "was 000000000000")]


def test_unwritable_folder_audits_again(tmp_path):
    gone = tmp_path / "gone"
    assert len(start(gone, bytes(32))) == 1
    assert len(start(gone, bytes(32))) == 1


def lists(**versions):
    return [SimpleNamespace(list_id=name, version=version) for name, version in versions.items()]


def test_lists_are_audited_when_they_change(tmp_path):
    heard, now = Heard(), [lists()]
    watch = ListWatch(tmp_path, lambda: now[-1], heard)
    for found in (lists(), lists(stolen=3), lists(stolen=3), lists(stolen=4, wanted=1)):
        now.append(found)
        watch.watch(None)
    told = [("stolen/3", "first"), ("stolen/4, wanted/1", "ok")]
    assert [(obj, outcome) for _, _, obj, outcome in heard.entries] == told
    again = ListWatch(tmp_path, lambda: now[-1], heard)
    now.append(lists())
    again.watch(None)
    now.append(lists(stolen=4, wanted=1))
    again.watch(None)
    assert len(heard.entries) == 2, "the same after a restart, in which they are opened late"
    now.append(lists())
    again.watch(None)
    assert heard.entries[-1][2] == "none"
