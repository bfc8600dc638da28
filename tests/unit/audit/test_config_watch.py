"""A changed configuration is in the audit log of the next start."""

from __future__ import annotations

from agent.runtime.audit import ConfigWatch


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
