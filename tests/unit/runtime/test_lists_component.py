"""The agent opens its lists, installs what is fetched, and forgets them at the sign-off."""

from __future__ import annotations

import errno
import queue
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from agent.hotlist.keys import PinKeys
from agent.hotlist.store import ListsInForce
from agent.records import CharRead, PlateText
from agent.runtime.audit import ListNote
from agent.runtime.config import parse_config
from agent.runtime.lists import PACKAGE, SLOTS, ListComponent, build_lists, inbox, kind_names, list_kinds
from agent.runtime.service import Service
from protocol.errors import HotlistError, KeyFileError
from protocol.hotlist.entry import Entry
from protocol.seal.keys import SigningKey
from protocol.wire.topics import offer_topic
from tests.hotlist_builder import make_package
from tests.unit_parts import unit_parts

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = SigningKey.generate()
UNIT = SigningKey.generate()
READ = PlateText(tuple(CharRead(c, 0.9) for c in "ABC123"), 0.9)


class Threads:
    """A supervisor whose thread is run by the test, up to the first pause."""

    stopping = False

    def beat(self) -> None:
        pass


class Audited(list):
    """An auditor that keeps what it is told."""

    def add(self, who: str, action: str, obj: str, *, outcome: str = "ok", **_: str) -> None:
        self.append((who, action, obj, outcome))


def config_of(folder: Path, **table: object):
    (folder / "hotlist.pub").write_bytes(AUTHORITY.public.pem())
    hw = {
        "cameras": [{"kind": "sim", "name": "front"}], "gnss": {"kind": "sim"}, "panel": {"kind": "sim"},
        "link": {"kind": "sim"}, "board": {"kind": "sim"},
    }  # fmt: skip
    hotlist = {"key": str(folder / "hotlist.pub"), **table}
    return parse_config(
        {"unit": "unit-07", "agency": "pd", "state_dir": str(folder), "hw": hw, "hotlist": hotlist}, "t"
    )


def component(config) -> ListComponent:
    unit = build_lists(config, lambda: UNIT, lambda: None)
    inboxes = tuple(inbox(config, kind) for kind in kind_names())
    return ListComponent(unit, inboxes, None, Audited(), ListNote(config.state_dir))


def work(made: ListComponent) -> None:
    """Run the thread until it has nothing to do."""
    worker = Threads()

    class Drained:
        def __init__(self, queue) -> None:
            self._queue = queue

        def put(self, item) -> None:
            self._queue.put(item)

        def get(self, timeout: float):
            if self._queue.empty():
                worker.stopping = True
            return self._queue.get(block=False)

    real = made._work
    made._work = Drained(real)
    made._run(worker)
    made._work = real


def put(folder: Path, package: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / PACKAGE).write_bytes(package)
    return folder / PACKAGE


def test_without_an_authority_there_are_no_lists(tmp_path: Path) -> None:
    config = config_of(tmp_path, key=None)
    assert build_lists(config, lambda: UNIT, lambda: None) is None
    assert list_kinds(config, lambda _: None) == ()
    assert ListComponent(None, (), None, Audited(), ListNote(tmp_path)).matcher.match(READ, now_utc_us=None) == ()


def test_a_fetched_package_is_in_force_and_removed(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    made = component(config)
    path = put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY))
    made.on_fetched(path)
    work(made)
    assert [m.entry.entry_id for m in made.matcher.match(READ, now_utc_us=None)] == ["1"]
    assert not path.exists()
    assert made.counters()["hotlist.installed"] == 1
    assert made.gauges() == {"hotlist.lists": 1, "hotlist.entries": 1}


def test_each_change_of_a_list_has_one_entry_in_the_audit_log(tmp_path: Path) -> None:
    """Whoever sees it first: the one that installs a package, or the start after a command."""
    config = config_of(tmp_path)
    made = component(config)
    made.on_fetched(put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY)))
    work(made)
    (entry,) = made._auditor
    assert entry[1] == "list_change"
    again = component(config)
    work(again)
    assert again._auditor == []
    (tmp_path / "audited-lists").unlink()
    first = component(config)
    work(first)
    assert [outcome for *_, outcome in first._auditor] == ["first"]


def test_a_package_left_by_the_last_run_is_installed_and_a_bad_one_is_counted(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    put(inbox(config, "hotlist-2"), make_package([Entry("1", "ABC123")], AUTHORITY))
    bad = put(inbox(config, "hotlist"), b"not a list")
    made = component(config)
    work(made)
    assert made.counters() == {"hotlist.installed": 1, "hotlist.refused": 1, "hotlist.unopened": 0}
    assert not bad.exists()


def test_lists_of_a_pin_are_matched_between_sign_on_and_sign_off(tmp_path: Path) -> None:
    config = config_of(tmp_path, open="pin")
    with pytest.raises(KeyFileError, match="there is none"):
        build_lists(config, lambda: UNIT, lambda: None)
    PinKeys(tmp_path / "hotlist-pins.json", UNIT, memory_kib=64, passes=1).create("4711", "739204")
    put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY))
    made = component(config)
    work(made)
    assert made.is_locked
    assert made.matcher.match(READ, now_utc_us=None) == ()
    on_duty = [True]
    made.watch_shifts(lambda: on_duty[0])
    made.sign_on("4711", "000000")
    work(made)
    assert made.is_locked
    made.sign_on("4711", "739204")
    work(made)
    assert made.matcher.match(READ, now_utc_us=None)
    on_duty[0] = False
    work(made)
    assert [(who, action, outcome) for who, action, _, outcome in made._auditor] == [
        ("unit", "list_change", "ok"), ("4711", "list_unlock", "refused"), ("4711", "list_unlock", "ok"),
    ]  # fmt: skip
    assert made.is_locked
    assert made.matcher.match(READ, now_utc_us=None) == ()


class Rounds:
    """A queue in which nothing comes for some rounds, and then the end of the thread."""

    def __init__(self, worker: Threads, rounds: int) -> None:
        self._worker, self._left = worker, rounds

    def get(self, timeout: float):
        self._left -= 1
        self._worker.stopping = self._left <= 0
        raise queue.Empty


def test_a_package_that_the_disk_did_not_take_is_kept_and_installed_later(tmp_path: Path, monkeypatch) -> None:
    """It is not offered again: deleted, the unit would go on with the old list."""
    config = config_of(tmp_path)
    made = component(config)
    path = put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY))
    real, errors = ListsInForce.install, [OSError(errno.ENOSPC, "no space")] * 2

    def install(lists: ListsInForce, package: Path):
        if errors:
            raise errors.pop()
        return real(lists, package)

    monkeypatch.setattr(ListsInForce, "install", install)
    work(made)
    assert path.exists()
    assert [outcome for *_, outcome in made._auditor] == ["not installed: [Errno 28] no space"]
    worker = Threads()
    made._work = Rounds(worker, 100)
    made._run(worker)
    assert made.matcher.match(READ, now_utc_us=None)
    assert not path.exists()
    assert len(made._auditor) == 2, "each attempt is not an entry"


def test_a_package_that_cannot_be_deleted_does_not_end_the_thread(tmp_path: Path, monkeypatch) -> None:
    config = config_of(tmp_path)
    made = component(config)
    path = put(inbox(config, "hotlist"), b"not a list")
    before = type(path).unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            raise OSError(errno.EROFS, "read-only")
        before(self, missing_ok)

    monkeypatch.setattr(type(path), "unlink", unlink)
    work(made)
    assert made.counters()["hotlist.refused"] > 0


def test_a_folder_that_is_taken_away_does_not_end_the_thread(tmp_path: Path) -> None:
    """As the message about a damaged folder tells people to do."""
    config = config_of(tmp_path)
    made = component(config)
    put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY))
    work(made)
    shutil.rmtree(tmp_path / "hotlists")
    work(made)
    assert made.counters()["hotlist.unopened"] > 0


def test_a_pin_of_a_new_key_leaves_the_lists_locked_until_the_next_start(tmp_path: Path) -> None:
    """Somebody deleted the file of PINs and made a new one while the agent ran."""
    config = config_of(tmp_path, open="pin")
    pins = PinKeys(tmp_path / "hotlist-pins.json", UNIT, memory_kib=64, passes=1)
    pins.create("4711", "739204")
    made = component(config)
    (tmp_path / "hotlist-pins.json").unlink()
    pins.create("4711", "739204")
    made.sign_on("4711", "739204")
    work(made)
    assert made.is_locked


@pytest.mark.parametrize("content", ["{", '{"format": 2}'])
def test_a_damaged_state_of_lists_does_not_keep_the_unit_from_reading(tmp_path: Path, content: str) -> None:
    """Or one of a later release, after a rollback."""
    (tmp_path / "hotlist.pub").write_bytes(AUTHORITY.public.pem())
    UNIT.save(tmp_path / "unit.key")
    own = {"mode": "off", "unit_key": str(tmp_path / "unit.key")}
    parts = unit_parts(tmp_path, hotlist={"key": str(tmp_path / "hotlist.pub")}, seal=own)
    folder = parts[0].state_dir / "hotlists"
    folder.mkdir(parents=True)
    (folder / "in-force.json").write_text(content)
    service = Service(*parts)
    lists = service._parts.lists
    service._shut_down()
    assert (lists.matcher.lists, lists.counters()["hotlist.unopened"]) == ((), 1)
    assert (folder / "in-force.json").read_text() == content, "for whoever looks into it"


def test_a_damaged_file_of_pins_is_an_error_of_the_lists_alone(tmp_path: Path) -> None:
    (tmp_path / "hotlist-pins.json").write_text("{")
    with pytest.raises(HotlistError, match="delete it, set PINs"):
        component(config_of(tmp_path, open="pin"))


def test_every_slot_has_a_topic_and_a_folder_of_its_own(tmp_path: Path) -> None:
    kinds = list_kinds(config_of(tmp_path), lambda _: None)
    assert len({offer_topic("unit-07", kind.name) for kind in kinds}) == SLOTS
    assert len({kind.folder for kind in kinds}) == SLOTS


def test_matching_goes_on_in_other_threads_while_a_list_is_replaced(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    made = component(config)
    put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY))
    work(made)
    wrong, stop = [], threading.Event()

    def match() -> None:
        while not stop.is_set():
            found = made.matcher.match(READ, now_utc_us=None)
            if len(found) != 1:
                wrong.append(found)

    thread = threading.Thread(target=match)
    thread.start()
    for version in range(2, 12):
        put(inbox(config, "hotlist"), make_package([Entry("1", "ABC123")], AUTHORITY, version=version))
        work(made)
    stop.set()
    thread.join()
    assert wrong == []
    assert made.matcher.lists[0].version == 11
