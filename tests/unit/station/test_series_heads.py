"""Signed heads and lives at a station: a missing tail, a removed unit and a re-flashed unit are told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from agent.buffer import NewRecord, OutboxReader, Receipted, life_of, open_outbox
from agent.runtime.health import health_payload
from cli.main import app
from cli.station import app as station_app
from protocol.seal import SigningKey, load_keyring
from protocol.seal.head import Head, HeadState, sign_head
from protocol.wire.codec import decode, encode
from protocol.wire.control.unit_state import Health
from station.asker import Asker
from station.audit_log.heads import note_heads
from station.query import Query
from tests.builders import BOOT, make_read, make_time_anchor
from tests.unit.station.test_station_sealed import LIMITS, Pair

RUNNER = CliRunner()
HEALTH = "lpr/1/unit-07/up/health"
LIFE_A, LIFE_B = b"A" * 16, b"B" * 16


class SignedPair(Pair):
    """A unit that says how far its series has come."""

    def report(self, *, mono_us=60_000_000):
        encoder, stats = self.encoder(), self.outbox.stats()
        payload = health_payload(
            {},
            {},
            unit="unit-07",
            boot_id=BOOT,
            t_mono_ns=mono_us * 1000,
            utc_ns=None,
            seq_high=stats.next_seq - 1,
            life=self.life,
            head=encoder.head(stats, mono_us=mono_us, utc_us=None),
        )
        self.ingest.handle(HEALTH, payload)
        return payload

    def deliver(self):
        """Send everything, and delete what was receipted."""
        for receipt in self.send():
            self.outbox.apply([Receipted(receipt.records)])

    def begin(self, life, *, keep=False):
        """An empty outbox: numbers from 1."""
        if not keep:
            self.reader.close()
            self.outbox.close()
        self.life = life
        self.outbox, _ = open_outbox(self.folder / f"unit-{life.hex()}", self.encoder(), limits=LIMITS)
        self.reader = OutboxReader(self.outbox.path)

    def flash(self, life, *, keep=False):
        """Another card with the same name: a new key as well.  ``keep``: the old one stays in use."""
        self.own = SigningKey.generate()
        self.begin(life, keep=keep)
        (self.keys / "unit-unit-07.2.pub").write_bytes(self.own.public.pem())
        self.ingest._opener._ring = load_keyring(self.keys)

    def alter(self, *statements, values=()):
        """``values`` are those of each statement."""
        with closing(sqlite3.connect(self.folder / "station.db")) as con:
            for statement in statements:
                con.execute(statement, values)
            con.commit()

    def ask(self, *words):
        done = RUNNER.invoke(station_app, [*words, "--db", str(self.folder / "station.db"), "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.output)

    def check(self):
        code, found = self.ask("check", "--keys", str(self.keys))
        return code, found["units"]


@pytest.fixture
def pair(tmp_path):
    made = SignedPair(tmp_path)
    yield made
    made.reader.close()
    made.store.close()
    made.outbox.close()


DROP_ABOVE = ("DELETE FROM records WHERE seq > ?", "DELETE FROM evidence WHERE seq > ?")
DROP_OF_LIFE = (
    "DELETE FROM records WHERE seq IN (2, 3) AND life = ?",
    "DELETE FROM evidence WHERE seq IN (2, 3) AND life = ?",
)


@pytest.mark.parametrize("count", [10, pytest.param(1_000, marks=pytest.mark.slow)])
def test_newest_records_that_were_removed_are_missing(pair, count):
    pair.outbox.append([make_read(number) for number in range(1, count + 1)])
    pair.deliver()
    pair.report()
    assert pair.check()[0] == 0
    kept = count - 4
    pair.alter(*DROP_ABOVE, "UPDATE seen SET last = ?", "UPDATE lives SET seq_high = ?", values=(kept,))
    code, (unit,) = pair.check()
    assert (code, unit["missing"], unit["unsent"], unit["head"]) == (1, [[kept + 1, count]], [], count)
    exported = pair.folder / "series.lpr"
    words = ["export", "--db", str(pair.folder / "station.db"), "--keys", str(pair.keys)]
    assert RUNNER.invoke(station_app, [*words, "--evidence", str(exported)]).exit_code == 0
    done = RUNNER.invoke(app, ["verify", str(exported), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)["units"][0]["missing"] == [[kept + 1, count]]


@pytest.mark.slow
def test_audit_tells_removed_records_without_keys(pair):
    pair.outbox.append([make_read(number) for number in range(1, 11)])
    pair.deliver()
    assert pair.ask("audit")[0] == 0
    pair.alter(*DROP_ABOVE, values=(7,))
    pair.alter("DELETE FROM records WHERE seq = 2")
    code, found = pair.ask("audit")
    assert (code, found["sequences"][0]["removed"]) == (1, [[2, 2], [8, 10]])


@pytest.mark.slow
def test_records_that_wait_in_the_unit_are_told_apart_from_removed_ones(pair):
    pair.outbox.append([make_read(number) for number in range(1, 11)])
    pair.deliver()
    pair.outbox.append([make_read(number) for number in range(11, 14)])
    pair.report()
    code, (unit,) = pair.check()
    assert (code, unit["missing"], unit["unsent"]) == (1, [], [[11, 13]])
    pair.deliver()
    assert pair.check()[0] == 0


@pytest.mark.slow
def test_a_unit_whose_records_were_all_removed_is_told(pair):
    pair.outbox.append([make_read(number) for number in range(1, 11)])
    pair.deliver()
    pair.report()
    pair.alter("DELETE FROM records", "DELETE FROM evidence", "DELETE FROM seen", "DELETE FROM reads")
    code, (unit,) = pair.check()
    assert (code, unit["missing"]) == (1, [[1, 10]])
    pair.alter("DELETE FROM lives", "DELETE FROM units")
    code, found = pair.ask("check", "--keys", str(pair.keys))
    assert (code, found["silent"]) == (1, ["unit-07"])


@pytest.mark.slow
def test_a_head_of_another_chain_is_told(pair):
    """The latest record was replaced by one that the unit signed, but not there."""
    pair.outbox.append([make_read(number) for number in range(1, 4)])
    pair.deliver()
    head = sign_head(pair.own, "unit-07", HeadState(3, 3, bytes(32), b"", BOOT, 60_000_000, None))
    told = Health(
        unit="unit-07", boot_id=BOOT, mono_us=1, utc_us=None, seq_high=3, counters={}, gauges={}, head=head
    )
    pair.ingest.handle(HEALTH, encode(told))
    code, (unit,) = pair.check()
    assert (code, unit["head_wrong"]) == (1, [3])


def test_a_head_that_the_unit_did_not_sign_is_counted_and_not_stored(pair):
    pair.outbox.append([make_read(1)])
    pair.deliver()
    forged = sign_head(SigningKey.generate(), "unit-07", HeadState(9, 9, bytes(32), b"", BOOT, 1, None))
    good = decode(pair.report(), Health)
    of_another = sign_head(pair.own, "unit-08", HeadState(9, 9, bytes(32), b"", BOOT, 1, None))
    for head in (forged, of_another, b"noise", good.head[:-1] + bytes([good.head[-1] ^ 1])):
        pair.ingest.handle(HEALTH, encode(good.model_copy(update={"head": head})))
    other_boot = good.model_copy(update={"boot_id": BOOT[::-1]})
    pair.ingest.handle(HEALTH, encode(other_boot))
    assert (pair.ingest.counts.invalid_heads, pair.ingest.counts.health) == (5, 6)
    assert pair.store.series("unit-07")[0].head == good.head
    assert pair.check()[0] == 0


@pytest.mark.slow
def test_an_older_head_does_not_replace_a_newer_one(pair):
    pair.outbox.append([make_read(1)])
    early = pair.report()
    pair.outbox.append([make_read(2)])
    pair.deliver()
    late = decode(pair.report(), Health).head
    pair.ingest.handle(HEALTH, early)
    assert pair.store.series("unit-07")[0].head == late


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"noise",
        encode(Health(unit="unit-07", boot_id=BOOT, mono_us=1, utc_us=None, seq_high=1, counters={}, gauges={})),
        "text",
    ],
)
def test_a_head_that_was_overwritten_is_a_fault(pair, content):
    pair.outbox.append([make_read(1)])
    pair.deliver()
    pair.report()
    pair.alter("UPDATE lives SET head = ?", values=(content,))
    code, found = pair.ask("check", "--keys", str(pair.keys))
    assert (code, [fault["what"] for fault in found["faults"]]) == (1, ["signed head: not a head"])


def test_a_unit_without_heads_is_verified_as_before(pair):
    pair.outbox.append([make_read(1)])
    pair.deliver()
    told = Health(unit="unit-07", boot_id=BOOT, mono_us=1, utc_us=None, seq_high=1, counters={}, gauges={})
    pair.ingest.handle(HEALTH, encode(told))
    code, (unit,) = pair.check()
    assert (code, unit["head"], pair.ingest.counts.invalid_heads) == (0, None, 0)


@pytest.mark.slow
@pytest.mark.parametrize("life", [LIFE_A, b""])
def test_a_reflashed_unit_begins_a_new_series_and_the_old_one_stays_proven(pair, life):
    pair.begin(life)
    pair.outbox.append([make_read(number) for number in range(1, 6)])
    pair.deliver()
    pair.report()
    pair.flash(LIFE_B)
    pair.outbox.append([make_read(number) for number in range(11, 14)])
    pair.deliver()
    pair.report()
    code, units = pair.check()
    assert code == 0, units
    assert [(unit["life"], unit["records"], unit["head"]) for unit in units] == [
        (life.hex(), 5, 5),
        (LIFE_B.hex(), 3, 3),
    ]
    # Two records of the old series are removed: the numbers of the new one do not hide that.
    pair.alter(*DROP_OF_LIFE, values=(life,))
    code, units = pair.check()
    assert (code, [unit["missing"] for unit in units]) == (1, [[[2, 3]], []])
    code, found = pair.ask("audit")
    assert (code, [row["removed"] for row in found["sequences"]]) == (1, [[[2, 3]], []])


@pytest.mark.slow
def test_two_units_with_one_name_are_told_wherever_an_operator_looks(pair):
    """The old card is used again in another vehicle."""
    now_us = [1_760_000_000_000_000]
    pair.ingest._clock_us = lambda: now_us[0]
    pair.begin(LIFE_A)
    pair.outbox.append([make_read(1)])
    pair.deliver()
    old, old_reader, old_own = pair.outbox, pair.reader, pair.own
    pair.flash(LIFE_B, keep=True)
    pair.outbox.append([make_read(11)])
    now_us[0] += 60_000_000
    pair.deliver()
    assert pair.ask("audit")[0] == 0
    new, new_reader = pair.outbox, pair.reader
    pair.outbox, pair.reader, pair.own, pair.life = old, old_reader, old_own, LIFE_A
    pair.outbox.append([make_read(2)])
    now_us[0] += 60_000_000
    pair.deliver()
    new_reader.close()
    new.close()
    assert (pair.ingest.counts.name_conflicts, pair.ingest.conflicting) == (1, {"unit-07"})
    code, found = pair.ask("audit")
    assert (code, [row["overlaps"] for row in found["sequences"]]) == (1, [1, 0])
    (unit,) = pair.ask("units")[1]
    assert (unit["lives"], unit["name_conflicts"]) == (2, 1)
    shown = RUNNER.invoke(station_app, ["audit", "--db", str(pair.folder / "station.db")])
    assert "unit-07, life 41414141: spoke 1 times after a later life of this unit had begun" in shown.output
    shown = RUNNER.invoke(station_app, ["units", "--db", str(pair.folder / "station.db")])
    assert "two units use this name" in " ".join(shown.output.split())


@pytest.mark.slow
def test_a_life_that_was_altered_is_told(pair):
    """Where none is noted, as by a station before there were lives, that of the signed record counts."""
    pair.begin(LIFE_A)
    pair.outbox.append([make_read(number) for number in range(1, 4)])
    pair.deliver()
    pair.alter("UPDATE evidence SET life = x''")
    assert pair.check()[0] == 0
    pair.alter("UPDATE evidence SET life = x'42424242424242424242424242424242'")
    code, units = pair.check()
    assert code == 1
    assert any(unit["changed"] for unit in units)


def test_gaps_of_a_query_are_those_of_each_life(pair):
    pair.begin(LIFE_A)
    pair.outbox.append([make_read(number) for number in range(1, 6)])
    rows = pair.reader.records(after_seq=0, limit=10)
    for row in rows[:2] + rows[3:]:
        pair.ingest.handle("lpr/1/unit-07/up/read", row.payload)
    pair.flash(LIFE_B)
    pair.outbox.append([make_read(number) for number in range(11, 16)])
    pair.deliver()
    old, new = Query(pair.store, Asker("tester"), lambda: 1).sequences()
    assert (old.life, old.missing, old.seen) == (LIFE_A, [(3, 3)], ((1, 2), (4, 5)))
    assert (new.life, new.missing, new.conflicts) == (LIFE_B, [], 0)


def test_an_outbox_that_was_lost_within_a_boot_loses_no_record(pair):
    """Records without an id of their own get one made from boot and number, which come again."""
    pair.begin(LIFE_A)
    pair.outbox.append([NewRecord(make_time_anchor())])
    pair.deliver()
    pair.begin(LIFE_B)
    pair.outbox.append([NewRecord(make_time_anchor())])
    pair.deliver()
    assert (pair.ingest.counts.others, pair.ingest.counts.duplicates) == (2, 0)


def test_the_life_of_an_outbox_is_made_once_and_survives_it(tmp_path):
    life = life_of(tmp_path)
    assert len(life) == 16
    (tmp_path / "outbox-3.db").touch()
    assert life_of(tmp_path) == life
    assert life_of(tmp_path / "another") != life


def test_an_outbox_of_an_older_release_goes_on_without_a_life(tmp_path):
    (tmp_path / "outbox.seq").write_text("10000\n")
    assert life_of(tmp_path) == b""
    (tmp_path / "outbox.life").write_bytes(b"\xff damaged")
    assert life_of(tmp_path) == b""


def test_lives_of_one_unit_are_bounded_and_keep_the_order_of_their_messages(pair, monkeypatch):
    """A stolen card that begins a life with each message is told, and does not slow down the others."""
    monkeypatch.setattr("station.store.lives.MAX_LIVES", 2)
    lives = pair.store._lives
    with pair.store.transaction():
        assert not lives.heard([("b", LIFE_B), ("a", LIFE_A), ("b", LIFE_A)], 1_000)
        assert lives.heard([("b", b"C" * 16)], 2_000) == {"b"}
    assert [row.life for row in pair.store.series("b")] == [LIFE_B, LIFE_A]


def test_a_life_that_begins_after_the_clock_was_set_back_is_the_present_one(pair):
    """The station's clock was ahead when the life before began: the new one is no second unit."""
    lives, ahead_us = pair.store._lives, 86_400_000_000
    with pair.store.transaction():
        lives.heard([("b", LIFE_A)], ahead_us)
        lives.heard([("b", LIFE_B)], 1_000)
        assert not lives.heard([("b", LIFE_B)], 2 * ahead_us)
        assert lives.heard([("b", LIFE_A)], 2 * ahead_us) == {"b"}
    assert [row.life for row in pair.store.series("b")] == [LIFE_A, LIFE_B]


def test_a_list_of_units_does_not_read_all_their_records(pair):
    """Only their series are compared with what is stored: millions of records take seconds."""
    pair.outbox.append([make_read(number) for number in range(1, 4)])
    pair.deliver()
    pair.report()
    pair.store._lives._stored = "not to be run"
    (row,) = pair.store.units()
    assert (row.missing, row.lives) == (0, 1)
    assert (pair.store.gaps(row.unit), pair.store.seen(row.unit)) == ([], [(1, 3)])


HOUR_US = 3_600_000_000
HEARD_US = 1_760_000_000_000_000
"""When the station of ``Pair`` heard everything."""
NEWEST_ARE_REMOVED = (
    "DELETE FROM records WHERE seq > 6",
    "DELETE FROM evidence WHERE seq > 6",
    "DELETE FROM reads WHERE record_id NOT IN (SELECT record_id FROM records)",
    "UPDATE lives SET seq_high = 6",
    "UPDATE seen SET last = 6",
)


def head_of(pair):
    with closing(sqlite3.connect(pair.folder / "station.db")) as con:
        return con.execute("SELECT head FROM lives").fetchone()[0]


@pytest.fixture
def noted(pair):
    """A unit whose head was at 6, then at 10; both were noted."""
    pair.older = b""
    for last, numbers in ((6, range(1, 7)), (10, range(7, 11))):
        pair.outbox.append([make_read(number) for number in numbers])
        pair.deliver()
        pair.report(mono_us=last * 1_000_000)
        pair.older = pair.older or head_of(pair)
        assert note_heads(pair.store, HEARD_US + (last - 20) * HOUR_US) == 1
    return pair


@pytest.mark.slow
def test_older_head_in_the_place_of_the_newest_is_found(noted):
    """Both are signed by the unit: only the log says which came later."""
    noted.alter("UPDATE lives SET head = ?", values=(noted.older,))
    noted.alter(*NEWEST_ARE_REMOVED)
    code, found = noted.ask("check", "--keys", str(noted.keys))
    assert code == 1
    (fault,) = found["log"]["faults"]
    assert fault.startswith("unit-07")
    assert fault.endswith("at record 10, the stored one is older, at 6: the newest records were removed")


@pytest.mark.slow
def test_head_that_was_removed_is_found(noted):
    noted.alter("UPDATE lives SET head = NULL", *NEWEST_ARE_REMOVED)
    code, found = noted.ask("check", "--keys", str(noted.keys))
    assert code == 1
    assert found["log"]["faults"][0].endswith("at record 10, and the head is gone")


@pytest.mark.slow
def test_noted_heads_agree_with_an_unaltered_station(noted):
    noted.report(mono_us=99_000_000)
    assert noted.ask("check", "--keys", str(noted.keys))[0] == 0


def test_heads_are_noted_once_an_hour_by_one_worker(pair):
    assert note_heads(pair.store, HOUR_US) == 0
    pair.outbox.append([make_read(1)])
    pair.deliver()
    pair.report()
    now_us = HEARD_US + HOUR_US
    assert [note_heads(pair.store, now_us + minutes * 60_000_000) for minutes in (0, 1, 59)] == [1, 0, 0]
    # A unit that was silent since then is not noted again.
    assert note_heads(pair.store, now_us + HOUR_US) == 0
    # The clock was set back: noted again rather than not for years.
    assert note_heads(pair.store, now_us - 300 * 24 * HOUR_US) == 1


def test_heads_of_a_large_fleet_take_several_entries(pair):
    for number in range(250):
        unit = f"unit-{number:03}"
        state = HeadState(5, 5, bytes(32), LIFE_A, BOOT, 1, None)
        head = sign_head(pair.own, unit, state)
        health = Health(
            unit=unit,
            boot_id=BOOT,
            mono_us=1,
            utc_us=None,
            seq_high=5,
            counters={},
            gauges={},
            life=LIFE_A,
            head=head,
        )
        with pair.store.transaction():
            pair.store.note_health(health, encode(health), 1_000, decode(head, Head))
    assert note_heads(pair.store, HEARD_US) == 250
    assert [row.count for row in pair.store.audit_trail()] == [100, 100, 50]
