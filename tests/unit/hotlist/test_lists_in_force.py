"""Whatever is refused, interrupted or damaged leaves the list in force untouched."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hotlist.keys import PinKeys, derived_key
from agent.hotlist.store import ListsInForce, Terms
from agent.records import CharRead, PlateText
from protocol.errors import HotlistError, KeyFileError, PatrolError, PinError
from protocol.hotlist.entry import Entry
from protocol.hotlist.packing import normalise
from protocol.seal.container import SealedWriter
from protocol.seal.keys import SigningKey, StationKey
from tests.hotlist_builder import AS_OF_US, make_lists, make_package, make_settings

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey.generate()
ENTRIES = [Entry("1", "ABC123", "US-CA"), Entry("2", "XYZ789"), Entry("3", "ABC123", "US-NV")]
FIRST = make_package(ENTRIES, KEY)
CHANGED = [ENTRIES[0], Entry("2", "XYZ789", reason="recovered"), Entry("9", "AAA111"), Entry("10", "AB?99")]
DELTA = make_package(CHANGED, KEY, version=3, base=FIRST)
NIGHT = ({"days": [0], "from_minute": 0, "to_minute": 60},)
ON_MARS = make_settings(timezone="Mars/Base", schedule=NIGHT)
SECOND = make_package(ENTRIES[:1], KEY, version=2)


def read(text: str) -> PlateText:
    return PlateText(tuple(CharRead(c, 0.99) for c in text), 0.9)


def found(lists: ListsInForce, text: str) -> set[str]:
    return {match.entry.entry_id for match in lists.matcher.match(read(text), now_utc_us=AS_OF_US)}


def names(lists: ListsInForce) -> list[str]:
    return sorted(path.name for path in lists.folder.iterdir())


def install(lists: ListsInForce, package: bytes) -> None:
    lists.install(io.BytesIO(package))


def test_a_newer_package_replaces_the_list_and_its_file(tmp_path: Path) -> None:
    lists = make_lists(tmp_path / "l", FIRST, authority=KEY)
    assert found(lists, "XYZ789") == {"2"}
    install(lists, SECOND)
    assert found(lists, "XYZ789") == set()
    assert names(lists) == ["in-force.json", "stolen.2.full"]


def test_a_delta_changes_removes_and_adds(tmp_path: Path) -> None:
    lists = make_lists(tmp_path / "l", FIRST, DELTA, authority=KEY)
    assert found(lists, "ABC123") == {"1"}
    assert found(lists, "AAA111") == {"9"}
    assert found(lists, "ABX99") == {"10"}
    (match,) = lists.matcher.match(read("XYZ789"), now_utc_us=None)
    assert match.entry.reason == "recovered"
    assert lists.matcher.lists[0].entries == 4


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (FIRST, "cannot go back"),
        (SECOND, "cannot go back"),
        (make_package(ENTRIES, KEY, version=5, settings=make_settings(agencies=["Sheriff*"])), "is for Sheriff"),
        (make_package(ENTRIES, KEY, version=5, expires_utc_us=AS_OF_US + 1), "has expired"),
        (
            make_package(ENTRIES, KEY, version=5, settings=ON_MARS),
            "time zone",
        ),
        (make_package(ENTRIES, SigningKey.generate(), version=5), "not one of the trusted"),
        (make_package(CHANGED, KEY, version=5, base=make_package(ENTRIES, KEY, version=2)), "get the full list"),
        (make_package(ENTRIES, KEY, version=5)[:-1], "truncated"),
        (make_package(ENTRIES, KEY, version=5)[: len(FIRST) // 2], "truncated"),
        (make_package(ENTRIES, KEY, version=5) + b"x", "after the end"),
        (b"", "not a signed hot list"),
        (b"PK\x03\x04" + bytes(400), "not a signed hot list"),
    ],
)
def test_what_is_refused_leaves_the_list_in_force(tmp_path: Path, package: bytes, message: str) -> None:
    lists = make_lists(tmp_path / "l", FIRST, DELTA, authority=KEY, now_utc_us=AS_OF_US + 5)
    before = sorted((path.name, path.read_bytes()) for path in lists.folder.iterdir())
    with pytest.raises(HotlistError, match=message):
        install(lists, package)
    assert sorted((path.name, path.read_bytes()) for path in lists.folder.iterdir()) == before
    assert found(lists, "AAA111") == {"9"}


def test_a_list_of_too_many_expected_alarms_is_refused_by_the_policy(tmp_path: Path) -> None:
    from protocol.hotlist.manifest import Rules, RuleTerms  # noqa: PLC0415

    package = make_package(ENTRIES, KEY, rules=Rules(exact=RuleTerms(alarms_per_million=6500)))
    key = StationKey.generate()
    lists = ListsInForce(tmp_path, Terms("pd", (KEY.public,), 1000), key, lambda: None)
    with pytest.raises(HotlistError, match=r"6.5 false alarms per 1,000 cars"):
        install(lists, package)


@pytest.mark.slow
@given(st.integers(0, len(FIRST) - 1), st.integers(1, 255))
def test_an_altered_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    lists = make_lists(tmp_path_factory.mktemp("l") / "l", authority=KEY)
    altered = bytearray(FIRST)
    altered[at] ^= flip
    with pytest.raises(HotlistError):
        install(lists, bytes(altered))
    assert lists.matcher.lists == ()


@pytest.mark.slow
@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_only_our_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    lists = make_lists(tmp_path_factory.mktemp("l") / "l", authority=KEY)
    with pytest.raises(PatrolError):
        install(lists, data)
    with pytest.raises(PatrolError):
        install(lists, b"LPRBOX1\n" + data)


def test_lists_survive_a_restart_and_are_matched_only_after_unlocking(tmp_path: Path) -> None:
    before = make_lists(tmp_path / "l", FIRST, DELTA, authority=KEY)
    key = before._key
    assert key is not None
    again = ListsInForce(before.folder, before.terms, before.public, lambda: AS_OF_US)
    assert again.is_locked
    assert found(again, "AAA111") == set()
    again.unlock(key)
    assert found(again, "AAA111") == {"9"}
    again.lock()
    assert found(again, "AAA111") == set()
    with pytest.raises(HotlistError, match="cannot go back"):
        install(again, FIRST)


def test_a_locked_unit_takes_packages_and_opens_them_at_the_next_unlocking(tmp_path: Path) -> None:
    key = StationKey.generate()
    public = StationKey.from_public_raw(key.raw)
    lists = ListsInForce(tmp_path, Terms("pd", (KEY.public,)), public, lambda: AS_OF_US)
    assert lists.install(io.BytesIO(FIRST)).version == 1
    assert lists.matcher.lists == ()
    lists.unlock(key)
    assert found(lists, "XYZ789") == {"2"}


@pytest.mark.parametrize("first", [None, make_package(CHANGED, KEY)])
def test_a_locked_unit_refuses_a_delta_to_a_list_that_it_does_not_have(
    tmp_path: Path, first: bytes | None
) -> None:
    public = StationKey.from_public_raw(StationKey.generate().raw)
    lists = ListsInForce(tmp_path, Terms("pd", (KEY.public,)), public, lambda: AS_OF_US)
    if first is not None:
        install(lists, first)
    with pytest.raises(HotlistError, match="get the full list"):
        install(lists, DELTA)


def test_no_plate_is_on_the_disk_in_the_clear(tmp_path: Path) -> None:
    lists = make_lists(
        tmp_path / "l", make_package([Entry("NIC42", "QWERTY1", reason="STOLEN")], KEY), authority=KEY
    )
    for path in lists.folder.iterdir():
        data = path.read_bytes()
        assert b"QWERTY1" not in data
        assert b"STOLEN" not in data
        assert b"Stolen vehicles" not in data


def test_a_damaged_file_is_reported_and_the_other_lists_stay_in_force(tmp_path: Path) -> None:
    other = make_package([Entry("7", "OTHER1")], KEY, settings=make_settings(list_id="amber"))
    before = make_lists(tmp_path / "l", FIRST, other, authority=KEY)
    path = before.folder / "stolen.1.full"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(bytes(data))
    again = ListsInForce(before.folder, before.terms, before.public, lambda: None)
    assert before._key is not None
    again.unlock(before._key)
    assert [fault.list_id for fault in again.faults] == ["stolen"]
    assert found(again, "OTHER1") == {"7"}
    install(again, make_package(ENTRIES, KEY, version=9))  # a new package repairs it
    assert again.faults == ()
    assert found(again, "XYZ789") == {"2"}


def test_what_an_interrupted_installation_left_is_deleted_at_the_start(tmp_path: Path) -> None:
    before = make_lists(tmp_path / "l", FIRST, authority=KEY)
    for name in ("stolen.2.full", "stolen.2.full.part", "in-force.json.part"):
        (before.folder / name).write_bytes(b"half")
    (before.folder / "a-file-of-somebody.txt").write_bytes(b"stays")
    ListsInForce(before.folder, before.terms, before.public, lambda: None)
    assert names(before) == ["a-file-of-somebody.txt", "in-force.json", "stolen.1.full"]


def test_a_list_installed_by_another_process_is_seen(tmp_path: Path) -> None:
    agent = make_lists(tmp_path / "l", FIRST, authority=KEY)
    assert not agent.refresh()
    command = ListsInForce(agent.folder, agent.terms, agent.public, lambda: None)
    install(command, SECOND)
    assert agent.refresh()
    assert found(agent, "XYZ789") == set()


def test_a_state_that_could_not_be_written_is_not_in_force(tmp_path: Path) -> None:
    """The same package can be installed when the disk works again, as a first time."""
    lists = make_lists(tmp_path / "l", FIRST, authority=KEY)
    blocked = lists.folder / "in-force.json.part"
    blocked.mkdir()
    with pytest.raises(OSError, match="directory"):
        install(lists, SECOND)
    assert found(lists, "XYZ789") == {"2"}
    blocked.rmdir()
    install(lists, SECOND)
    assert found(lists, "XYZ789") == set()


def test_a_removed_list_does_not_come_back_with_an_older_version(tmp_path: Path) -> None:
    lists = make_lists(tmp_path / "l", FIRST, authority=KEY)
    lists.remove("stolen")
    assert lists.matcher.lists == ()
    assert names(lists) == ["in-force.json"]
    with pytest.raises(HotlistError, match="cannot go back"):
        install(lists, FIRST)
    with pytest.raises(HotlistError, match="not in force"):
        lists.remove("stolen")


def test_a_damaged_state_file_says_what_to_do(tmp_path: Path) -> None:
    lists = make_lists(tmp_path / "l", FIRST, authority=KEY)
    (lists.folder / "in-force.json").write_text('{"lists": {"../x": {"floor": 1}}}')
    with pytest.raises(HotlistError, match="delete the folder"):
        ListsInForce(lists.folder, lists.terms, lists.public, lambda: None)


def test_a_package_sealed_to_the_unit_is_opened(tmp_path: Path) -> None:
    lists = make_lists(tmp_path / "l", authority=KEY)
    for key, expected in ((lists._key, None), (StationKey.generate(), "not sealed to key")):
        assert key is not None
        path = tmp_path / "package"
        with path.open("wb") as file:
            sealed = SealedWriter(file, [StationKey.generate(), key], len(FIRST))
            sealed.write(FIRST)
            sealed.close()
        if expected is None:
            lists.install(path)
            assert found(lists, "XYZ789") == {"2"}
        else:
            with pytest.raises(PatrolError, match=expected):
                lists.install(path)


def test_the_key_is_derived_from_that_of_the_unit() -> None:
    unit = SigningKey.generate()
    assert derived_key(unit).id == derived_key(unit).id
    assert derived_key(unit).id != derived_key(SigningKey.generate()).id


def test_a_pin_opens_the_lists_of_its_officer_on_its_unit_only(tmp_path: Path) -> None:
    unit = SigningKey.generate()
    pins = PinKeys(tmp_path / "pins.json", unit, memory_kib=64, passes=1)
    key = pins.create("4711", "739204")
    assert pins.public().id == key.id
    assert pins.unlock("4711", "739204").id == key.id
    pins.add(key, "0815", "secret phrase")
    assert pins.unlock("0815", "secret phrase").id == key.id
    stranger = PinKeys(tmp_path / "pins.json", SigningKey.generate(), memory_kib=64, passes=1)
    for keys, officer, pin in ((pins, "4711", "739205"), (pins, "9999", "739204"), (stranger, "4711", "739204")):
        with pytest.raises(PinError, match="the PIN is wrong"):
            keys.unlock(officer, pin)
    pins.remove("4711")
    with pytest.raises(PinError):
        pins.unlock("4711", "739204")
    with pytest.raises(KeyFileError, match="the only one"):
        pins.remove("0815")
    assert (tmp_path / "pins.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("pin", ["12345", "111111", "123456", "987654", ""])
def test_weak_pins_are_refused(tmp_path: Path, pin: str) -> None:
    with pytest.raises(PinError):
        PinKeys(tmp_path / "pins.json", SigningKey.generate(), memory_kib=64, passes=1).create("1", pin)


def test_texts_are_normalised_alike() -> None:
    assert normalise(" ab-c 1.2\u00b73 ") == "ABC123"
