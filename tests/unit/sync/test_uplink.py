"""The uplink: nothing leaves the outbox without a receipt, nothing is forgotten, the window is kept."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buffer import (
    Limits,
    OutboxReader,
    PicturePriority,
    PictureQuarantined,
    PictureStored,
    Quarantined,
    Receipted,
    open_outbox,
)
from agent.sync.metering import MeteringConfig
from agent.sync.uplink import Uplink, UplinkConfig
from hw.ports import Acked, LinkDown, LinkDownError, LinkUp, Received, Refused
from protocol.errors import WireError
from protocol.seal import ReceiptVerifier, SigningKey
from protocol.seal.receipts import sign_answer
from protocol.wire.codec import decode, encode, payload_ref
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.enums import NackCode
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build, offer_topic
from tests.builders import BOOT, make_encoder, make_picture, make_read

S = 1_000_000_000
TYPES = released_registry()
READ_TOPIC = build("unit-07", Channel.READ)
PIC_TOPIC = build("unit-07", Channel.PICTURE)
DOWN_TOPIC = build("unit-07", Channel.RECEIPT)
UPDATE_TOPIC = build("unit-07", Channel.UPDATE)
COMMAND_TOPIC = build("unit-07", Channel.COMMAND)
PART_TOPIC = build("unit-07", Channel.PART)
MAPS_TOPIC = offer_topic("unit-07", "maps")


def envelope(payload):
    return decode_record(payload, TYPES).envelope


def chunk_of(payload):
    return decode(payload, PictureChunk)


def receipt(*, unit="unit-07", records=(), pictures=()):
    return encode(Receipt(unit=unit, station="station", stored_us=1, records=records, pictures=pictures))


def nack(payload, code, *, retry):
    return encode(Nack(unit="unit-07", ref=payload_ref(payload), code=code, retry=retry, detail=""))


class FakeLink:
    """Remembers what was published; the test says what comes back."""

    def __init__(self):
        self.up = True
        self.sent = []
        self.all = []
        self.confirmed = 0

    def start(self, on_event, *, subscribe, will):
        raise AssertionError("the uplink does not start the link")

    def confirm(self) -> None:
        self.confirmed += 1

    def publish(self, topic, payload, *, token, retain=False, qos=1):
        if not self.up:
            raise LinkDownError("down")
        self.sent.append((topic, payload, token))
        self.all.append((topic, payload, token))

    def close(self):
        """Nothing to release."""

    def take(self, topic=None):
        sent, self.sent = self.sent, []
        return [s for s in sent if topic is None or s[0] == topic]


class NothingWaits:
    """An empty outbox."""

    def changes(self):
        return 0

    def given_up(self):
        return 0

    def priorities(self):
        return []

    def pictures(self, priority, *, after_pic, limit):
        return []


class Rig:
    """An uplink on a real outbox."""

    def __init__(self, folder, *, reads=5, config=None, downloads=None):
        self.outbox = open_outbox(folder, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]
        if reads:
            self.outbox.append([make_read(n) for n in range(1, reads + 1)])
        self.reader = OutboxReader(self.outbox.path)
        self.link = FakeLink()
        self.commands = []
        self.uplink = Uplink(
            self.link,
            self.reader,
            self.commands.append,
            unit="unit-07",
            boot_id=BOOT,
            config=config or UplinkConfig(),
            downloads=downloads,
        )
        self.now = 0

    def up(self, window=16):
        self.uplink.handle(LinkUp(window), self.now)

    def pump(self):
        self.uplink.pump(self.now)
        return self.link.take()

    def ack(self, sent):
        for _, _, token in sent:
            self.uplink.handle(Acked(token), self.now)

    def receive(self, payload):
        self.uplink.handle(Received(DOWN_TOPIC, payload), self.now)

    def receipt(self, sent):
        named = [envelope(payload) for topic, payload, _ in sent if topic == READ_TOPIC]
        self.receive(receipt(records=tuple((known.seq, known.record_id) for known in named)))

    def apply(self):
        commands, self.commands[:] = list(self.commands), []
        return self.outbox.apply(commands)

    def close(self):
        self.reader.close()
        self.outbox.close()


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path)
    yield made
    made.close()


def seqs(sent):
    return [envelope(payload).seq for topic, payload, _ in sent if topic == READ_TOPIC]


def test_nothing_is_published_while_the_link_is_down(rig):
    """Publishing while not connected would only fill the client's queue."""
    assert rig.pump() == []


def test_reads_go_out_in_order_and_before_pictures(rig):
    """All five reads are published before the first chunk of a picture."""
    rig.up()
    sent = rig.pump()
    assert seqs(sent) == [1, 2, 3, 4, 5]
    assert [topic for topic, *_ in sent][:5] == [READ_TOPIC] * 5
    assert PIC_TOPIC in {topic for topic, *_ in sent[5:]}


class Wanting:
    """Always wants bytes of an update."""

    def __init__(self):
        self.offers, self.parts, self.requested_ns = [], [], []

    def offered(self, kind, payload):
        if payload == b"nonsense":
            raise WireError("no offer")
        self.offers.append((kind, payload))
        return kind != "hats"

    def take(self, payload):
        self.parts.append(payload)
        return payload != b"stray"

    def next_request(self, t_mono_ns, *, metered):
        return None if len(self.requested_ns) >= 3 else b"wish"

    def request_sent(self, t_mono_ns):
        self.requested_ns.append(t_mono_ns)

    def link_went(self):
        """Three chunk_requests are all it has."""


def test_updates_are_requested_only_when_nothing_waits(tmp_path):
    """No request is sent before the last chunk of the last picture, and new reads are sent before the next request."""
    wanting = Wanting()
    rig = Rig(tmp_path, config=UplinkConfig(window=100), downloads=wanting)
    rig.up(window=100)
    topics = [topic for topic, *_ in rig.pump()]
    assert topics.count(UPDATE_TOPIC) == 3
    assert topics[-3:] == [UPDATE_TOPIC] * 3
    assert PIC_TOPIC in topics
    wanting.requested_ns.clear()
    rig.outbox.append([make_read(6)])
    topics = [topic for topic, *_ in rig.pump()]
    assert topics[0] == READ_TOPIC
    assert topics.index(UPDATE_TOPIC) > max(n for n, topic in enumerate(topics) if topic != UPDATE_TOPIC)
    rig.close()


def test_offers_and_bytes_reach_the_transfers_and_invalid_ones_are_counted(tmp_path):
    wanting = Wanting()
    rig = Rig(tmp_path, reads=0, downloads=wanting)
    rig.up()
    for topic, payload in (
        (COMMAND_TOPIC, b"offer"), (PART_TOPIC, b"bytes"), (COMMAND_TOPIC, b"nonsense"), (MAPS_TOPIC, b"a map"),
        (f"{MAPS_TOPIC}/more", b"nobody's"), (offer_topic("unit-07", "hats"), b"a hat"), (PART_TOPIC, b"stray"),
    ):  # fmt: skip
        rig.uplink.handle(Received(topic, payload), rig.now)
    assert wanting.offers == [("update", b"offer"), ("maps", b"a map"), ("hats", b"a hat")]
    assert wanting.parts == [b"bytes", b"stray"]
    assert (rig.uplink.counts.malformed, rig.uplink.counts.foreign) == (1, 3)
    rig.close()


def test_offer_without_a_transfer_is_counted_as_foreign(rig):
    rig.uplink.handle(Received(COMMAND_TOPIC, b"offer"), rig.now)
    assert rig.uplink.counts.foreign == 1


def test_the_report_on_updates_is_sent_at_each_connection(rig):
    rig.uplink.set_report(b"report")
    for _ in range(2):
        rig.up()
        assert [payload for topic, payload, _ in rig.pump() if topic == UPDATE_TOPIC] == [b"report"]
        rig.uplink.handle(LinkDown("gone"), rig.now)
    assert rig.uplink.counts.reports_sent == 2


def test_the_window_is_never_exceeded(rig):
    """No more messages in flight than the peer allows; each acknowledgement lets one more go."""
    rig.up(window=2)
    first = rig.pump()
    assert len(first) == 2
    assert rig.pump() == []
    rig.ack(first[:1])
    assert len(rig.pump()) == 1


def test_puback_deletes_nothing(rig):
    """A PUBACK means that the broker has it; only the station's receipt means that it is stored."""
    rig.up()
    rig.ack(rig.pump())
    assert rig.commands == []
    assert rig.outbox.stats().reads == 5


def test_receipt_deletes_its_records(rig):
    """The receipt's records leave the outbox, and nothing else."""
    rig.up()
    sent = rig.pump()
    rig.receipt(sent[:2])
    assert rig.apply().freed == 2
    assert rig.outbox.stats().reads == 3
    assert rig.uplink.unreceipted == 3


def test_receipt_and_nothing_else_tells_the_link_that_it_delivers(rig):
    """It then connects again without delay; a broker that takes everything, with no station behind it, is no reason."""
    rig.up()
    sent = rig.pump()
    rig.ack(sent)
    rig.receipt([])
    assert rig.link.confirmed == 0
    rig.receipt(sent[:2])
    assert rig.link.confirmed == 1


def test_unreceipted_records_are_sent_again_after_an_outage(rig):
    """Acknowledged or not: without a receipt it goes out once more, in order."""
    rig.up()
    sent = rig.pump()
    rig.ack(sent)
    rig.receipt(sent[:2])
    rig.apply()
    rig.uplink.handle(LinkDown("gone"), rig.now)
    assert rig.pump() == []
    rig.up()
    assert seqs(rig.pump()) == [3, 4, 5]
    assert rig.uplink.counts.resent == 3


def test_overdue_receipt_causes_a_retry(rig):
    """A receipt that got lost costs a repetition, not a read; waiting grows each time."""
    rig.up()
    rig.ack(rig.pump())
    rig.now = 21 * S
    again = rig.pump()
    assert seqs(again) == [1, 2, 3, 4, 5]
    rig.ack(again)
    rig.now += 21 * S
    assert seqs(rig.pump()) == []
    rig.now += 21 * S
    assert seqs(rig.pump()) == [1, 2, 3, 4, 5]
    assert rig.uplink.counts.overdue >= 2


def test_new_reads_overtake_pictures(rig):
    """A read made while pictures are being sent goes out next."""
    rig.up(window=6)
    sent = rig.pump()
    assert sent[-1][0] == PIC_TOPIC
    rig.outbox.append([make_read(6)])
    rig.ack(sent[-1:])
    assert seqs(rig.pump()) == [6]


def metered(tmp_path, **limits):
    return Rig(tmp_path, config=UplinkConfig(chunk_bytes=100, metering=MeteringConfig(**limits)))


def test_picture_budget_on_a_metered_link(tmp_path):
    """An hour's bytes go out, then pictures wait; a read made meanwhile does not; the next hour goes on."""
    rig = metered(tmp_path, max_bytes_per_hour=1000)
    rig.up()
    for _ in range(40):
        rig.ack(rig.pump())
        rig.apply()
    spent = sum(len(p) for topic, p, _ in rig.link.all if topic == PIC_TOPIC)
    assert 0 < spent <= 1000
    assert rig.uplink.pictures_held_back
    rig.outbox.append([make_read(6)])
    assert seqs(rig.pump()) == [6]
    rig.now += 3601 * S
    assert PIC_TOPIC in {topic for topic, *_ in rig.pump()}
    rig.close()


def test_pictures_wait_for_an_unmetered_link(tmp_path):
    rig = metered(tmp_path, pictures=False)
    rig.up()
    assert PIC_TOPIC not in {topic for topic, *_ in rig.pump()}
    assert rig.uplink.pictures_held_back
    rig.uplink.set_metered(metered=False)
    assert PIC_TOPIC in {topic for topic, *_ in rig.pump()}
    assert not rig.uplink.pictures_held_back
    rig.close()


def test_permanently_refused_record_is_quarantined(rig):
    """A permanent nack: the record is quarantined with the station's code, the others continue."""
    rig.up()
    sent = rig.pump()
    rig.receive(nack(sent[1][1], NackCode.MALFORMED, retry=False))
    assert rig.commands == [Quarantined(2, "malformed")]
    rig.apply()
    assert rig.outbox.stats().quarantined == 1


def test_temporary_nack_causes_a_pause_and_a_retry(rig):
    """A temporary nack: nothing is sent for a while, then all waiting records."""
    rig.up()
    sent = rig.pump()
    rig.ack(sent)
    rig.receive(nack(sent[0][1], NackCode.STORAGE, retry=True))
    assert rig.pump() == []
    rig.now += 10 * S
    assert seqs(rig.pump()) == [1, 2, 3, 4, 5]


def test_many_nacks_cause_one_pause(rig):
    """Five refusals at once: five seconds later everything goes out again, not minutes later."""
    rig.up()
    for _, _, token in rig.pump():
        rig.uplink.handle(Refused(token, 0x87, "not authorised"), rig.now)
    rig.now += 6 * S
    assert seqs(rig.pump()) == [1, 2, 3, 4, 5]


def test_chunks_shrink_when_the_link_breaks(tmp_path):
    """Too large for an MQTT 3.1.1 broker that says nothing: half each time, and larger again after many have passed."""
    rig = Rig(tmp_path, reads=1, config=UplinkConfig(chunk_bytes=2048))
    rig.outbox.append([make_read(2, pictures=(make_picture(content=bytes(range(256)) * 1800),))])
    rig.outbox.apply([Receipted(tuple((n, make_read(n).read_id) for n in (1, 2)))])
    sizes = []
    for _ in range(3):
        rig.up(window=1)
        rig.ack(rig.pump())
        (sent,) = rig.pump() or rig.link.all[-1:]
        sizes.append(len(chunk_of(sent[1]).data))
        rig.uplink.handle(LinkDown("gone"), rig.now)
    rig.up(window=1)
    rig.now += 5 * S
    for _ in range(300):
        sent = rig.pump()
        rig.ack(sent)
        sizes += [len(chunk_of(payload).data) for _, payload, _ in sent]
    assert sizes[:3] == [2048, 1024, 512]
    assert max(sizes[3:30]) == 512
    assert max(sizes) == sizes[-2] == 2048
    rig.close()


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99])
def test_broker_refusal_never_quarantines_a_record(rig, code):
    """Whatever it refuses, however often: records wait, are tried ever more rarely, and pass in the end."""
    refused_at = refuse_everything(rig, code, rounds=2000)
    stats = rig.outbox.stats()
    assert (stats.reads, stats.quarantined, rig.commands) == (5, 0, [])
    assert 10 < rig.uplink.counts.refused == len(refused_at) < 250
    hour = [t for t in refused_at if t >= 2000 * 5 * S - 3600 * S]
    assert len(hour) < 60
    arrived = set()
    for _ in range(400):
        rig.now += 20 * S
        sent = rig.pump()
        rig.ack(sent)
        rig.receipt(sent)
        arrived.update(seqs(sent))
    assert arrived == {1, 2, 3, 4, 5}


def refuse_everything(rig, code, *, rounds):
    """Return when each record was refused."""
    rig.up()
    refused_at = []
    for _ in range(rounds):
        for topic, _, token in rig.pump():
            if topic == READ_TOPIC:
                refused_at.append(rig.now)
                rig.uplink.handle(Refused(token, code, "no"), rig.now)
            else:
                rig.uplink.handle(Acked(token), rig.now)
        rig.now += 5 * S
    return refused_at


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_refused_record_does_not_delay_others(rig, code):
    """The second of five is not taken: the others leave, it is tried again after a minute, then after two."""
    rig.up()
    tried = []
    for _ in range(250):
        for sent in rig.pump():
            if seqs([sent]) == [2]:
                tried.append(rig.now // S)
                rig.uplink.handle(Refused(sent[2], code, "no"), rig.now)
            else:
                rig.ack([sent])
                rig.receipt([sent])
        rig.apply()
        rig.now += S
    assert tried == [0, 60, 180]
    stats = rig.outbox.stats()
    assert (stats.reads, stats.receipted, stats.quarantined, rig.uplink.counts.held_back) == (1, 4, 0, 3)


@pytest.mark.parametrize("limit", [1, 257, 600])
def test_message_larger_than_the_broker_accepts_waits(rig, limit):
    """Maximum Packet Size 1: nothing is sent, nothing set aside, and a broker that takes more gets everything."""
    rig.uplink.set_status(bytes(400))
    rig.uplink.set_report(bytes(400))
    rig.uplink.offer_health(bytes(400))
    rig.uplink.handle(LinkUp(16, limit), rig.now)
    for _ in range(20):
        assert rig.pump() == []
        rig.now += 60 * S
    assert (rig.uplink.counts.too_large, rig.uplink.counts.quarantined, rig.commands) == (6, 0, [])
    rig.uplink.handle(LinkDown("gone"), rig.now)
    rig.up()
    assert seqs(rig.pump()) == [1, 2, 3, 4, 5]


def test_record_that_breaks_connections_is_found_and_held_back(tmp_path):
    """A 3.1.1 broker ends the connection at a record that is too large: it is sent alone, then held back, and the
    others arrive; what goes out in all is bounded."""
    rig = Rig(tmp_path, reads=0)
    rig.outbox.append([make_read(n, pictures=()) for n in range(1, 6)])
    sent_bytes = 0
    for _ in range(12):
        rig.up()
        for _ in range(20):
            sent = rig.pump()
            sent_bytes += sum(len(payload) for _, payload, _ in sent)
            if 2 in seqs(sent):
                rig.uplink.handle(LinkDown("connection lost"), rig.now)
                break
            rig.ack(sent)
            rig.receipt(sent)
            rig.apply()
            rig.now += S
    stats = rig.outbox.stats()
    assert (stats.reads, stats.receipted, stats.quarantined) == (1, 4, 0)
    assert rig.uplink.counts.held_back >= 1
    assert sent_bytes < 20 * 1024
    rig.close()


@pytest.mark.slow
def test_record_that_is_always_lost_is_sent_less_and_less_often(tmp_path):
    """Acknowledged and dropped (``message_size_limit`` under 3.1.1), while the receipts of others come in."""
    rig = Rig(tmp_path, reads=0)
    rig.outbox.append([make_read(1, pictures=())])
    rig.up()
    tried = []
    for n in range(1500):
        for sent in rig.pump():
            rig.ack([sent])
            if seqs([sent]) == [1]:
                tried.append(rig.now // S)
            else:
                rig.receipt([sent])
        rig.apply()
        if n % 3 == 0:
            rig.outbox.append([make_read(n + 2, pictures=())])
        rig.now += S
    assert (rig.outbox.stats().reads, rig.outbox.stats().quarantined) == (1, 0)
    assert 3 < len(tried) < 9
    rig.close()


def test_chunks_without_progress_are_paused_and_shrunk(tmp_path):
    """A 3.1.1 broker acknowledges and drops what is too large; the station asks for the same bytes each time."""
    rig = Rig(tmp_path, reads=0, config=UplinkConfig(chunk_bytes=32_768))
    rig.outbox.append([make_read(1, pictures=(make_picture(content=bytes(range(256)) * 400),))])
    rig.up()
    stored = 0
    sent_bytes, sizes = 0, []
    for _ in range(600):
        for topic, payload, token in rig.pump():
            sent_bytes += len(payload)
            rig.uplink.handle(Acked(token), rig.now)
            if topic == READ_TOPIC:
                rig.receipt([(topic, payload, token)])
            elif len(payload) < 6000:
                chunk = chunk_of(payload)
                sizes.append(len(chunk.data))
                if chunk.offset == stored:
                    stored += len(chunk.data)
                    rig.receive(receipt(pictures=((chunk.sha256, stored),)))
                else:
                    rig.receive(encode(PictureStatus(unit="unit-07", sha256=chunk.sha256, offset=stored)))
        rig.apply()
        rig.now += S
    assert rig.outbox.stats().plates == 0
    assert rig.uplink.counts.picture_pauses >= 3
    assert sent_bytes < 12 * 102_400
    rig.close()


def test_failed_chunk_size_is_retried_less_and_less_often(tmp_path):
    """Chunks of 1,024 bytes never pass: half a megabyte of smaller ones goes out for each that is tried."""
    rig = Rig(tmp_path, reads=1, config=UplinkConfig(chunk_bytes=1024))
    rig.outbox.append([make_read(2, pictures=(make_picture(content=bytes(range(256)) * 2000),))])
    rig.outbox.apply([Receipted(tuple((n, make_read(n).read_id) for n in (1, 2)))])
    rig.up(window=1)
    tries = 0
    for _ in range(2000):
        for sent in rig.pump():
            if len(chunk_of(sent[1]).data) == 1024:
                tries += 1
                rig.uplink.handle(LinkDown("gone"), rig.now)
                rig.up(window=1)
            else:
                rig.ack([sent])
        rig.now += S // 100
    assert 2 <= tries <= 5
    rig.close()


def test_foreign_and_malformed_messages_are_counted_and_ignored(rig):
    """Whatever comes from the network: no command, no exception, a count."""
    rig.up()
    rig.pump()
    rig.receive(b"\xff\x00 garbage")
    rig.receive(receipt(unit="another", records=((1, make_read(1).read_id),)))
    rig.uplink.handle(Received("lpr/1/unit-07/dn/cmd", b""), rig.now)
    assert rig.commands == []
    assert (rig.uplink.counts.malformed, rig.uplink.counts.foreign) == (1, 2)


def test_picture_resumes_at_the_requested_offset(tmp_path):
    """Chunks are not sent twice from the start: the stored count is where it goes on."""
    rig = Rig(tmp_path, reads=1, config=UplinkConfig(chunk_bytes=100))
    rig.outbox.apply([Receipted(((1, make_read(1).read_id),))])
    rig.up(window=1)
    chunks = []
    for _ in range(2):
        sent = rig.pump()
        chunks += [chunk_of(p) for _, p, _ in sent]
        rig.ack(sent)
    assert [c.offset for c in chunks] == [0, 100]
    sha = chunks[0].sha256
    rig.receive(receipt(pictures=((sha, 200),)))
    rig.apply()
    rig.uplink.handle(LinkDown("gone"), rig.now)
    rig.up(window=1)
    (again,) = rig.pump()
    assert chunk_of(again[1]).offset == 200
    rig.receive(encode(PictureStatus(unit="unit-07", sha256=sha, offset=100)))
    rig.ack([again])
    (back,) = rig.pump()
    assert chunk_of(back[1]).offset == 100
    rig.close()


def test_permanently_refused_picture_is_quarantined(tmp_path):
    """A refused picture does not block the ones after it."""
    rig = Rig(tmp_path, reads=1)
    rig.outbox.apply([Receipted(((1, make_read(1).read_id),))])
    rig.up()
    sent = rig.pump()
    chunk = chunk_of(sent[0][1])
    rig.receive(nack(sent[0][1], NackCode.QUOTA, retry=False))
    assert rig.commands == [PictureQuarantined(chunk.sha256, "quota")]
    rig.apply()
    assert rig.outbox.stats().held == 1
    assert {chunk_of(p).sha256 for _, p, _ in sent[1:]} == {make_read(1).pictures[1].sha256}
    rig.close()


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_every_read_is_delivered_over_an_unreliable_link(tmp_path_factory, data):
    """Lost messages, lost receipts, outages at any moment: in the end the station has every read, the outbox none."""
    reads = data.draw(st.integers(1, 12))
    # Hypothesis gives up examples in the middle: the files are closed all the same.
    with closing(Rig(tmp_path_factory.mktemp("weather"), reads=reads)) as rig:
        weather(rig, data)


def weather(rig, data):
    station = {}
    is_up = False
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["up", "down", "pump", "pump", "apply", "append", "wait"]))
        if step == "up":
            rig.up(window=data.draw(st.integers(1, 20)))
            is_up = True
        elif step == "down":
            rig.uplink.handle(LinkDown("gone"), rig.now)
            is_up = False
        elif step == "append":
            rig.outbox.append([make_read(100 + rig.outbox.stats().next_seq)])
        elif step == "apply":
            rig.apply()
        elif step == "wait":
            rig.now += data.draw(st.integers(1, 400)) * S
        elif is_up:
            deliver(rig, station, lose=lambda: data.draw(st.booleans()))
    rig.up()
    for _ in range(40):
        deliver(rig, station, lose=lambda: False)
        rig.apply()
        rig.now += 400 * S
    stats = rig.outbox.stats()
    assert (stats.reads, stats.plates, stats.overviews) == (0, 0, 0)
    assert len(station) == stats.appended


def deliver(rig, station, *, lose):
    """One round: some messages do not arrive, some answers do not come back."""
    for sent in rig.pump():
        topic, payload, _ = sent
        if lose():
            continue
        if topic == READ_TOPIC:
            station[envelope(payload).seq] = payload
        if not lose():
            rig.ack([sent])
        if lose():
            continue
        if topic == READ_TOPIC:
            rig.receipt([sent])
        else:
            chunk = chunk_of(payload)
            stored = ((chunk.sha256, chunk.offset + len(chunk.data)),)
            rig.receive(receipt(pictures=stored))


def test_pictures_can_be_disabled(tmp_path):
    """A slow link may be used for reads only."""
    rig = Rig(tmp_path, reads=1, config=UplinkConfig(send_pictures=False))
    rig.up()
    assert [topic for topic, *_ in rig.pump()] == [READ_TOPIC]
    assert len(rig.reader.pictures(PicturePriority.PLATE, after_pic=0, limit=9)) == 1
    rig.close()


def test_pictures_that_come_while_connected_are_sent_and_sent_again_after_a_loss(tmp_path):
    """Also if nothing waited before."""
    rig = Rig(tmp_path, reads=0)
    rig.up()
    rig.pump()
    rig.outbox.append([make_read(1)])
    n_pictures = len(make_read(1).pictures)
    assert [topic for topic, *_ in rig.pump()] == [READ_TOPIC] + [PIC_TOPIC] * n_pictures
    rig.up()
    assert [topic for topic, *_ in rig.pump()] == [READ_TOPIC] + [PIC_TOPIC] * n_pictures
    rig.close()


def test_stored_pictures_are_reported_to_the_outbox(rig):
    """A receipt for a picture becomes a command with the number of bytes."""
    rig.up()
    rig.pump()
    sha = make_read(1).pictures[0].sha256
    rig.receive(receipt(pictures=((sha, 3),)))
    assert rig.commands == [PictureStored(sha, 3)]


def pictures_in_order(rig):
    """Drain all pictures, each chunk acknowledged and stored; return their hashes in the order of sending."""
    order = []
    for _ in range(60):
        for sent in rig.pump():
            if sent[0] == PIC_TOPIC:
                chunk = chunk_of(sent[1])
                if chunk.sha256 not in order:
                    order.append(chunk.sha256)
                stored = ((chunk.sha256, chunk.offset + len(chunk.data)),)
                rig.receive(receipt(pictures=stored))
            rig.ack([sent])
        rig.apply()
    return order


def test_pictures_of_hits_go_before_all_others_across_restarts(tmp_path):
    """Ten ordinary reads wait, then a hit is made, and the unit starts again: plate and scene of the hit, then the
    other plates, then the other scenes."""
    rig = Rig(tmp_path, reads=10)
    rig.outbox.append([make_read(11, retention="hit")])
    rig.close()
    rig = Rig(tmp_path, reads=0)
    rig.up()
    order = pictures_in_order(rig)
    hit, others = make_read(11).pictures, [make_read(n).pictures for n in range(1, 11)]
    expected = [hit[0], hit[1], *(plate for plate, _ in others), *(scene for _, scene in others)]
    assert order == [picture.sha256 for picture in expected]
    stats = rig.outbox.stats()
    assert (stats.plates, stats.overviews) == (0, 0)
    rig.close()


def test_a_hit_overtakes_the_pictures_that_are_waiting(tmp_path):
    """Made while others are being sent: after the one picture that is on its way the hit's come next."""
    rig = Rig(tmp_path, reads=3, config=UplinkConfig(chunk_bytes=100))
    rig.up(window=4)
    sent = rig.pump()
    assert sent[-1][0] == PIC_TOPIC
    rig.outbox.append([make_read(4, retention="hit")])
    rig.ack(sent)
    order = [chunk_of(sent[-1][1]).sha256, *pictures_in_order(rig)]
    assert order[0] == make_read(1).pictures[0].sha256
    seen = list(dict.fromkeys(order))
    assert seen[1:3] == [picture.sha256 for picture in make_read(4).pictures]
    rig.close()


def test_shared_overview_is_sent_with_the_hit(tmp_path):
    """Two plates in one frame, the second a hit: the scene that waits for the first moves up."""
    rig = Rig(tmp_path, reads=2)
    scene = make_read(2).pictures[1]
    rig.outbox.append([make_read(3, retention="hit", pictures=(scene,))])
    rig.up()
    assert pictures_in_order(rig)[0] == scene.sha256
    assert rig.outbox.stats().overviews == 0
    rig.close()


def test_connection_closed_for_a_fault_is_counted(rig):
    """Up or not yet up: a connection that never came up may be given up for what the broker sent, too."""
    rig.uplink.handle(LinkDown("unreadable", is_fault=True), rig.now)
    rig.uplink.handle(LinkUp(4), rig.now)
    rig.uplink.handle(LinkDown("lost"), rig.now)
    rig.uplink.handle(LinkUp(4), rig.now)
    rig.uplink.handle(LinkDown("unreadable", is_fault=True), rig.now)
    assert (rig.uplink.counts.link_downs, rig.uplink.counts.link_faults) == (2, 2)


def test_a_checkpoint_is_answered_if_the_station_signed_it():
    """What a broker makes up reaches no witness."""
    own = SigningKey.generate()
    taken = []

    def witness(payload):
        taken.append(payload)
        return b"answer"

    link = FakeLink()
    uplink = Uplink(
        link, NothingWaits(), [].append, unit="unit-07", boot_id=BOOT, verifier=ReceiptVerifier.of([own.public]),
        witness=witness,
    )  # fmt: skip
    uplink.handle(LinkUp(16), 0)
    topic = build("unit-07", Channel.LOG)
    forged, signed = encode(PictureStatus(unit="unit-07", sha256=bytes(32), offset=1)), receipt()
    uplink.handle(Received(topic, forged), 0)
    uplink.pump(0)
    assert (taken, link.take(), uplink.counts.forged) == ([], [], 1)
    uplink.handle(Received(topic, sign_answer(own, signed)), 0)
    uplink.pump(0)
    assert taken == [sign_answer(own, signed)]
    assert [(where, payload) for where, payload, _ in link.take()] == [
        (build("unit-07", Channel.WITNESS), b"answer")
    ]
    assert uplink.counts.witness_answers_sent == 1
