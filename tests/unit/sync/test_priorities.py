"""Urgent records are sent first, whatever waits or is in flight; in the end everything arrives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer import OutboxReader, Quarantined, Receipted
from agent.buffer.table import COLUMNS
from agent.sync.uplink import Uplink, UplinkConfig
from hw.ports import Acked, LinkDown, LinkDownError, LinkUp, Received
from protocol.seal import Opener
from protocol.seal.envelope import sealed_of
from protocol.seal.keys import KeyRing
from protocol.wire.codec import encode, payload_ref, schema_of, unpack
from protocol.wire.control.receipt import Nack, Receipt
from protocol.wire.enums import NackCode
from protocol.wire.topics import Channel, build
from tests.builders import BOOT, make_read
from tests.unit.buffer.test_types import OWN, STATION, alarm, note, opened

S = 1_000_000_000
UNIT = "unit-07"
BACKLOG = 100_000
NEW = {"alarm/1": alarm, "read/1": lambda number: make_read(number, pictures=()), "note/1": note}


class Road:
    """An outbox, an uplink, and a station that answers when the test says so."""

    def __init__(self, folder, *, window=16, unreceipted=2048, fetch=64, sealed=False):
        self.outbox = opened(folder, sealed=sealed)
        self.reader = OutboxReader(self.outbox.path)
        self.commands: list = []
        config = UplinkConfig(window=window, unreceipted=unreceipted, fetch=fetch)
        self.uplink = Uplink(self, self.reader, self.commands.append, unit=UNIT, boot_id=BOOT, config=config)
        self.window = window
        self.now_ns = 0
        self.is_up = False
        self.flights: list[int] = []
        self.rows: dict[bytes, tuple[int, bytes, str]] = {}
        """By payload: number, id, type."""
        self.under_way: list[bytes] = []
        self.arrived: list[str] = []
        self.made = 0

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic, payload, *, token, retain=False, qos=1):
        if not self.is_up:
            raise LinkDownError("down")
        assert topic == build(UNIT, Channel.READ)
        self.learn()
        self.check_urgent_first(payload)
        self.flights.append(token)
        self.under_way.append(payload)

    def learn(self) -> None:
        for row in self.reader.records(after_seq=0, limit=10_000):
            self.rows[row.payload] = (row.seq, row.record_id, row.schema)

    def check_urgent_first(self, payload) -> None:
        waiting = {row.payload: row.priority for row in self.reader.records(after_seq=0, limit=10_000)}
        unsent = [priority for other, priority in waiting.items() if other not in self.under_way]
        if payload in waiting:
            assert waiting[payload] == min(unsent)

    def append(self, schema: str) -> None:
        self.made += 1
        self.outbox.append([NEW[schema](self.made)])

    def up(self) -> None:
        self.is_up, self.under_way, self.flights = True, [], []
        self.uplink.handle(LinkUp(self.window), self.now_ns)

    def down(self) -> None:
        self.is_up, self.flights = False, []
        self.uplink.handle(LinkDown("gone"), self.now_ns)

    def pump(self) -> None:
        self.uplink.pump(self.now_ns)

    def ack(self, count: int = 10**9) -> None:
        acked, self.flights = self.flights[:count], self.flights[count:]
        for token in acked:
            self.uplink.handle(Acked(token), self.now_ns)

    def receipt(self, count: int = 10**9) -> None:
        """The station stores the oldest that are under way, and says so."""
        known = self.under_way[:count]
        for payload in known:
            self.arrived.append(self.rows[payload][2])
        records = tuple(self.rows[payload][:2] for payload in known)
        if records:
            receipt = encode(Receipt(unit=UNIT, station="s", stored_us=1, records=records, pictures=()))
            self.uplink.handle(Received(build(UNIT, Channel.RECEIPT), receipt), self.now_ns)
        self.apply()

    def apply(self) -> None:
        self.outbox.apply(self.commands)
        self.commands.clear()

    def take(self, what: str, value: int | str) -> None:
        """One step of a property."""
        if what in {"append", "ack"}:
            getattr(self, what)(value)
        elif what == "receipt" and self.is_up:
            self.receipt(value)
        elif what in {"up", "down"}:
            getattr(self, what)()
        if self.is_up:
            self.pump()

    def sent(self) -> list[str]:
        return [self.rows[payload][2] for payload in self.under_way]

    def close(self):
        self.reader.close()
        self.outbox.close()


@pytest.fixture
def road(tmp_path):
    made = Road(tmp_path)
    yield made
    made.close()


def test_urgent_record_is_sent_before_older_ones(road):
    for schema in ("note/1", "read/1", "read/1", "alarm/1", "note/1", "alarm/1"):
        road.append(schema)
    road.up()
    road.pump()
    assert road.sent() == ["alarm/1", "alarm/1", "read/1", "read/1", "note/1", "note/1"]


def test_urgent_record_is_next_while_a_window_is_in_flight(road):
    """Reads were fetched already; the next place in the window is the alarm's."""
    for _ in range(40):
        road.append("read/1")
    road.up()
    road.pump()
    assert road.sent() == ["read/1"] * 16
    road.append("alarm/1")
    road.ack(2)
    road.pump()
    assert road.sent()[16:] == ["alarm/1", "read/1"]


def test_unreceipted_reads_do_not_delay_urgent_records(tmp_path):
    """A station that stores nothing for a while: no more reads go, an alarm does."""
    road = Road(tmp_path, unreceipted=5)
    for _ in range(9):
        road.append("read/1")
    road.up()
    for _ in range(3):
        road.pump()
        road.ack()
    assert road.sent() == ["read/1"] * 5
    road.append("alarm/1")
    road.pump()
    assert road.sent()[5:] == ["alarm/1"]
    assert road.uplink.unreceipted == 6
    road.close()


def test_only_the_overdue_priority_is_sent_again(road):
    road.append("read/1")
    road.up()
    road.pump()
    road.ack()
    road.now_ns += 15 * S
    road.append("alarm/1")
    road.pump()
    road.ack()
    road.now_ns += 10 * S
    late = road.under_way.pop(0)
    road.pump()
    assert road.under_way[1:] == [late]
    assert (road.uplink.counts.resent, road.uplink.counts.overdue) == (1, 1)
    road.receipt()
    assert road.outbox.stats().reads == 0


def test_nack_finds_the_record_in_any_priority(road):
    """A nack refers to bytes, whatever their priority."""
    for schema in ("read/1", "alarm/1"):
        road.append(schema)
    road.up()
    road.pump()
    ref = payload_ref(road.under_way[0])
    nack = encode(Nack(unit=UNIT, ref=ref, code=NackCode.MALFORMED, retry=False, detail=""))
    road.uplink.handle(Received(build(UNIT, Channel.RECEIPT), nack), 0)
    assert road.commands == [Quarantined(2, "malformed")]
    assert road.uplink.unreceipted == 1


def test_expired_record_is_not_sent(road):
    """It had been fetched, and waited for room in the window."""
    for _ in range(16):
        road.append("read/1")
    road.outbox.append([alarm(100), note(100, expires_utc_us=5), note(101)])
    road.up()
    road.pump()
    road.outbox.expire(5)
    road.ack()
    road.pump()
    road.learn()
    assert [road.rows[payload][1] for payload in road.under_way if road.rows[payload][2] == "note/1"] == [
        note(101).record_id
    ]


@pytest.mark.parametrize("sealed", [False, True])
def test_type_of_this_test_is_sent_and_receipted(tmp_path, sealed):
    """Sent by its priority, open or sealed; the station reads it; its receipt frees it."""
    road = Road(tmp_path, sealed=sealed)
    for schema in ("read/1", "note/1", "alarm/1"):
        road.append(schema)
    road.up()
    road.pump()
    assert road.sent() == ["alarm/1", "read/1", "note/1"]
    opener = Opener(KeyRing({STATION.id: STATION}).with_unit(UNIT, OWN.public))
    heard = [opener.record(sealed_of(unpack(payload))).record if sealed else payload for payload in road.under_way]
    assert [schema_of(unpack(record)) for record in heard] == ["alarm/1", "read/1", "note/1"]
    road.receipt()
    stats = road.outbox.stats()
    assert (stats.waiting, [stats.types[schema].receipted for schema in NEW]) == (0, [1, 1, 1])
    road.close()


STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(sorted(NEW))),
    st.tuples(st.just("ack"), st.integers(1, 6)),
    st.tuples(st.just("receipt"), st.integers(1, 6)),
    st.tuples(st.sampled_from(["up", "down", "pump"]), st.just(0)),
)


@pytest.mark.slow
@settings(max_examples=120)
@given(st.lists(STEPS, max_size=60), st.integers(1, 5), st.integers(1, 4))
def test_urgent_records_go_first_and_all_arrive(tmp_path_factory, steps, window, fetch):
    """At each publish nothing that waits unsent is more urgent; after the last outage every record arrives."""
    road = Road(tmp_path_factory.mktemp("road"), window=window, fetch=fetch)
    for step in steps:
        road.take(*step)
    road.up()
    for _ in range(200):
        road.pump()
        road.ack()
        road.receipt()
        road.under_way.clear()
    stats = road.outbox.stats()
    assert (stats.waiting, stats.quarantined) == (0, 0)
    assert sum(counts.receipted for counts in stats.types.values()) == road.made
    road.close()


def fill(outbox, count: int) -> None:
    """As many reads with the bytes of one: as rows, for appending them would take minutes and prove nothing more."""
    outbox.append([make_read(1, pictures=())])
    con = outbox._con
    con.execute("BEGIN")
    con.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO records (seq, schema, id, payload, priority, kept)"
        " SELECT i, schema, randomblob(16), CAST(payload || randomblob(8) AS BLOB), priority, kept FROM n, records"
        " WHERE seq = 1",
        (count,),
    )
    con.execute("UPDATE meta SET next_seq = ?", (count + 1,))
    con.execute("UPDATE types SET waiting = ?, appended = ?", (count, count))
    con.execute("COMMIT")


class Sink:
    """Takes everything, and remembers it."""

    def __init__(self):
        self.sent: list[tuple[int, bytes]] = []

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic, payload, *, token, retain=False, qos=1):
        self.sent.append((token, payload))


@pytest.mark.slow
def test_urgent_record_passes_a_hundred_thousand_reads(tmp_path):
    """While draining: it is sent next, wherever the cursor of the reads is."""
    outbox = opened(tmp_path)
    fill(outbox, BACKLOG)
    reader = OutboxReader(outbox.path)
    sink, commands = Sink(), []
    uplink = Uplink(sink, reader, commands.append, unit=UNIT, boot_id=BOOT, config=UplinkConfig(window=16))
    uplink.handle(LinkUp(16), 0)
    uplink.pump(0)
    sent = 0
    for turn in range(1, 200):
        newest = sink.sent[sent:]
        sent = len(sink.sent)
        if turn % 50 == 0:
            (seq,) = outbox.append([alarm(turn)])
            wanted = reader.records(after_seq=seq - 1, limit=1)[0].payload
        for token, _ in newest:
            uplink.handle(Acked(token), turn)
        uplink.pump(turn)
        if turn % 50 == 0:
            assert sink.sent[sent][1] == wanted
        outbox.apply([Receipted(((turn, b"\0" * 16),))])
    assert len({payload for _, payload in sink.sent}) == len(sink.sent) > 1000
    for query in (
        f"SELECT {COLUMNS} FROM records INDEXED BY records_priority WHERE priority = 10 AND seq > 5 ORDER BY seq",  # noqa: S608 - words of ours
        "SELECT min(priority) FROM records WHERE priority > 0",
    ):
        plan = " ".join(row[3] for row in outbox._con.execute(f"EXPLAIN QUERY PLAN {query} LIMIT 64"))
        assert "records_priority" in plan
        assert "TEMP B-TREE" not in plan
    reader.close()
    outbox.close()
