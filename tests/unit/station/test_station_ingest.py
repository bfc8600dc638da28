"""The station's ingest: receipted records are stored once, refused ones are reported and counted."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Annotated, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.station_tables import reads_table, units_table
from protocol.errors import WireError
from protocol.wire.codec import MAX_MESSAGE_BYTES, Text64, decode, encode, key, pack, payload_ref, unpack
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import MAX_RECEIPT_RECORDS, DownMessage, Nack, PictureStatus, Receipt
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.enums import Lost, NackCode, PictureKind, UnitState
from protocol.wire.registry import RecordBody
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build
from station.ingest import Ingest, IngestLimits
from station.query.export import write_csv, write_geojson
from station.store import open_store
from tests.builders import BOOT, make_read, make_read_record, make_record, make_tombstone
from tests.station_files import each_read, stored_reads
from tests.strategies import CONTROL_MESSAGES, RECORD_MODELS, messages, record_messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from protocol.wire.record import Record
    from station.store import Store

UNIT = "unit-07"
READ = build(UNIT, Channel.READ)
PICTURE = build(UNIT, Channel.PICTURE)
NOW_US = 1_780_000_500_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "station.db")
    yield opened
    opened.close()


@pytest.fixture
def ingest(store: Store) -> Ingest:
    return Ingest(store, "station-1", lambda: NOW_US)


def told(answers: list[tuple[str, bytes]]) -> list[DownMessage]:
    return [decode(payload, Receipt, Nack, PictureStatus) for _, payload in answers]


def read_payload(number: int = 1, *, seq: int = 1, **other: object) -> bytes:
    return make_read_record(number, seq=seq, **other).payload


def tombstone(seq: int, *ranges: tuple[int, int], lost: Lost = Lost.READ) -> bytes:
    return make_record(make_tombstone(*ranges, lost=lost), seq=seq).payload


def health(seq_high: int, **counters: int) -> bytes:
    return encode(
        Health(unit=UNIT, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=seq_high, counters=counters, gauges={})
    )


def status(state: UnitState, *, reason: str = "", software: str = "sw") -> bytes:
    return encode(Status(unit=UNIT, boot_id=BOOT, state=state, reason=reason, software=software, models=()))


def chunk(
    content: bytes, offset: int, size: int, *, sha256: bytes | None = None, total: int | None = None
) -> bytes:
    return encode(
        PictureChunk(
            unit=UNIT,
            boot_id=BOOT,
            read_id=make_read().read_id,
            kind=PictureKind.PLATE,
            sha256=sha256 or hashlib.sha256(content).digest(),
            total_bytes=total or len(content),
            offset=offset,
            data=content[offset : offset + size],
        )
    )


def test_read_is_stored_and_receipted(ingest: Ingest, store: Store) -> None:
    """A receipt names sequence number and id of the stored read."""
    payload = read_payload(5, seq=9)
    answers = ingest.handle(READ, payload)
    assert [topic for topic, _ in answers] == [build(UNIT, Channel.RECEIPT)]
    read_id = make_read(5).read_id
    assert told(answers) == [
        Receipt(unit=UNIT, station="station-1", stored_us=NOW_US, records=((9, read_id),), pictures=())
    ]
    assert [row.record_id for row in stored_reads(store)] == [read_id]
    assert store.record(UNIT, read_id).payload == payload


def test_nothing_is_receipted_before_the_commit(ingest: Ingest, store: Store) -> None:
    """Taking a message stores nothing and sends nothing."""
    ingest.take(READ, read_payload())
    assert (ingest.pending, stored_reads(store)) == (1, [])
    assert len(ingest.commit()) == 1
    assert (ingest.pending, ingest.commit()) == (0, [])


def test_duplicate_is_receipted_and_stored_once(ingest: Ingest, store: Store) -> None:
    """A unit whose receipt was lost sends again and gets the receipt again."""
    first = ingest.handle(READ, read_payload())
    second = ingest.handle(READ, read_payload())
    assert told(second) == told(first)
    assert len(stored_reads(store)) == 1
    assert (ingest.counts.reads, ingest.counts.duplicates) == (1, 1)


def test_duplicate_within_one_commit_is_stored_once(ingest: Ingest, store: Store) -> None:
    """QoS 1 may deliver the same message twice in a row."""
    ingest.take(READ, read_payload())
    ingest.take(READ, read_payload())
    ingest.commit()
    assert len(stored_reads(store)) == 1


def test_same_id_of_two_units_is_two_reads(ingest: Ingest, store: Store) -> None:
    """No unit can make another unit's read disappear by sending its id first."""
    ingest.handle(build("intruder", Channel.READ), read_payload(unit="intruder"))
    ingest.handle(READ, read_payload())
    assert [row.unit for row in stored_reads(store)] == ["intruder", UNIT]


@pytest.mark.slow
def test_receipts_are_split_by_their_limit(ingest: Ingest) -> None:
    """More records than a receipt may name make several receipts."""
    count = MAX_RECEIPT_RECORDS + 1
    body = make_read(pictures=()).body
    for seq in range(1, count + 1):
        ingest.take(READ, make_record(body, seq=seq).payload)
    receipts = [m for m in told(ingest.commit()) if isinstance(m, Receipt)]
    assert [len(r.records) for r in receipts] == [MAX_RECEIPT_RECORDS, 1]


def test_new_reads_are_announced_once_after_their_commit(store: Store) -> None:
    """A listener is called once for each stored read."""
    heard: list[int] = []
    ingest = Ingest(store, "s", lambda: NOW_US, on_read=lambda read: heard.append(read.envelope.seq))
    ingest.take(READ, read_payload(seq=4))
    assert heard == []
    ingest.commit()
    ingest.handle(READ, read_payload(seq=4))
    assert heard == [4]


@pytest.mark.slow
@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x80", b"not msgpack", read_payload()[:-1], read_payload() + b"x"]
)
def test_malformed_payload_is_refused(ingest: Ingest, payload: bytes) -> None:
    """What cannot be read is refused by the hash of its bytes and never asked for again."""
    (nack,) = told(ingest.handle(READ, payload))
    assert isinstance(nack, Nack)
    assert (nack.ref, nack.code, nack.retry) == (payload_ref(payload), NackCode.MALFORMED, False)
    assert ingest.counts.malformed == 1


@pytest.mark.parametrize("channel", [Channel.PICTURE, Channel.HEALTH, Channel.UPDATE, Channel.STATUS])
def test_unknown_schema_is_refused_by_its_own_code(ingest: Ingest, channel: Channel) -> None:
    """A newer unit learns that the station is too old, not that its bytes are broken."""
    payload = health(1).replace(b"\xa8health/1", b"\xa8health/9")
    (nack,) = told(ingest.handle(build(UNIT, channel), payload))
    assert isinstance(nack, Nack)
    assert (nack.ref, nack.code, nack.retry) == (payload_ref(payload), NackCode.UNKNOWN_SCHEMA, False)
    assert (ingest.counts.unknown_schema, ingest.counts.malformed) == (1, 0)


class Toll(RecordBody):
    """A record type of a version to come."""

    SCHEMA: ClassVar[str] = "toll/1"

    gate: Annotated[Text64, key("gate")]


def test_record_of_an_unknown_type_is_stored_and_receipted(ingest: Ingest, store: Store) -> None:
    """A newer unit need not keep what an older station does not understand; its number is as good as any other."""
    assert released_registry().get(Toll.SCHEMA) is None
    heard: list[Record] = []
    ingest = Ingest(store, "s", lambda: NOW_US, on_read=heard.append)
    toll = make_record(Toll(gate="north"), seq=2)
    ingest.handle(READ, read_payload(1, seq=1))
    (receipt,) = told(ingest.handle(READ, toll.payload))
    assert isinstance(receipt, Receipt)
    assert receipt.records == ((2, toll.envelope.record_id),)
    ingest.handle(READ, read_payload(4, seq=4))
    assert [(g.first, g.last, g.explained) for g in store.gaps(UNIT)] == [(3, 3, False)]
    assert store.seen(UNIT) == [(1, 2), (4, 4)]
    (again,) = told(ingest.handle(READ, toll.payload))
    assert again == receipt
    assert [row.seq for row in stored_reads(store)] == [record.envelope.seq for record in heard] == [1, 4]
    counts = ingest.counts
    assert (counts.reads, counts.others, counts.opaque, counts.duplicates) == (2, 0, 1, 1)
    (stored,) = each_read(store, Toll.SCHEMA)
    assert (stored.record.payload, stored.body) == (toll.payload, None)
    assert (counts.unknown_schema, counts.malformed) == (0, 0)


def test_oversized_payload_is_refused_unread(ingest: Ingest) -> None:
    """A payload above the limit is not even decoded."""
    (nack,) = told(ingest.handle(READ, bytes(MAX_MESSAGE_BYTES + 1)))
    assert isinstance(nack, Nack)
    assert (nack.code, ingest.counts.oversized) == (NackCode.MALFORMED, 1)


def test_oversized_picture_is_refused(store: Store) -> None:
    """A picture above the quota is refused at its first chunk, and nothing of it is kept."""
    ingest = Ingest(store, "s", lambda: NOW_US, limits=IngestLimits(picture_bytes=100))
    (nack,) = told(ingest.handle(PICTURE, chunk(bytes(101), 0, 50)))
    assert isinstance(nack, Nack)
    assert (nack.code, ingest.counts.oversized) == (NackCode.QUOTA, 1)


@pytest.mark.slow
@pytest.mark.parametrize("channel", [Channel.READ, Channel.PICTURE, Channel.HEALTH, Channel.STATUS])
def test_message_in_the_name_of_another_unit_is_refused(ingest: Ingest, store: Store, channel: Channel) -> None:
    """The broker checks the topic; the station checks that the message names the same unit."""
    payloads = {
        Channel.READ: read_payload(),
        Channel.PICTURE: chunk(b"jpeg", 0, 4),
        Channel.HEALTH: health(3),
        Channel.STATUS: status(UnitState.ONLINE),
    }
    (answer,) = ingest.handle(build("unit-08", channel), payloads[channel])
    (nack,) = told([answer])
    assert isinstance(nack, Nack)
    assert (answer[0], nack.unit) == (build("unit-08", Channel.RECEIPT), "unit-08")
    assert nack.code == NackCode.NOT_AUTHORISED
    assert (stored_reads(store), store.units(), ingest.counts.not_authorised) == ([], [], 1)


def test_unit_that_is_not_on_the_list_is_refused(store: Store) -> None:
    """With a list of units nobody else is stored."""
    ingest = Ingest(store, "s", lambda: NOW_US, units=frozenset({"unit-08"}))
    (nack,) = told(ingest.handle(READ, read_payload()))
    assert isinstance(nack, Nack)
    assert nack.code == NackCode.NOT_AUTHORISED
    assert stored_reads(store) == []


@pytest.mark.parametrize(
    "topic",
    ["", "other/topic", "lpr/2/unit-07/up/read", "lpr/1/a b/up/read", build(UNIT, Channel.RECEIPT), "lpr/1/+/st"],
)
def test_foreign_topic_is_counted_without_a_nack(ingest: Ingest, topic: str) -> None:
    """What is not for a station gets no answer: there is nobody to address."""
    assert ingest.handle(topic, read_payload()) == []
    assert ingest.counts.foreign_topic == 1


def test_cleared_status_is_ignored(ingest: Ingest) -> None:
    """An empty retained payload is how MQTT deletes a status, not a malformed message."""
    assert ingest.handle(build(UNIT, Channel.STATUS), b"") == []
    assert ingest.counts.malformed == 0


def test_invalid_messages_do_not_affect_valid_ones_in_a_group(ingest: Ingest, store: Store) -> None:
    """One commit may hold garbage and reads; the reads are stored and receipted."""
    ingest.take(READ, b"garbage")
    ingest.take(READ, read_payload())
    ingest.take("nonsense", b"")
    answers = told(ingest.commit())
    assert [type(m) for m in answers] == [Nack, Receipt]
    assert len(stored_reads(store)) == 1


def test_failed_commit_sends_no_receipt_and_asks_to_retry(ingest: Ingest, store: Store) -> None:
    """What is not durable is not receipted; the unit is asked to try again, and succeeds."""
    store.db.driver_sql("PRAGMA query_only = ON")
    (nack,) = told(ingest.handle(READ, read_payload()))
    assert isinstance(nack, Nack)
    assert (nack.code, nack.retry) == (NackCode.STORAGE, True)
    assert ingest.counts.storage_failures == 1
    assert "readonly" in ingest.last_failure
    store.db.driver_sql("PRAGMA query_only = OFF")
    (receipt,) = told(ingest.handle(READ, read_payload()))
    assert isinstance(receipt, Receipt)


def test_full_disk_gives_no_receipt_and_keeps_what_was_receipted(ingest: Ingest, store: Store) -> None:
    """On a full disk units are asked to wait; every read that was receipted before is still there."""
    pages = store.db.driver_sql("PRAGMA page_count").scalar_one()
    store.db.driver_sql(f"PRAGMA max_page_count = {pages + 4}")
    receipted = 0
    for seq in range(1, 200):
        (answer,) = told(ingest.handle(READ, read_payload(seq, seq=seq)))
        if isinstance(answer, Nack):
            assert (answer.code, answer.retry) == (NackCode.STORAGE, True)
            break
        receipted += 1
    assert 0 < receipted < 199
    assert len(stored_reads(store)) == receipted


def test_failed_commit_stores_nothing_of_its_group(ingest: Ingest, store: Store) -> None:
    """A group is durable as a whole or not at all, its bookkeeping included."""
    ingest.take(READ, read_payload(1, seq=1))
    ingest.take(READ, read_payload(2, seq=2))
    store.db.driver_sql(
        "CREATE TRIGGER broken BEFORE INSERT ON records WHEN NEW.seq = 2 BEGIN SELECT RAISE(ABORT, 'disk'); END"
    )
    assert [type(m) for m in told(ingest.commit())] == [Nack]
    assert (stored_reads(store), store.gaps(UNIT)) == ([], [])
    store.db.driver_sql("DROP TRIGGER broken")


def test_lost_reads_are_missing_until_a_tombstone_explains_them(ingest: Ingest, store: Store) -> None:
    """Holes in the sequence are missing; those that the unit announced are evicted; what comes late fills its hole."""
    for seq in (1, 2, 6, 9):
        ingest.handle(READ, read_payload(seq, seq=seq))
    assert [(g.first, g.last, g.explained) for g in store.gaps(UNIT)] == [(3, 5, False), (7, 8, False)]
    ingest.handle(READ, tombstone(10, (4, 4), (7, 8)))
    assert [(g.first, g.last, g.explained) for g in store.gaps(UNIT)] == [
        (3, 3, False), (4, 4, True), (5, 5, False), (7, 8, True),
    ]  # fmt: skip
    ingest.handle(READ, read_payload(3, seq=3))
    (unit,) = store.units()
    assert (unit.seq_high, unit.missing, unit.evicted, unit.reads) == (10, 1, 3, 5)


@pytest.mark.slow
def test_tombstone_of_pictures_explains_no_read(ingest: Ingest, store: Store) -> None:
    """An evicted picture's number is its read's: the read itself is still expected."""
    ingest.handle(READ, tombstone(3, (1, 2), lost=Lost.OVERVIEW))
    assert [(g.first, g.last, g.explained) for g in store.gaps(UNIT)] == [(1, 2, False)]


@pytest.mark.slow
def test_health_reveals_missing_reads_at_the_end(ingest: Ingest, store: Store) -> None:
    """The last number given out shows a loss at the end, which no later read would."""
    ingest.handle(READ, read_payload(1, seq=1))
    payload = health(4, frames=9)
    assert ingest.handle(build(UNIT, Channel.HEALTH), payload) == []
    assert [(g.first, g.last) for g in store.gaps(UNIT)] == [(2, 4)]
    assert store.health(UNIT) == payload


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 60), max_size=60),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=6),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gaps_are_the_numbers_not_seen(
    tmp_path_factory: pytest.TempPathFactory, seqs: list[int], lost: list[tuple[int, int]]
) -> None:
    """Whatever the order, duplicates and overlaps: gaps and numbers seen are disjoint and cover 1..highest."""
    store = open_store(tmp_path_factory.mktemp("gaps") / "s.db")
    ingest = Ingest(store, "s", lambda: NOW_US)
    ranges = tuple((first, first + more) for first, more in lost)
    for seq in seqs:
        ingest.take(READ, read_payload(seq, seq=seq))
    ingest.take(READ, tombstone(61, *ranges))
    ingest.commit()
    gaps = store.gaps(UNIT)
    store.close()
    explained = {n for first, last in ranges for n in range(first, last + 1)}
    expected = {n: n in explained for n in range(1, 61) if n not in set(seqs)}
    assert {n: g.explained for g in gaps for n in range(g.first, g.last + 1)} == expected
    assert gaps == sorted(gaps, key=lambda g: g.first)


def test_picture_is_assembled_from_chunks(ingest: Ingest, store: Store) -> None:
    """Each chunk is receipted with the bytes stored so far; the whole picture is there when its hash is right."""
    content = b"0123456789" * 10
    stored = []
    for offset in (0, 40, 80):
        (receipt,) = told(ingest.handle(PICTURE, chunk(content, offset, 40)))
        assert isinstance(receipt, Receipt)
        stored.append(receipt.pictures[0][1])
    assert stored == [40, 80, 100]
    assert store.picture(UNIT, hashlib.sha256(content).digest()) == content


def test_last_chunk_after_a_gap_gets_a_picture_status(ingest: Ingest, store: Store) -> None:
    """After a loss the unit is told the first byte that is lacking; what lies behind the hole is here already."""
    content = bytes(range(100))
    sha = hashlib.sha256(content).digest()
    ingest.handle(PICTURE, chunk(content, 0, 30))
    (receipt,) = told(ingest.handle(PICTURE, chunk(content, 60, 30)))
    assert isinstance(receipt, Receipt)
    assert receipt.pictures == ((sha, 30),)
    (answer,) = told(ingest.handle(PICTURE, chunk(content, 90, 10)))
    assert answer == PictureStatus(unit=UNIT, sha256=sha, offset=30)
    ingest.handle(PICTURE, chunk(content, 30, 30))
    assert store.picture(UNIT, sha) == content


@pytest.mark.slow
def test_unknown_keys_are_kept(ingest: Ingest, store: Store) -> None:
    """Keys of a newer unit that this station does not know stay in the signed bytes."""
    payload = pack({**unpack(read_payload()), "new": {"key": [1, "x"]}})
    ingest.handle(READ, payload)
    (stored,) = each_read(store)
    assert (stored.body.text, stored.record.payload) == ("7ABC123", payload)


def test_overlapping_and_repeated_chunks_are_joined(ingest: Ingest, store: Store) -> None:
    """Doubles and chunks of another size, after a change of the packet limit, do not spoil a picture."""
    content = bytes(range(100))
    for offset, size in ((0, 40), (0, 40), (20, 50), (10, 5), (60, 40), (0, 100)):
        ingest.handle(PICTURE, chunk(content, offset, size))
    assert store.picture(UNIT, hashlib.sha256(content).digest()) == content


def test_picture_resumes_after_a_restart(ingest: Ingest, store: Store, tmp_path: Path) -> None:
    """What was stored of a picture is still there when the station comes back."""
    content = bytes(range(100))
    ingest.handle(PICTURE, chunk(content, 0, 60))
    store.close()
    again = open_store(tmp_path / "station.db")
    later = Ingest(again, "s", lambda: NOW_US)
    (receipt,) = told(later.handle(PICTURE, chunk(content, 60, 40)))
    assert isinstance(receipt, Receipt)
    assert receipt.pictures == ((hashlib.sha256(content).digest(), 100),)
    again.close()


@pytest.mark.slow
def test_picture_with_wrong_hash_is_restarted(ingest: Ingest, store: Store) -> None:
    """Bytes that do not match their hash are discarded; later correct ones are stored."""
    right, wrong = b"right" * 10, b"wrong" * 10
    sha = hashlib.sha256(right).digest()
    (answer,) = told(ingest.handle(PICTURE, chunk(wrong, 0, 50, sha256=sha)))
    assert answer == PictureStatus(unit=UNIT, sha256=sha, offset=0)
    assert store.picture(UNIT, sha) is None
    ingest.handle(PICTURE, chunk(right, 0, 50))
    assert store.picture(UNIT, sha) == right


def test_picture_that_never_matches_its_hash_is_refused(ingest: Ingest) -> None:
    """A picture damaged at the unit must not be sent for ever."""
    sha = hashlib.sha256(b"what it should be").digest()
    payload = chunk(b"x" * 17, 0, 17, sha256=sha)
    kinds = [[type(m) for m in told(ingest.handle(PICTURE, payload))] for _ in range(3)]
    assert kinds == [[PictureStatus], [PictureStatus], [Nack]]
    assert ingest.counts.hopeless_pictures == 1


def test_picture_with_changed_length_is_restarted(ingest: Ingest, store: Store) -> None:
    """A wrong length does not block the picture."""
    content = bytes(range(100))
    ingest.handle(PICTURE, chunk(content, 0, 30, total=4000))
    ingest.handle(PICTURE, chunk(content, 0, 100))
    assert store.picture(UNIT, hashlib.sha256(content).digest()) == content


@pytest.mark.slow
def test_status_does_not_update_last_seen(ingest: Ingest, store: Store) -> None:
    """A status may be retained or a will: only what a unit itself sends counts as seen."""
    ingest.handle(build(UNIT, Channel.STATUS), status(UnitState.OFFLINE, reason="will", software="patrol-lpr 0.1"))
    (unit,) = store.units()
    assert (unit.state, unit.software, unit.seen_us) == ("offline", "patrol-lpr 0.1", None)
    ingest.handle(READ, read_payload())
    assert store.units()[0].seen_us == NOW_US


def test_station_id_must_fit_the_wire(store: Store) -> None:
    """An id that no receipt could carry is refused at once."""
    with pytest.raises(WireError, match="must be 1 to 36"):
        Ingest(store, "two words", lambda: NOW_US)


TOPICS = st.sampled_from([build(UNIT, channel) for channel in Channel]) | st.text(max_size=30)
RECORDS = st.one_of([record_messages(model) for model in RECORD_MODELS])
MESSAGES = RECORDS.map(lambda record: record.payload) | st.one_of(
    [messages(model).map(encode) for model in CONTROL_MESSAGES]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    payload = bytearray(draw(MESSAGES))
    for _ in range(draw(st.integers(1, 3))):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload[: draw(st.integers(0, len(payload)))])


@pytest.mark.slow
@given(st.lists(st.tuples(TOPICS, st.binary(max_size=64) | damaged() | MESSAGES), max_size=8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_payload_raises(store: Store, sent: list[tuple[str, bytes]]) -> None:
    """Whatever comes, nothing is raised and every answer is a message that a unit can read."""
    ingest = Ingest(store, "s", lambda: NOW_US)
    for topic, payload in sent:
        ingest.take(topic, payload)
    for answer in ingest.commit():
        (message,) = told([answer])
        assert message.unit == answer[0].split("/")[2]
    assert ingest.counts.storage_failures == 0


@pytest.mark.slow
@given(RECORDS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_valid_record_is_stored_and_exported(store: Store, record: Record) -> None:
    """No value that the wire allows is too much for the store, the calendar of an export, or the tables."""
    unit = record.envelope.unit
    ingest = Ingest(store, "s", lambda: NOW_US)
    (receipt,) = told(ingest.handle(build(unit, Channel.READ), record.payload))
    assert isinstance(receipt, Receipt)
    assert [seq for seq, _ in receipt.records] == [record.envelope.seq]
    schema = record.envelope.schema_id
    write_csv(each_read(store, schema, unit=unit), io.StringIO(), schema)
    write_geojson(each_read(store, schema, unit=unit), io.StringIO())
    reads_table(stored_reads(store, unit=unit))
    units_table([(row, store.gaps(row.unit)) for row in store.units() if row.unit == unit], {unit: []})


@given(messages(PictureChunk))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_valid_chunk_is_answered(store: Store, message: PictureChunk) -> None:
    """A unit always learns what the station holds of its picture."""
    answers = told(
        Ingest(store, "s", lambda: NOW_US).handle(build(message.unit, Channel.PICTURE), encode(message))
    )
    assert answers
