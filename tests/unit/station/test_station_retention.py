"""A running station deletes on time: by the records' expiry and by signed policies, and not by a clock that jumped."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from protocol.policy.envelope import sign_pack
from protocol.policy.pack import pack_of_toml
from protocol.seal.keys import SigningKey
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health
from station.asker import Asker
from station.deployment.model import Assignment, PlannedShift, Settings
from station.errors import StoreError
from station.housekeeping import Housekeeping
from station.retention.holds import HoldDesk, hold_scope
from station.retention.schedule import EVERY_S, SETTLE_S, Retention, load_packs, plan_of
from station.store import open_store, room
from station.store.rows import PurgeRule
from tests.builders import BOOT, UTC_NS, make_read_record, make_record
from tests.conftest import ROOT
from tests.contract.test_station_store import chunk
from tests.hit_builders import make_hit_body
from tests.station_files import add, stored_reads

US = 1_000_000
DAY_US = 86_400 * US
NOW_US = UTC_NS // 1000 + 3_600 * US
KEY = SigningKey.generate()


class Clocks:
    """UTC and the clock that never steps."""

    def __init__(self) -> None:
        self.utc_us, self.mono_s = NOW_US, 0.0

    def go(self, seconds: float) -> None:
        self.utc_us += round(seconds * US)
        self.mono_s += seconds


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "va.lprpol"
    pack = pack_of_toml((ROOT / "docs" / "policies" / "us-va.toml").read_text(), "us-va.toml")
    path.write_bytes(sign_pack(pack, KEY, as_of_s=1))
    return path


def retention(store, clocks, packs=()):
    return Retention(store, packs, lambda: clocks.utc_us, lambda: clocks.mono_s)


def read(seq, expires_us=0):
    return make_read_record(seq, seq=seq, policy="us-va/1", expires_utc_us=expires_us)


def test_records_are_deleted_when_they_expire(store, clocks):
    """Within minutes, with a certificate; what a hold keeps stays."""
    records = [read(1, NOW_US + 60 * US), read(2, NOW_US + 60 * US), read(3, NOW_US + DAY_US), read(4)]
    add(store, *records, now_us=NOW_US)
    desk = HoldDesk(store, Asker("clerk"), lambda: clocks.utc_us)
    desk.place(hold_scope(ids=(records[1].envelope.record_id.hex(),)), case_number="c", reason="r")
    keeper = retention(store, clocks)
    assert keeper.step() is None, "nothing is due yet"
    clocks.go(EVERY_S + 60)
    gone = keeper.step()
    assert (gone.records, gone.held) == (1, 1)
    assert [row.seq for row in stored_reads(store)] == [2, 3, 4]
    (row,) = store.holds.purges()
    told = json.loads(row.certificate)
    assert (told["by"], told["why"], told["expired"]) == (
        "station (retention)", "expiry of records", clocks.utc_us,
    )  # fmt: skip
    clocks.go(EVERY_S)
    assert keeper.step() is None, "a hold alone is no reason for a purge"
    assert len(store.holds.purges()) == 1
    clocks.go(DAY_US / US)
    assert keeper.step().records == 1


def test_a_picture_that_comes_after_its_record_was_purged_is_deleted(store, clocks):
    """Also if no other record is due; one that is on its way to a record that is still here, or will come, stays."""
    record = read(1, NOW_US + US)
    add(store, record, read(2), now_us=NOW_US)
    keeper = retention(store, clocks)
    clocks.go(EVERY_S)
    assert keeper.step().records == 1
    late = b"plate 1" * 40
    sealed = chunk(b"sealed" * 40, 0, 100)
    with store.transaction():
        store.add_chunk(chunk(late, 0, len(late)), clocks.utc_us)
        store.add_chunk(sealed, clocks.utc_us)
    add(store, read(3, clocks.utc_us + US), now_us=clocks.utc_us)
    clocks.go(EVERY_S)
    assert (keeper.step().records, store.count_pictures()) == (1, 1)
    with store.transaction():
        rest = chunk(b"sealed" * 40, 100, 200)
        assert store.add_chunk(rest, clocks.utc_us).stored_bytes == 200, "what had come of it is still here"
    pictures = 0
    for number in (10, 11):
        clocks.go(DAY_US / US)
        add(store, read(number), now_us=clocks.utc_us)
        pictures += keeper.step().pictures
    assert (pictures, store.count_pictures()) == (2, 0)
    clocks.go(DAY_US / US)
    assert keeper.step() is None


def test_a_signed_policy_deletes_what_has_no_expiry(store, clocks, policy):
    """Such as hits; the certificate names the policy."""
    packs = load_packs([policy], [KEY.public])
    (rule,) = (rule for rule in plan_of(packs, NOW_US).rules if rule.retention == "hit")
    assert isinstance(rule, PurgeRule)
    add(store, make_record(make_hit_body(), seq=1), now_us=NOW_US)
    keeper = retention(store, clocks, packs)
    assert keeper.step() is None
    clocks.go((NOW_US - rule.before_us) / US + EVERY_S)
    add(store, read(2), now_us=clocks.utc_us)
    gone = keeper.step()
    assert ("hit", 1) in [(found.retention, found.records) for found in gone.classes]
    told = json.loads(store.holds.purges()[-1].certificate)
    assert list(told["policies"]) == [packs[0].name]
    assert packs[0].name in told["why"]


def test_a_clock_that_jumped_deletes_nothing_until_it_has_settled(store, clocks):
    add(store, read(1, NOW_US + DAY_US), now_us=NOW_US)
    keeper = retention(store, clocks)
    keeper.step()
    clocks.utc_us += 2 * DAY_US
    clocks.go(EVERY_S)
    assert keeper.step() is None
    assert keeper.doubt == "this machine's clock jumped"
    for _ in range(int(SETTLE_S / 60) - 1):
        clocks.go(60)
        assert keeper.step() is None
    clocks.go(EVERY_S)
    assert keeper.step().records == 1
    assert keeper.doubt == ""


def test_a_clock_that_is_far_from_the_newest_record_deletes_nothing(store, clocks):
    """As after a start with a wrong date."""
    add(store, read(1, NOW_US + US), now_us=NOW_US)
    clocks.utc_us += 400 * DAY_US
    keeper = retention(store, clocks)
    with capture_logs() as logs:
        keeping = Housekeeping(lambda: clocks.mono_s, retention=keeper)
        keeping.step()
        keeping.step()
    assert [entry["event"] for entry in logs] == ["purge_waits"]
    assert "the newest record came 400 days ago" in keeper.doubt
    assert len(stored_reads(store)) == 1


def hear(store, clocks, unit="unit-07", *, ahead_us=0, known=True):
    """A unit's health message, which has the unit's own time."""
    utc_us = clocks.utc_us - ahead_us if known else None
    message = Health(unit=unit, boot_id=BOOT, mono_us=1, utc_us=utc_us, seq_high=1, counters={}, gauges={})
    with store.transaction():
        store.note_health(message, encode(message), clocks.utc_us)


def test_a_clock_that_jumped_while_units_send_deletes_nothing(store, clocks):
    """What comes under the wrong clock agrees with it; the units' own time does not."""
    add(store, read(1, NOW_US + DAY_US), now_us=NOW_US)
    keeper = retention(store, clocks)
    keeper.step()
    ahead_us = 40 * DAY_US
    clocks.utc_us += ahead_us
    for number in range(2, 12):
        clocks.go(EVERY_S)
        hear(store, clocks, ahead_us=ahead_us)
        add(store, read(number), now_us=clocks.utc_us)
        assert keeper.step() is None
    assert keeper.doubt == "this machine's clock is 40.0 days ahead of those of the units"
    clocks.utc_us -= ahead_us
    for _ in range(5):
        clocks.go(EVERY_S)
        hear(store, clocks)
        keeper.step()
    assert len(stored_reads(store)) == 11


def test_records_of_a_clock_that_was_wrong_do_not_stop_deletion_for_ever(store, clocks):
    """They are the newest until their date comes; units that know the time speak for the clock."""
    add(store, read(1, NOW_US + US), now_us=NOW_US)
    add(store, read(2), now_us=NOW_US + 4_000 * DAY_US)
    keeper = retention(store, clocks)
    clocks.go(60)
    assert keeper.step() is None
    assert keeper.doubt == "this machine's clock is before the newest record"
    clocks.go(EVERY_S)
    hear(store, clocks)
    assert keeper.step().records == 1
    assert keeper.doubt == ""


@pytest.mark.parametrize(("wrong", "right", "deletes"), [(1, 2, True), (2, 1, False), (0, 1, True)])
def test_the_clocks_of_few_units_do_not_stop_a_purge(store, clocks, wrong, right, deletes):
    add(store, read(1, NOW_US + US), now_us=NOW_US)
    clocks.go(60)
    for number in range(wrong):
        hear(store, clocks, f"wrong-{number}", ahead_us=-400 * DAY_US)
    for number in range(right):
        hear(store, clocks, f"right-{number}")
    hear(store, clocks, "unknown", known=False)
    assert (retention(store, clocks).step() is not None) is deletes


def plan_shifts(store, *ends_us: int) -> None:
    shifts = [
        PlannedShift(f"s{number}", "4711", end - 3_600 * US, end, "regular", (), (Assignment(end - 3_600 * US),))
        for number, end in enumerate(ends_us)
    ]
    with store.transaction():
        store.deployment.put_settings(Settings(keep_days=30))
        store.deployment.put_shifts(shifts)


def planned(store) -> list[str]:
    return [shift.id for shift in store.deployment.shifts(0, NOW_US + 900 * DAY_US)]


def test_plans_of_employees_are_deleted_after_the_days_that_the_agency_set(store, clocks):
    """By the running station, without a command or a timer; each deletion is in the audit trail and the log."""
    plan_shifts(store, NOW_US - 29 * DAY_US, NOW_US)
    keeping = Housekeeping(lambda: clocks.mono_s, retention=retention(store, clocks))
    with capture_logs() as logs:
        keeping.step()
        assert planned(store) == ["s0", "s1"]
        for _ in range(26):
            clocks.go(3_600)
            keeping.step()
    assert planned(store) == ["s1"]
    assert [(entry["event"], entry["rows"]) for entry in logs] == [("plans_purged", 1)]
    entries = [(row.who, row.what, row.filter, row.count) for row in store.audit_trail()]
    assert entries == [("station (retention)", "purge plans", "days=30", 1)]


def test_a_clock_in_doubt_deletes_no_plans(store, clocks):
    plan_shifts(store, NOW_US)
    add(store, read(1), now_us=NOW_US)
    keeper = retention(store, clocks)
    keeper.step()
    clocks.utc_us += 300 * DAY_US
    clocks.go(4 * 3_600)
    keeper.step()
    assert (planned(store), keeper.plan_rows) == (["s0"], 0)


def test_plans_that_could_not_be_deleted_are_tried_again(store, clocks):
    plan_shifts(store, NOW_US - 40 * DAY_US)
    with store.transaction():
        store.db.driver_sql(
            "CREATE TRIGGER broken BEFORE DELETE ON deployment_shifts BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )
    keeper = retention(store, clocks)
    with pytest.raises(StoreError):
        keeper.step()
    with store.transaction():
        store.db.driver_sql("DROP TRIGGER broken")
    clocks.go(EVERY_S)
    keeper.step()
    assert (planned(store), keeper.plan_rows) == ([], 1)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], lambda _: b""]
)
def test_a_policy_that_is_not_as_it_was_signed_is_refused(policy, damage):
    policy.write_bytes(damage(policy.read_bytes()))
    with pytest.raises(StoreError, match="this policy cannot be used"):
        load_packs([policy], [KEY.public])


def test_a_policy_of_another_key_is_refused(policy):
    with pytest.raises(StoreError, match="this policy cannot be used"):
        load_packs([policy], [SigningKey.generate().public])


def test_a_failed_purge_is_told_once_and_tried_again(store, clocks):
    add(store, read(1, NOW_US + US), now_us=NOW_US)
    HoldDesk(store, Asker("clerk"), lambda: NOW_US).place(hold_scope(unit="u"), case_number="c", reason="r")
    with store.transaction():
        store.db.driver_sql("UPDATE holds SET statement = substr(statement, 2)")
    keeping = Housekeeping(lambda: clocks.mono_s, retention=retention(store, clocks))
    clocks.go(60)
    with capture_logs() as logs:
        for _ in range(3):
            keeping.step()
            clocks.go(EVERY_S)
    assert [entry["event"] for entry in logs] == ["purge_failed"]
    assert len(stored_reads(store)) == 1


def test_on_a_nearly_full_disk_what_expires_is_deleted_in_parts(store, clocks, tmp_path, monkeypatch):
    """Without a policy, too: one transaction would need more room in the log than is left, now and ever after."""
    monkeypatch.setattr(room, "_MIN_STEP_BYTES", 6_000)
    disk = SimpleNamespace(f_bavail=1, f_frsize=4_096, f_blocks=10**9)
    monkeypatch.setattr(store, "_room", room.DiskRoom(tmp_path / "station.db", lambda _: disk))
    add(store, *(read(seq, NOW_US + seq) for seq in range(1, 21)), now_us=NOW_US)
    clocks.go(60)
    assert retention(store, clocks).step().records == 20
    deleted = [json.loads(row.certificate)["records"] for row in store.holds.purges()]
    assert sum(deleted) == 20
    assert max(deleted) <= 5
    assert stored_reads(store) == []


def test_a_purge_that_fails_again_after_it_worked_is_told_again(store, clocks):
    """Years later nobody remembers the first line in the log."""
    desk = HoldDesk(store, Asker("clerk"), lambda: NOW_US)
    desk.place(hold_scope(unit="u"), case_number="c", reason="r")
    keeping = Housekeeping(lambda: clocks.mono_s, retention=retention(store, clocks))
    clocks.go(60)
    with capture_logs() as logs:
        for number, change in enumerate(("x'00' || statement", "substr(statement, 2)", "x'00' || statement"), 1):
            add(store, read(number, NOW_US + US), now_us=NOW_US)
            with store.transaction():
                store.db.driver_sql(f"UPDATE holds SET statement = CAST({change} AS BLOB)")  # noqa: S608 - of this test
            keeping.step()
            clocks.go(EVERY_S)
    assert [entry["event"] for entry in logs] == ["purge_failed", "purged", "purge_failed"]
