"""What every back end of the station's store promises.

Another back end is one more maker in ``MAKERS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise, permutations
from typing import TYPE_CHECKING, Annotated, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.records import TimeTag
from protocol.seal.evidence import Evidence
from protocol.seal.opener import OpenedRecord
from protocol.wire.codec import U63, Text32, decode, encode, key
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import Lost, PictureKind, TimeSource
from protocol.wire.parts import TimeQuality
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.registry import Column, Projection, RecordBody, RecordTime, RecordType, Registry
from protocol.wire.released import released_registry
from station.asker import Asker
from station.commands import Commands
from station.errors import PurposeError, StoreError
from station.ingest import Ingest
from station.query import Query
from station.store import AuditRow, NewRecord, Store, open_store, records, sequence
from station.store.lives import Lives
from station.store.rows import PurgePlan, PurgeRule
from station.store.tables import RECORDS
from tests.builders import BOOT, UTC_NS, make_picture, make_read_record, make_record, make_tombstone
from tests.station_files import add, each_read, stored_reads

if TYPE_CHECKING:
    from protocol.wire.record import Record

UNIT = "unit-07"
DAY_US = 86_400_000_000
NOW_US = UTC_NS // 1000 + DAY_US
NO_TIME = TimeTag(None, TimeSource.NONE, None)

Maker = Callable[..., Store]
"""Opens the store of one database, made where it is absent; takes ``registry``."""


def sqlite_maker(request: pytest.FixtureRequest) -> Maker:
    folder = request.getfixturevalue("tmp_path")
    return lambda name="station", **options: open_store(folder / f"{name}.db", **options)


def postgres_maker(request: pytest.FixtureRequest) -> Maker:
    server = request.getfixturevalue("postgres")
    addresses: dict[str, str] = {}

    def made(name="station", **options):
        if name not in addresses:
            addresses[name] = server.new_database()
        return open_store(addresses[name], **options)

    return made


NUMBERS = count()
MAKERS = {"sqlite": sqlite_maker, "postgres": postgres_maker}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def make(request):
    opened = []
    # Before what is opened, so that its databases end after it.
    maker = MAKERS[request.param](request)

    def made(*arguments, **options):
        opened.append(maker(*arguments, **options))
        return opened[-1]

    yield made
    for store in opened:
        store.close()


@pytest.fixture
def store(make):
    return make()


def anchor(number: int, mono_us: int, utc_us: int, *, boot: bytes = BOOT) -> Record:
    quality = TimeQuality(source=TimeSource.GNSS, uncertainty_ms=150)
    body = TimeAnchor(anchored_boot_id=boot, mono_us=mono_us, utc_us=utc_us, time=quality)
    return make_record(body, seq=10_000 + number)


def chunk(content: bytes, first: int, end: int, sha: bytes | None = None) -> PictureChunk:
    return PictureChunk(
        unit=UNIT,
        boot_id=BOOT,
        read_id=bytes(16),
        kind=PictureKind.PLATE,
        sha256=hashlib.sha256(content).digest() if sha is None else sha,
        total_bytes=len(content),
        offset=first,
        data=content[first:end],
    )


def picture(store: Store, content: bytes, now_us: int = NOW_US) -> bytes:
    whole = chunk(content, 0, len(content))
    with store.transaction():
        assert store.add_chunk(whole, now_us).stored_bytes == len(content)
    return whole.sha256


def commands(store: Store, now_us: int) -> Commands:
    return Commands(store, Asker("clerk"), lambda: now_us)


def test_a_record_is_what_the_message_said(store):
    """What is shown is decoded from the bytes that came, dated by the station."""
    record = make_read_record(3, seq=5)
    record_id = record.envelope.record_id
    add(store, record, now_us=NOW_US)
    (row,) = stored_reads(store)
    assert row.record == record
    assert (row.record_id, row.unit, row.seq, row.body.text) == (record_id, UNIT, 5, "7ABC123")
    assert (row.utc_us, row.time_source, row.uncertainty_ms, row.dated) == (record.body.utc_us, "gnss", 150, False)
    assert (row.retention, row.received_us, row.pictures) == ("nonhit", NOW_US, 0)
    assert store.record(UNIT, record_id).payload == record.payload
    assert store.record("unit-08", record_id) is None


def test_reads_are_filtered_by_unit_time_and_number(store):
    """The latest few, in the order they came."""
    for seq in (1, 2, 3):
        add(store, make_read_record(seq, seq=seq), now_us=NOW_US + seq)
    add(store, make_read_record(9, seq=1, unit="unit-08"), now_us=NOW_US)
    assert [r.seq for r in stored_reads(store, unit=UNIT)] == [1, 2, 3]
    assert [r.seq for r in store.latest("read/1", unit=UNIT, limit=2)] == [2, 3]
    assert [r.seq for r in stored_reads(store, since_us=NOW_US + 3)] == [3]


@pytest.mark.slow
def test_undated_read_gets_its_time_from_the_nearest_dating_in_any_order(make):
    """The order in which datings and reads come does not change the time of a read."""
    undated = make_read_record(10, seq=10, when=NO_TIME)
    mono_us = undated.body.mono_us
    near = anchor(1, mono_us + 2_000_000, 1_780_000_002_000_000)
    far = anchor(2, mono_us + 900_000_000, 1_780_000_900_000_500)
    times = set()
    for number, order in enumerate(permutations((undated, near, far))):
        store = make(f"{number}")
        add(store, *order, now_us=NOW_US)
        (row,) = stored_reads(store)
        times.add((row.utc_us, row.time_source, row.uncertainty_ms, row.dated))
    assert times == {(1_780_000_000_000_000, "gnss", 150, True)}


def test_dating_from_afar_is_less_certain(store):
    """A clock that ran alone for an hour adds its drift: 50 parts per million."""
    undated = make_read_record(1, when=NO_TIME)
    add(store, undated, anchor(1, undated.body.mono_us + 3_600_000_000, 1_780_003_600_000_000), now_us=NOW_US)
    assert stored_reads(store)[0].uncertainty_ms == 150 + 180


def test_a_start_has_a_bounded_number_of_time_anchors(store, monkeypatch):
    """Those that come first count; another start has its own."""
    monkeypatch.setattr(records, "MAX_ANCHORS", 2)
    add(store, make_read_record(9, seq=9, when=NO_TIME), now_us=NOW_US)
    at_us = stored_reads(store)[0].record.body.mono_us
    for number, (far_us, utc_us) in enumerate([(3_000_000, 30), (2_000_000, 20), (0, 10), (1_000_000, 5)]):
        add(store, anchor(number, at_us + far_us, 10**15 + far_us + utc_us), now_us=NOW_US)
    assert stored_reads(store)[0].utc_us == 10**15 + 20
    other = BOOT[::-1]
    add(
        store,
        make_read_record(10, seq=10, when=NO_TIME, boot_id=other),
        anchor(7, 0, 7, boot=other),
        now_us=NOW_US,
    )
    assert [row.utc_us is None for row in stored_reads(store)] == [False, False]


def test_dating_leaves_other_boots_and_dated_reads_alone(store):
    """A monotonic clock means something within its boot only, and the unit's own time is better."""
    own_time = make_read_record(1, seq=1)
    other_boot = make_read_record(2, seq=2, when=NO_TIME, boot_id=b"other boot......")
    add(store, own_time, other_boot, anchor(1, 0, 1), now_us=NOW_US)
    assert [r.utc_us for r in stored_reads(store)] == [own_time.body.utc_us, None]


def test_dating_beyond_the_calendar_is_not_applied(store):
    """A time before 1970 or after the year 9999 is no time."""
    add(store, make_read_record(5, when=NO_TIME), anchor(1, 2**63 - 1, 0), anchor(2, 0, 2**63 - 1), now_us=NOW_US)
    assert stored_reads(store)[0].utc_us is None


def test_purge_deletes_old_reads_of_a_class_with_their_pictures(store):
    """By class and age; pictures that another read shares stay; that they were here is remembered."""
    shared = picture(store, b"shared")
    own = picture(store, b"own")
    pictures = (make_picture(content=b"shared"), make_picture(content=b"own"))
    old = make_read_record(1, seq=1, pictures=pictures)
    kept = make_read_record(2, seq=2, pictures=pictures[:1], retention="hit")
    add(store, old, kept, now_us=NOW_US)
    assert [r.pictures for r in stored_reads(store)] == [2, 1]
    gone = commands(store, NOW_US + 31 * DAY_US).purge(30, retention="nonhit")
    assert (gone.records, gone.pictures) == (1, 1)
    assert [r.seq for r in stored_reads(store)] == [2]
    assert (store.picture(UNIT, shared), store.picture(UNIT, own)) == (b"shared", None)
    assert store.gaps(UNIT) == []
    assert add(store, old, now_us=NOW_US) == [False]
    (row,) = store.audit_trail()
    assert (row.who, row.what, row.filter, row.count) == ("clerk", "purge", "days=30 retention=nonhit", 1)


@pytest.mark.parametrize("days", [-1, -0.001, float("nan")])
def test_purge_of_records_to_come_is_refused(store, days):
    """A sign typed by mistake would delete everything."""
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    for ask in (commands(store, NOW_US).purge, commands(store, NOW_US).preview_purge):
        with pytest.raises(StoreError, match="days"):
            ask(days)
    assert len(stored_reads(store)) == 1


def test_preview_of_a_purge_is_what_the_purge_deletes(store):
    """By class; the unknown class is not touched."""
    add(store, make_read_record(1, seq=1), make_read_record(2, seq=2, retention="hit"), now_us=NOW_US)
    add(store, make_read_record(3, seq=3, retention="hit"), now_us=NOW_US + DAY_US)
    later = commands(store, NOW_US + 31 * DAY_US)
    assert [(row.retention, row.records) for row in later.preview_purge(30).classes] == [("hit", 2), ("nonhit", 1)]
    preview = later.preview_purge(30, retention="hit")
    ((found),) = preview.classes
    assert (found.first_us, found.last_us) == (NOW_US, NOW_US + DAY_US)
    assert "30 days ago" in preview.clock_doubt
    assert later.purge(30, retention="hit").records == preview.records == 2
    assert later.preview_purge(30, retention="hit").classes == ()
    assert commands(store, NOW_US + DAY_US).preview_purge(30).clock_doubt == ""


@pytest.mark.slow
def test_what_is_stored_as_it_came_has_no_faults(store):
    """Also records dated by an anchor, purged ones, and pictures."""
    picture(store, b"plate")
    undated = make_read_record(2, seq=2, when=NO_TIME)
    dated = anchor(1, undated.body.mono_us + 3_600_000_000, 1_780_003_600_000_000)
    first = make_read_record(1, seq=1, pictures=(make_picture(content=b"plate"),))
    add(store, first, undated, dated, make_read_record(4, seq=4, retention="hit"), now_us=NOW_US)
    assert list(store.faults()) == []
    assert commands(store, NOW_US + 31 * DAY_US).purge(30, retention="nonhit").records >= 1
    assert list(store.faults()) == []


def test_purge_keeps_what_is_young(store):
    """Age counts from when the read was made, or received if that is earlier."""
    add(store, make_read_record(), now_us=NOW_US)
    assert commands(store, NOW_US + 28 * DAY_US).purge(30).records == 0
    assert len(stored_reads(store)) == 1


@pytest.mark.slow
def test_purge_removes_pictures_that_no_read_ever_named(store):
    """Chunks whose read never came do not stay for ever, finished or not; young ones wait for their read."""
    picture(store, b"orphan")
    with store.transaction():
        store.add_chunk(chunk(b"part of it", 0, 4), NOW_US)
    assert commands(store, NOW_US + DAY_US).purge(30).pictures == 0
    assert [store.has_loose_pictures(NOW_US + more) for more in (0, 1)] == [False, True]
    assert commands(store, NOW_US + 31 * DAY_US).purge(30).pictures == 2
    with store.transaction():
        assert store.add_chunk(chunk(b"part of it", 0, 4), NOW_US).stored_bytes == 4, "its chunks are gone, too"


def test_a_unit_that_counts_from_one_again_loses_nothing(store):
    """Its card was written anew: other records with numbers that were seen before; each is stored once."""
    first, second = (make_read_record(number, seq=1) for number in (1, 2))
    assert add(store, first, now_us=NOW_US) == [True]
    assert add(store, second, first, second, now_us=NOW_US) == [True, False, False]
    assert [row.record_id for row in stored_reads(store)] == [r.envelope.record_id for r in (first, second)]
    assert store.seen(UNIT) == [(1, 1)]


def test_transaction_is_all_or_nothing(store):
    """An error in between, of whatever kind, leaves nothing behind."""

    def interrupted():
        with store.transaction():
            store.add_records([NewRecord(make_read_record())], NOW_US)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert (stored_reads(store), store.gaps(UNIT)) == ([], [])


# Pictures


def pieces(draw: st.DrawFn, size: int) -> list[tuple[int, int]]:
    """Chunks that cover a picture, some twice or overlapping, in any order."""
    cuts = sorted({0, size, *draw(st.lists(st.integers(1, size - 1), max_size=8))})
    covering = list(pairwise(cuts))
    more = [tuple(sorted(pair)) for pair in draw(st.lists(st.tuples(*[st.integers(0, size)] * 2), max_size=5))]
    return draw(st.permutations(covering + [pair for pair in more if pair[0] < pair[1]]))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_picture_is_whole_once_its_chunks_cover_it(make, data):
    """Whatever the order, with duplicates and overlaps, and two ingests on one database taking turns."""
    content = data.draw(st.binary(min_size=2, max_size=40))
    sha = hashlib.sha256(content).digest()
    name = f"{next(NUMBERS)}"
    stations = [make(name), make(name)]
    here: set[int] = set()
    for first, end in pieces(data.draw, len(content)):
        store = data.draw(st.sampled_from(stations))
        with store.transaction():
            result = store.add_chunk(chunk(content, first, end), NOW_US)
        here |= set(range(first, end))
        prefix = next(n for n in range(len(content) + 1) if n not in here)
        assert (result.stored_bytes, result.kept, result.hopeless) == (prefix, True, False)
        assert (stations[0].picture(UNIT, sha) == content) == (len(here) == len(content))
    assert stations[1].picture(UNIT, sha) == content
    for store in stations:
        store.close()


@pytest.mark.parametrize("size", [1, 5_000])
def test_picture_that_is_not_the_one_a_read_names_is_not_kept(store, size):
    """Damaged on the way, or replaced by somebody: it is asked for again, and given up after some attempts."""
    content, named = b"x" * size, hashlib.sha256(b"the one that the read names").digest()
    results = []
    for _ in range(20):
        with store.transaction():
            results.append(store.add_chunk(chunk(content, 0, size, named), NOW_US))
        if results[-1].hopeless:
            break
    assert not any(result.kept or result.stored_bytes for result in results)
    assert results[-1].hopeless
    assert store.picture(UNIT, named) is None
    assert store.picture(UNIT, hashlib.sha256(content).digest()) is None
    assert store.count_pictures() == 0


@pytest.mark.slow
def test_two_consumers_lose_no_chunk_of_a_picture(make):
    """Each gets every other chunk, and the one with the last chunks commits first."""
    content = bytes(range(250)) * 40
    odd, even = (Ingest(make(), name, lambda: NOW_US) for name in ("a", "b"))
    topic = f"lpr/1/{UNIT}/up/pic"
    offsets = list(range(0, len(content), 1000))
    for offset in offsets[::2]:
        even.take(topic, _encoded(content, offset))
    for offset in offsets[1::2]:
        odd.take(topic, _encoded(content, offset))
    answers = [decode(payload, Receipt, Nack, PictureStatus) for _, payload in odd.commit() + even.commit()]
    sha = hashlib.sha256(content).digest()
    assert [type(answer) for answer in answers] == [PictureStatus, Receipt]
    assert answers[1].pictures == ((sha, len(content)),)
    assert make().picture(UNIT, sha) == content


def _encoded(content: bytes, offset: int) -> bytes:
    return encode(chunk(content, offset, min(offset + 1000, len(content))))


@pytest.mark.slow
def test_an_unfinished_picture_has_bounded_rows_and_is_finished_all_the_same(store):
    """Single bytes with a hole after each: at some point they are not kept; from the front everything is."""
    content = hashlib.sha512(b"seed").digest() * 70
    sha = hashlib.sha256(content).digest()
    with store.transaction():
        results = [store.add_chunk(chunk(content, at, at + 1), NOW_US) for at in range(1, len(content), 2)]
        assert [result.kept for result in results].count(True) == 1024
        for at in range(0, len(content), 512):
            store.add_chunk(chunk(content, at, at + 512), NOW_US)
    assert store.picture(UNIT, sha) == content


# Types that are not known, and become known


class Toy(RecordBody):
    SCHEMA: ClassVar[str] = "toy/1"

    colour: Annotated[Text32, key("col")]
    mono_us: Annotated[U63, key("mono")]


TOY = RecordType(
    schema="toy/1",
    model=Toy,
    retention=lambda toy: "toys",
    when=lambda toy: RecordTime(toy.mono_us, None, TimeSource.NONE, None),
    projection=Projection("toys", (Column("colour", str, lambda toy: toy.colour, indexed=True),)),
    export=lambda toy: {"colour": toy.colour},
)
MORE_OF_TOY = replace(
    TOY,
    projection=Projection("toys", (*TOY.projection.columns, Column("mono", int, lambda toy: toy.mono_us))),
)


def toy(number: int, body: RecordBody | None = None) -> Record:
    return make_record(
        body or Toy(colour=f"colour {number}", mono_us=number * 1_000_000),
        seq=number,
        record_id=number.to_bytes(16, "big"),
    )


def opaque(record: Record) -> Record:
    """As a station decodes it that does not know its type."""
    return replace(record, body=None)


class WrongToy(RecordBody):
    SCHEMA: ClassVar[str] = "toy/1"

    colour: Annotated[U63, key("col")]


def rows_of(store: Store, table: str, *names: str) -> list[tuple]:
    statement = f"SELECT {', '.join(names)} FROM {table} ORDER BY record_id"  # noqa: S608 - names of the test's own
    return [tuple(row) for row in store.db.driver_sql(statement)]


def test_a_type_is_understood_after_an_update_with_all_that_came_before(make):
    """Opaque records get their place in the index, their retention class and their time."""
    older = make(registry=Registry(()))
    add(older, *(opaque(toy(number)) for number in range(1, 601)), now_us=NOW_US)
    assert older.gaps(UNIT) == []
    assert [row.body for row in each_read(older, "toy/1")] == [None] * 600
    assert commands(older, NOW_US + 99 * DAY_US).purge(1).records == 0, "its retention is not known"
    older.close()
    newer = make(registry=released_registry().with_type(TOY))
    assert rows_of(newer, "toys", "colour") == [(f"colour {number}",) for number in range(1, 601)]
    assert next(each_read(newer, "toy/1")).body.colour == "colour 1"
    add(newer, anchor(900, 1_000_000, 1_780_000_000_000_000), toy(601), now_us=NOW_US)
    times = [row.utc_us for row in each_read(newer, "toy/1")]
    assert times[:2] == [1_780_000_000_000_000, 1_780_000_001_000_000]
    assert None not in times
    assert commands(newer, NOW_US + 99 * DAY_US).purge(1, retention="toys").records == 601
    assert rows_of(newer, "toys", "colour") == []


@pytest.mark.slow
def test_a_type_that_is_indexed_by_more_is_indexed_anew(make):
    """Also the records that an older station stored in between."""
    registry = released_registry()
    add(make(registry=registry.with_type(TOY)), toy(1), now_us=NOW_US)
    add(make(registry=registry), opaque(toy(2)), now_us=NOW_US)
    for _ in range(2):
        store = make(registry=registry.with_type(MORE_OF_TOY))
        assert rows_of(store, "toys", "colour", "mono") == [("colour 1", 1_000_000), ("colour 2", 2_000_000)]


def test_an_opaque_record_that_is_not_what_its_type_declares_stays_as_it_came(make):
    """It blocks nothing, and its bytes are still there."""
    wrong = toy(1, WrongToy(colour=5))
    add(make(registry=Registry(())), opaque(wrong), opaque(toy(2)), now_us=NOW_US)
    store = make(registry=released_registry().with_type(TOY))
    assert [(row.record.payload == wrong.payload, row.body is None) for row in each_read(store, "toy/1")] == [
        (True, True), (False, False),
    ]  # fmt: skip
    assert rows_of(store, "toys", "colour") == [("colour 2",)]


def test_a_purge_by_an_older_station_empties_the_index_of_a_newer_one(make):
    """What is deleted is not left in a table that the station of the day does not know."""
    add(make(registry=released_registry().with_type(TOY)), toy(1), now_us=NOW_US)
    older = make(registry=released_registry())
    assert commands(older, NOW_US + 99 * DAY_US).purge(1).records == 1
    assert rows_of(older, "toys", "colour") == []


def test_two_types_cannot_share_a_table(make):
    """Nor take one of the station's own."""
    own = replace(TOY, projection=Projection("audit", ()))
    with pytest.raises(ValueError, match="the table audit is taken"):
        make(registry=released_registry().with_type(own))


# Questions


@pytest.mark.slow
def test_every_question_is_noted_with_its_filter_and_count(store):
    """Who asked, for what, by which filter, and how much was found."""
    record = make_read_record()
    add(store, record, now_us=NOW_US)
    with store.transaction():
        store.note_seen([UNIT], NOW_US)
    query = Query(store, Asker("clerk"), lambda: NOW_US)
    query.records(unit=UNIT, limit=5)
    query.record(UNIT, record.envelope.record_id)
    query.picture(UNIT, bytes(32))
    query.units()
    query.gaps(UNIT)
    query.sequences()
    query.health(UNIT)
    query.count_pictures()
    query.audit_trail()
    asked = [(row.who, row.what, row.filter, row.count) for row in store.audit_trail()]
    assert asked == [
        ("clerk", "show records", f"schema=read/1 unit={UNIT} limit=5", 1),
        ("clerk", "show record", f"unit={UNIT} id={record.envelope.record_id.hex()}", 1),
        ("clerk", "show picture", f"unit={UNIT} sha256={bytes(32).hex()}", 0),
        ("clerk", "show units", "", 1),
        ("clerk", "show gaps", f"unit={UNIT}", 0),
        ("clerk", "show sequence numbers", "", 1),
        ("clerk", "show counters", f"unit={UNIT}", 0),
        ("clerk", "count pictures", "", 0),
        ("clerk", "show audit trail", "", 8),
    ]


def test_an_export_is_noted_before_its_first_record(store):
    """Whoever breaks an export off has been noted all the same."""
    add(store, make_read_record(), now_us=NOW_US)

    class Broken:
        def write(self, _):
            assert [row.what for row in store.audit_trail()] == ["export csv begins"]
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Query(store, Asker("clerk"), lambda: NOW_US).export_csv(Broken(), unit=UNIT)
    assert [(row.what, row.filter) for row in store.audit_trail()] == [
        ("export csv begins", f"schema=read/1 unit={UNIT}")
    ]


def test_a_question_that_cannot_be_noted_is_not_answered(store):
    """No trail, no answer."""
    add(store, make_read_record(), now_us=NOW_US)

    class Full:
        def __getattr__(self, name):
            return getattr(store, name)

        def audit(self, entry: AuditRow) -> None:
            raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full"):
        Query(Full(), Asker("clerk"), lambda: NOW_US).records(limit=1)


def test_pages_lose_and_repeat_nothing(store):
    """Records that came in the same microsecond, more than a page of them."""
    add(store, *(make_read_record(number, seq=number, pictures=()) for number in range(1, 701)), now_us=NOW_US)
    assert [row.seq for row in stored_reads(store)] == list(range(1, 701))


# Lives of a unit


LIVES = (b"A" * 16, b"B" * 16)


def of_life(life, number, *, seq):
    return make_read_record(number, seq=seq, life=life)


def make_health(*, seq_high, life):
    return Health(
        unit=UNIT, boot_id=BOOT, mono_us=1, utc_us=None, seq_high=seq_high, counters={}, gauges={}, life=life
    )


def test_lives_of_a_unit_are_told_apart(store):
    """Numbers, gaps and losses are those of each life; the present one is the last."""
    old, new = LIVES
    add(store, *(of_life(old, seq, seq=seq) for seq in (1, 2, 4)), now_us=NOW_US)
    add(store, *(of_life(new, 10 + seq, seq=seq) for seq in (1, 2)), now_us=NOW_US + 60_000_000)
    first, second = store.series(UNIT)
    assert (first.life, first.seen, first.missing) == (old, ((1, 2), (4, 4)), [(3, 3)])
    assert (second.life, second.seen, second.missing) == (new, ((1, 2),), [])
    assert (first.removed, second.removed, first.conflicts, second.conflicts) == ((), (), 0, 0)
    with store.transaction():
        store.note_seen({UNIT}, NOW_US)
    (unit,) = store.units()
    assert (unit.lives, unit.seq_high, unit.missing, unit.conflicts) == (2, 2, 1, 0)
    assert store.name_conflicts() == set()


def test_a_tombstone_explains_numbers_of_its_own_life_alone(store):
    old, new = LIVES
    lost = make_record(make_tombstone((2, 2), lost=Lost.RECORD), seq=3, life=old)
    add(store, of_life(old, 1, seq=1), lost, of_life(new, 11, seq=1), of_life(new, 13, seq=3), now_us=NOW_US)
    first, second = store.series(UNIT)
    assert (first.missing, second.missing) == ([], [(2, 2)])


def test_a_tombstone_is_noted_in_few_statements_and_a_unit_has_bounded_ranges(store, monkeypatch):
    """A unit that names more is no honest one; what it names beyond that is missing."""
    monkeypatch.setattr(sequence, "MAX_LOST", 300)
    ranges = [(10 * n, 10 * n + 1) for n in range(1, 601)]
    ran = []
    monkeypatch.setattr(store.db, "run", lambda *told, run=store.db.run: ran.append(told) or run(*told))
    for seq, first in ((7_000, 0), (7_001, 256), (7_002, 400)):
        add(
            store,
            make_record(make_tombstone(*ranges[first : first + 200], (3, 4), (4, 5)), seq=seq),
            now_us=NOW_US,
        )
    assert len(ran) < 60
    explained = [(gap.first, gap.last) for gap in store.gaps(UNIT) if gap.explained]
    assert explained == [(3, 5), *ranges[:200], *ranges[256:456]]


def test_two_lives_that_send_in_turn_raise_an_alarm(store):
    """An earlier life that sends after the new one began is another vehicle."""
    old, new = LIVES
    minute_us = 60_000_000
    add(store, of_life(old, 1, seq=1), now_us=NOW_US)
    add(store, of_life(new, 11, seq=1), now_us=NOW_US + minute_us)
    # A worker that was a moment slower, and what came before, are no sign.
    add(store, of_life(old, 2, seq=2), now_us=NOW_US + minute_us + 1_000_000)
    add(store, of_life(old, 1, seq=1), now_us=NOW_US + 2 * minute_us)
    assert store.name_conflicts() == set()
    add(store, of_life(old, 3, seq=3), now_us=NOW_US + 2 * minute_us)
    assert store.name_conflicts() == {UNIT}
    assert store.name_conflicts() == set()
    first, second = store.series(UNIT)
    assert (first.overlaps, first.overlap_us, second.overlaps) == (1, NOW_US + 2 * minute_us, 0)


def test_two_records_of_one_number_are_an_alarm(store):
    """A copy of a card goes on with the numbers of its original."""
    life, _ = LIVES
    both = [of_life(life, 1, seq=1), of_life(life, 2, seq=2)]
    add(store, *both, now_us=NOW_US)
    add(store, *both, now_us=NOW_US)
    assert store.name_conflicts() == set()
    add(store, of_life(life, 22, seq=2), of_life(life, 3, seq=3), now_us=NOW_US)
    assert store.name_conflicts() == {UNIT}
    assert store.series(UNIT)[0].forks == 1


def test_forks_are_counted_in_a_group_and_in_ranges_with_gaps(store):
    """Numbers that both lives have are none."""
    old, new = LIVES
    add(store, *(of_life(old, n, seq=n) for n in (1, 2, 3, 7, 9)), now_us=NOW_US)
    add(store, *(of_life(new, 10 + n, seq=n) for n in (1, 2, 3, 8)), now_us=NOW_US)
    assert store.name_conflicts() == set()
    again = [of_life(new, 30 + n, seq=seq) for n, seq in enumerate((4, 4, 5, 2, 7))]
    add(store, *again, now_us=NOW_US)
    assert [series.forks for series in store.series(UNIT)] == [0, 2]


def test_many_units_are_heard_in_few_statements(store, monkeypatch):
    """100 of them that are known: one."""
    lives, series = Lives(store.db, RECORDS), [(f"unit-{n}", LIVES[0]) for n in range(100)]
    with store.transaction():
        lives.heard(series, NOW_US)
        ran = []
        monkeypatch.setattr(store.db, "run", lambda *told, run=store.db.run: ran.append(told) or run(*told))
        assert lives.heard(series, NOW_US + 1) == set()
    assert len(ran) == 1
    assert [len(lives.of(unit)) for unit, _ in series] == [1] * 100


def test_a_number_whose_record_is_not_stored_is_missing(store):
    """The file has one record under an id; nobody removed the other one."""
    first = make_read_record(1, seq=1)
    again = make_record(make_tombstone(), seq=2, record_id=first.envelope.record_id)
    fresh = add(store, first, again, now_us=NOW_US)
    (series,) = store.series(UNIT)
    assert (series.seen, series.removed) == (((1, sum(fresh)),), ())
    assert list(store.faults()) == []


def test_announced_numbers_are_those_of_a_life(store):
    """Health of the new life says nothing of the old one's numbers."""
    old, new = LIVES
    add(store, of_life(old, 1, seq=1), now_us=NOW_US)
    for life, high in ((old, 3), (new, 1), (old, 2)):
        said = make_health(seq_high=high, life=life)
        with store.transaction():
            store.note_health(said, encode(said), NOW_US)
    first, second = store.series(UNIT)
    assert (first.seq_high, first.missing, second.seq_high, second.missing) == (3, [(2, 3)], 1, [(1, 1)])


def test_purged_records_are_not_removed_ones(store):
    """Their places in the series stay."""
    add(store, *(of_life(LIVES[0], seq, seq=seq) for seq in (1, 2)), now_us=NOW_US - 3 * DAY_US)
    with store.transaction():
        assert store.purge(PurgePlan((PurgeRule(None, NOW_US - DAY_US),))).records == 2
    store.forget_freed()
    assert store.series(UNIT)[0].removed == ()


def test_nothing_of_a_purged_record_is_left_that_its_contents_can_be_guessed_from(store):
    """There are few plates: whoever has digest and salt of one tries them all."""
    record = make_read_record(1, seq=1)
    evidence = Evidence(UNIT, 1, bytes(32), bytes(32), bytes(8), bytes(64))
    proof = OpenedRecord(UNIT, 1, record.envelope.record_id, record.payload, b"s" * 16, evidence)
    with store.transaction():
        store.add_records([NewRecord(record, proof)], NOW_US - 3 * DAY_US)
    kept = store.evidence(UNIT, 1, record.envelope.record_id)
    assert (kept.salt, kept.record) == (b"s" * 16, record.payload)
    with store.transaction():
        assert store.purge(PurgePlan((PurgeRule(None, NOW_US - DAY_US),))).records == 1
    store.forget_freed()
    left = store.evidence(UNIT, 1, record.envelope.record_id)
    assert (left.salt, left.record, left.evidence) == (None, None, evidence)


def test_the_trail_says_why(store):
    """Purpose and case number stand in each entry; a text that cannot be recorded asks nothing."""
    Query(store, Asker("clerk", "stolen vehicle", "26-014"), lambda: NOW_US).records(limit=1)
    commands(store, NOW_US).purge(0)
    assert [(row.what, row.purpose, row.case_number) for row in store.audit_trail()] == [
        ("show records", "stolen vehicle", "26-014"),
        ("purge", "", ""),
    ]
    for bad in ("a\nb", "x" * 129, "\x1b[31m"):
        with pytest.raises(PurposeError):
            Asker("clerk", purpose=bad)
