"""Days of simulated time on a scripted link: outages of hours, lost and reordered messages."""

from __future__ import annotations

import random

import pytest

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.uplink import Uplink, UplinkConfig
from hw.clock import SimClock
from hw.link_sim import LinkSim
from protocol.wire.codec import encode
from protocol.wire.control.receipt import Receipt
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, make_encoder, make_read
from tests.station_files import stored_reads

pytestmark = pytest.mark.slow

S = 1_000_000_000
HOUR_S = 3600
UNIT = "unit-07"
ROUND_S = 1
READ_EVERY_S = 180
LATENCY_MS = 60


class Days:
    """A unit that makes a read now and then, a link with a script, a station; an hour takes a moment."""

    def __init__(self, folder, *, peer=None, **config) -> None:
        self.clock = SimClock()
        self.store = open_store(folder / "station.db")
        self.ingest = Ingest(self.store, "s", lambda: self.clock.mono_ns() // 1000)
        limits = Limits(min_free_bytes=0, ballast_bytes=0)
        self.outbox = open_outbox(folder / "unit", make_encoder(), limits=limits)[0]
        self.reader = OutboxReader(self.outbox.path)
        self.link = LinkSim(peer or self.ingest.handle, self.clock, latency_ms=LATENCY_MS, window=256)
        self.commands: list = []
        self.uplink = Uplink(
            self.link, self.reader, self.commands.append, unit=UNIT, boot_id=BOOT, config=UplinkConfig(**config)
        )
        self.link.start(
            lambda event: self.uplink.handle(event, self.clock.mono_ns()),
            subscribe=(build(UNIT, Channel.RECEIPT),),
            will=None,
        )
        self.made = 0
        self._next_read_s = 0

    def pass_hours(self, hours: float) -> None:
        until_ns = self.clock.mono_ns() + round(hours * HOUR_S) * S
        while self.clock.mono_ns() < until_ns:
            self.clock.advance(ROUND_S * S)
            now_s = self.clock.mono_ns() // S
            if now_s >= self._next_read_s:
                self._next_read_s = now_s + READ_EVERY_S
                self.made += 1
                self.outbox.append([make_read(self.made, pictures=())])
            self.step()

    def step(self) -> None:
        self.link.step()
        self.uplink.pump(self.clock.mono_ns())
        if self.commands:
            self.outbox.apply(self.commands)
            self.commands.clear()

    def settle(self, max_s: int) -> int:
        """Let time pass without new reads until nothing waits; return how many seconds that took."""
        for second in range(max_s):
            if not self.outbox.stats().reads:
                return second
            self.clock.advance(ROUND_S * S)
            self.step()
        raise AssertionError(f"{self.outbox.stats()} {self.uplink.counts}")

    def check(self) -> None:
        """Every read is there, once."""
        assert sorted(row.seq for row in stored_reads(self.store)) == list(range(1, self.made + 1))
        stats = self.outbox.stats()
        assert (stats.appended, stats.receipted, stats.quarantined, stats.evicted_reads) == (
            self.made, self.made, 0, 0,
        )  # fmt: skip

    def close(self) -> None:
        self.reader.close()
        self.outbox.close()
        self.store.close()


@pytest.fixture
def days(tmp_path):
    made = Days(tmp_path)
    yield made
    made.close()


def test_long_outages_lose_nothing(days):
    """Two days with outages of up to eleven hours: when the link is back, all that was made arrives within a minute."""
    days.link.up()
    for up_hours, down_hours in ((1, 3), (0.2, 11), (2, 0.5), (0.01, 7), (4, 8)):
        days.pass_hours(up_hours)
        days.link.down()
        before = len(stored_reads(days.store))
        days.pass_hours(down_hours)
        assert len(stored_reads(days.store)) == before
        assert days.outbox.stats().reads >= down_hours * 20 - 1
        days.link.up()
        assert days.settle(60) < 60
        days.check()
    assert days.clock.mono_ns() > 36 * HOUR_S * S
    assert days.ingest.counts.duplicates <= 5 * 2


def test_undetected_outage(days):
    """For six hours the connection looks alive, messages and answers vanish; later the link says that it was dead.

    Nothing is taken for delivered, what is in flight stays bounded, and all of it arrives afterwards.
    """
    days.link.up()
    days.pass_hours(0.5)
    hears, days.link._peer = days.link._peer, lambda *_: []
    days.link.drop_acks(10**9)
    days.pass_hours(6)
    assert days.uplink.in_flight <= 256
    assert days.outbox.stats().reads >= 119
    days.link._peer = hears
    days.link.drop_acks(0)
    days.link.down("keep-alive ran out")
    days.link.up()
    assert days.settle(60) < 60
    days.check()


class PostOffice:
    """Messages and answers in any order, some twice, some never, some that nobody asked for."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.ingest: Ingest | None = None
        self._in: list[tuple[str, bytes]] = []
        self._out: list[tuple[str, bytes]] = []
        self.calm = False
        self.unknown = 0

    def __call__(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if self.calm:
            late, self._in = [*self._in, (topic, payload)], []
            answers, self._out = [*self._out, *self._deliver(late)], []
            return answers
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            self._in.insert(self.rng.randint(0, len(self._in)), (topic, payload))
        take, self._in = self._in[:3], self._in[3:]
        for answer in self._deliver(take):
            for _ in range(self.rng.choice((0, 1, 1, 2))):
                self._out.insert(self.rng.randint(0, len(self._out)), answer)
        if self.rng.random() < 0.1:
            self.unknown += 1
            never = ((self.rng.randint(1, 10**6), self.rng.randbytes(16)),)
            foreign = Receipt(unit=UNIT, station="s", stored_us=1, records=never, pictures=())
            self._out.append((build(UNIT, Channel.RECEIPT), encode(foreign)))
        answers, self._out = self._out[:2], self._out[2:]
        return answers

    def _deliver(self, messages: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [answer for message in messages for answer in self.ingest.handle(*message)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lost_duplicated_and_reordered_messages(tmp_path, seed):
    """Messages and receipts lost, doubled, out of order, and receipts for what never was.

    Every read is stored once, and no strange receipt frees anything.
    """
    office = PostOffice(seed)
    days = Days(tmp_path, peer=office)
    office.ingest = days.ingest
    days.link.up()
    days.pass_hours(8)
    assert days.ingest.counts.duplicates > 0
    assert office.unknown > 0
    assert days.outbox.stats().unknown_receipts >= 1
    office.calm = True
    days.settle(1200)
    days.check()
    assert days.store.gaps(UNIT) == []
    days.close()
