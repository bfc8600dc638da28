"""The audit log, holds and certificates in both databases: one order, no gaps, and nothing held is deleted."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import and_, select

from agent.records import TimeTag
from protocol.merkle.documents import HoldStatement, PurgeCertificate, document_hash, parse_document, ranges_text
from protocol.merkle.entry import decode_entry
from protocol.merkle.examine import LogExamination
from protocol.merkle.tree import EMPTY_ROOT, Frontier, is_consistent, is_included, leaf_hash
from protocol.wire.enums import TimeSource
from station.asker import Asker
from station.errors import HoldError, StoreError
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger, ranges_hash
from station.store import AuditRow
from station.store.purging import Purging
from station.store.rows import ANY_LIFE, HoldRow, PurgedRange, PurgePlan, PurgeRow, PurgeRule
from station.store.tables import HELD, HOLD_SEEN, RECORDS
from tests.builders import UTC_NS, make_read_record, make_record, make_time_anchor
from tests.contract.test_station_store import DAY_US, MAKERS, NOW_US, UNIT, picture
from tests.hit_builders import make_disposition, make_hit_body
from tests.shift_builders import make_incident
from tests.station_files import add, stored_reads


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def make(request):
    opened = []
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


CLERK = Asker("clerk")
OLD, NEW = b"", b"second life....."
LATER_US = NOW_US + 60 * DAY_US


def note(store, number: int, **more) -> int:
    with store.transaction():
        return store.audit(AuditRow(NOW_US + number, "clerk", "search", f"plates=A{number}", number, **more))


def plan(before_us: int = LATER_US, retention: str | None = None) -> PurgePlan:
    return PurgePlan((PurgeRule(retention, before_us),))


def desk(store) -> HoldDesk:
    return HoldDesk(store, CLERK, lambda: NOW_US)


def purger(store) -> Purger:
    return Purger(store, CLERK, lambda: LATER_US)


def test_each_entry_has_its_place_and_its_proof(store):
    assert (store.log.size(), store.log.root(0)) == (0, EMPTY_ROOT)
    numbers = [note(store, n, purpose="theft", case_number=f"26-{n}", document=bytes(32)) for n in range(21)]
    assert numbers == list(range(21))
    entries = list(store.log.entries())
    assert [number for number, _ in entries] == numbers
    frontier = Frontier()
    roots = [EMPTY_ROOT]
    for _, entry in entries:
        frontier.append(leaf_hash(entry))
        roots.append(frontier.root())
    assert [store.log.root(size) for size in range(22)] == roots
    for number, entry in entries:
        assert store.log.entry(number) == entry
        proof = store.log.inclusion(number, 21)
        assert is_included(leaf_hash(entry), number, 21, proof, roots[21])
        assert is_consistent(number, 21, roots[number], roots[21], store.log.consistency(number, 21))
    told = decode_entry(entries[3][1])
    assert (told.who, told.filter, told.purpose, told.case_number) == ("clerk", "plates=A3", "theft", "26-3")
    assert [(row.who, row.filter, row.count) for row in store.audit_trail()][3] == ("clerk", "plates=A3", 3)
    assert store.log.entry(21) is None


def test_an_entry_is_kept_with_what_it_records_or_not_at_all(store):
    note(store, 1)

    def fail() -> None:
        with store.transaction():
            store.audit(AuditRow(NOW_US, "clerk", "search", "", 0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert note(store, 2) == 1
    assert store.log.size() == len(store.audit_trail()) == 2


def test_what_is_too_long_to_be_recorded_is_not_done(store):
    with pytest.raises(StoreError, match="the audit trail cannot record this, so nothing was done"):
        note(store, 1, purpose="x" * 60_000)
    assert store.log.size() == 0


def test_many_writers_make_one_log(make):
    """Two connections as of two processes, several threads each: no gap, no fork, no entry twice."""
    stores = [make(), make()]
    together = threading.Barrier(4)

    def work(number: int) -> list[int]:
        together.wait()
        return [note(stores[number % 2], number * 100 + n) for n in range(12)]

    with ThreadPoolExecutor(4) as pool:
        numbers = sorted(number for found in pool.map(work, range(4)) for number in found)
    assert numbers == list(range(48))
    frontier = Frontier()
    for _, entry in stores[0].log.entries():
        frontier.append(leaf_hash(entry))
    assert stores[1].log.root(48) == frontier.root()


def test_a_purge_is_certified(store):
    for seq in (1, 2, 3, 7):
        add(store, make_read_record(seq, seq=seq), now_us=NOW_US)
    add(store, make_read_record(9, seq=4, unit="unit-08"), now_us=NOW_US)
    picture(store, b"unreferenced", NOW_US)
    gone = purger(store).run(plan(), "days=60")
    assert (gone.records, gone.held) == (5, 0)
    (row,) = store.holds.purges()
    told = parse_document(row.certificate, PurgeCertificate)
    assert (told.number, told.who, told.reason, told.records, told.holds) == (1, "clerk", "days=60", 5, ())
    assert [(c.retention, c.records, c.first_us, c.last_us) for c in told.classes] == [
        ("nonhit", 5, NOW_US, NOW_US)
    ]
    ranges = store.holds.ranges(1)
    assert ranges == [PurgedRange(UNIT, 1, 3), PurgedRange(UNIT, 7, 7), PurgedRange("unit-08", 4, 4)]
    assert told.ranges == ranges_hash(ranges)
    entry = decode_entry(store.log.entry(store.log.size() - 1))
    assert (entry.what, entry.count, entry.document) == ("purge", 5, document_hash(row.certificate).hex())
    assert list(store.holds.unproven()) == []
    # PostgreSQL drops the partition of the day, and says so.
    assert [found.records for found in told.days] == ([] if store.db.is_sqlite else [5])


def test_records_expire_by_themselves(store):
    """By what the unit put into the read under its signed policy."""
    made_us = UTC_NS // 1000
    add(store, make_read_record(1, seq=1, policy="us-xx/3", expires_utc_us=made_us + 1_000_000), now_us=NOW_US)
    add(store, make_read_record(2, seq=2, policy="us-xx/3", expires_utc_us=LATER_US), now_us=NOW_US)
    add(store, make_read_record(3, seq=3), now_us=NOW_US)
    due = PurgePlan(expired_us=made_us + 1_000_000)
    assert [(row.retention, row.records) for row in store.purgeable(due)] == [("nonhit", 1)]
    assert purger(store).run(due, "expiry of records").records == 1
    assert [row.seq for row in stored_reads(store)] == [2, 3]


PLATE = make_read_record(1).body.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        ({"ids": (make_read_record(2, seq=2).envelope.record_id.hex(),)}, [2]),
        ({"ids": (make_read_record(2, seq=2).envelope.record_id.hex().upper(),), "unit": "unit-08"}, []),
        ({"plate": "held99"}, [3]),
        ({"plate": "HELD*", "since_us": NOW_US, "until_us": NOW_US + 1}, []),
        ({"plate": "HELD*", "since_us": UTC_NS // 1000 - 1}, [3]),
        ({"unit": UNIT}, [1, 2, 3]),
        ({"unit": "unit-08"}, []),
    ],
)
def test_what_is_held_survives_every_purge(store, scope, kept):
    """With its pictures; after the release the next purge deletes it."""
    records = [
        make_read_record(1, seq=1),
        make_read_record(2, seq=2),
        make_read_record(3, seq=3, text="HELD99"),
    ]
    add(store, *records, now_us=NOW_US)
    pictures = {record.envelope.seq: [ref.sha256 for ref in record.body.pictures] for record in records}
    hold = desk(store).place(hold_scope(**scope), case_number="2026-17", reason="discovery")
    assert hold.records == len(kept)
    assert [(row.records, row.held) for row in purger(store).preview(plan()).classes] == [
        (3 - len(kept), len(kept))
    ]
    assert purger(store).run(plan(), "days=60").held == len(kept)
    assert [row.seq for row in stored_reads(store)] == kept
    for seq in kept:
        assert pictures[seq]
    assert parse_document(store.holds.purges()[0].certificate, PurgeCertificate).holds == (1,)
    desk(store).release(1, case_number="2026-17", reason="closed")
    purger(store).run(plan(), "days=60")
    assert stored_reads(store) == []


def test_a_record_that_comes_late_is_held_too(store):
    desk(store).place(hold_scope(plate="HELD99"), case_number="2026-17", reason="discovery")
    add(store, make_read_record(3, seq=3, text="HELD99"), make_read_record(4, seq=4), now_us=NOW_US)
    assert purger(store).run(plan(), "days=60").records == 1
    assert [row.seq for row in stored_reads(store)] == [3]


def held(store) -> list[int]:
    statement = select(RECORDS.c.seq).select_from(
        HELD.join(RECORDS, and_(RECORDS.c.unit == HELD.c.unit, RECORDS.c.record_id == HELD.c.record_id))
    )
    return sorted(seq for (seq,) in store.db.all(statement))


def refresh(store) -> None:
    with store.transaction():
        store.holds.refresh()


@pytest.mark.parametrize("scope", [{}, {"since_us": 0}])
def test_a_hold_on_a_unit_looks_only_at_what_came_since(store, scope):
    """A fleet's station refreshes every few minutes; what was looked at is not looked at again."""
    add(store, *(make_read_record(seq, seq=seq) for seq in (1, 2, 4)), now_us=NOW_US)
    add(store, make_read_record(9, seq=9, unit="unit-08"), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT, **scope), case_number="c", reason="r")
    with store.transaction():
        store.db.driver_sql("DELETE FROM held")
    refresh(store)
    assert held(store) == []
    add(store, make_read_record(3, seq=3), make_read_record(5, seq=5), now_us=NOW_US)
    refresh(store)
    assert held(store) == [3, 5]


@pytest.mark.parametrize("scope", [{}, {"since_us": 0}])
def test_a_hold_on_a_unit_finds_a_new_life_and_a_second_record_of_a_number(store, scope):
    add(store, *(make_read_record(seq, seq=seq) for seq in (1, 2)), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT, **scope), case_number="c", reason="r")
    add(store, make_read_record(11, seq=1, life=NEW), now_us=NOW_US)
    refresh(store)
    assert held(store) == [1, 1, 2]
    add(store, make_read_record(22, seq=2), now_us=NOW_US)
    refresh(store)
    assert held(store) == [1, 1, 2, 2]
    assert purger(store).run(plan(), "days=60").records == 0


def test_a_hold_on_a_unit_finds_what_a_time_anchor_moves_into_its_period(store):
    made_us = UTC_NS // 1000
    scope = hold_scope(unit=UNIT, since_us=made_us - DAY_US, until_us=made_us + DAY_US // 2)
    desk(store).place(scope, case_number="c", reason="r")
    undated = make_read_record(1, seq=1, when=TimeTag(None, TimeSource.NONE, None))
    add(store, undated, now_us=LATER_US)
    refresh(store)
    assert held(store) == []
    add(store, make_record(make_time_anchor(5_000_000_000), seq=2), now_us=LATER_US)
    refresh(store)
    assert held(store) == [1]


def test_a_refresh_that_is_rolled_back_is_made_again(store):
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT), case_number="c", reason="r")
    add(store, make_read_record(2, seq=2), now_us=NOW_US)

    def fail() -> None:
        with store.transaction():
            store.holds.refresh()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    refresh(store)
    assert held(store) == [1, 2]
    desk(store).release(1, case_number="c", reason="r")
    assert store.db.all(select(HOLD_SEEN.c.hold)) == []


def test_what_is_to_be_deleted_is_looked_at_whenever_it_came(store):
    """Workers that store two records of one number at once do not notice: the numbers tell nothing of the second."""
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT), case_number="c", reason="r")
    with store.transaction():
        store.db.driver_sql("DELETE FROM held")
        store.holds.refresh(RECORDS.c.seq == 1)
    assert held(store) == [1]


def test_records_that_were_chosen_before_they_were_held_are_spared(store):
    """On a server they are chosen first: a worker may store a record of a hold at any time."""
    records = [make_read_record(seq, seq=seq) for seq in (1, 2, 3)]
    add(store, *records, now_us=NOW_US)
    scope = hold_scope(ids=(records[1].envelope.record_id.hex(),))
    statement = HoldStatement(number=1, utc_us=NOW_US, who="c", case_number="c", reason="r", scope=scope)
    with store.transaction():
        kinds = "TEXT, BLOB, INTEGER, BLOB, INTEGER, INTEGER, TEXT, TEXT"
        on_server = 'text COLLATE "C", bytea, bigint, bytea, bigint, bigint, text COLLATE "C", text'
        purging = Purging(store.db, kinds if store.db.is_sqlite else on_server)
        purging.choose(RECORDS.c.seq < 3)
        store.holds.place(HoldRow(1, statement.encode(), None))
        purging.spare_held()
        assert purging.ranges() == (PurgedRange(UNIT, 1, 1),)
        purging.end()


def test_a_hold_on_a_read_keeps_its_hit_and_what_was_decided(store):
    read = make_read_record(1, seq=1)
    body = make_hit_body().model_copy(update={"read_id": read.envelope.record_id})
    hit = make_record(body, seq=2)
    decided = make_record(make_disposition().model_copy(update={"hit_id": body.hit_id}), seq=3)
    add(store, read, hit, decided, make_read_record(9, seq=9), now_us=NOW_US)
    held = desk(store).place(
        hold_scope(ids=(read.envelope.record_id.hex(),)), case_number="2026-17", reason="discovery"
    )
    assert held.records == 3
    assert purger(store).run(plan(), "days=60").records == 1
    assert all(store.record(UNIT, record.envelope.record_id) for record in (read, hit, decided))


@pytest.mark.slow
def test_a_hold_on_a_case_keeps_its_incidents_with_their_reads(store):
    read = make_read_record(1, seq=1)
    of_case = make_incident().model_copy(update={"case_number": "2026-17", "reads": (read.envelope.record_id,)})
    incident = make_record(of_case, seq=2)
    add(store, read, incident, make_read_record(9, seq=9), now_us=NOW_US)
    assert desk(store).place(hold_scope(case="2026-17"), case_number="c", reason="r").records == 2
    purger(store).run(plan(), "days=60")
    assert [row.seq for row in stored_reads(store)] == [1]
    assert store.record(UNIT, incident.envelope.record_id)


def test_holds_are_recorded_in_the_log_with_their_hash(store):
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT), case_number="2026-17", reason="discovery")
    desk(store).release(1, case_number="2026-18", reason="closed")
    (row,) = store.holds.holds()
    entries = [decode_entry(entry) for _, entry in store.log.entries()]
    assert [(e.what, e.count, e.purpose, e.case_number) for e in entries] == [
        ("place hold", 1, "discovery", "2026-17"),
        ("release hold", 1, "closed", "2026-18"),
    ]
    assert [e.document for e in entries] == [document_hash(row.statement).hex(), document_hash(row.release).hex()]
    assert parse_document(row.statement, HoldStatement).scope.unit == UNIT
    (hold,) = desk(store).holds()
    assert (hold.is_in_force, hold.records) == (False, 0)


@pytest.mark.parametrize("number", [1, 2])
def test_a_hold_is_released_once(store, number):
    desk(store).place(hold_scope(unit=UNIT), case_number="c", reason="r")
    desk(store).release(1, case_number="c", reason="r")
    size = store.log.size()
    with pytest.raises(StoreError, match=f"hold {number} is not in force"):
        desk(store).release(number, case_number="c", reason="r")
    assert store.log.size() == size


@pytest.mark.parametrize(("case_number", "reason"), [("", "r"), ("c", " "), ("c\n", "r\nx"), ("c" * 300, "r")])
def test_a_hold_says_why(store, case_number, reason):
    with pytest.raises(HoldError, match="of the hold: one line of up to 256 characters"):
        desk(store).place(hold_scope(unit=UNIT), case_number=case_number, reason=reason)
    assert store.holds.holds() == []


@pytest.mark.parametrize(
    "scope",
    [
        {}, {"ids": ("xx",)}, {"ids": ("00" * 16,), "plate": "A"}, {"unit": "a/b"}, {"plate": "A", "case": "c"},
        {"unit": "u", "since_us": 2, "until_us": 1}, {"plate": ""}, {"plate": "x" * 40},
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused(scope):
    with pytest.raises(HoldError, match="this cannot be held"):
        hold_scope(**scope)


def test_nothing_is_purged_while_a_hold_cannot_be_read(store):
    """Whoever alters a hold by hand must not get anything deleted by it."""
    add(store, make_read_record(1, seq=1), now_us=NOW_US)
    desk(store).place(hold_scope(unit=UNIT), case_number="c", reason="r")
    with store.transaction():
        store.db.driver_sql("UPDATE holds SET statement = substr(statement, 2)")
    with pytest.raises(StoreError, match="hold 1 was altered in the database"):
        purger(store).run(plan(), "days=60")
    assert len(stored_reads(store)) == 1


def lives(store) -> None:
    """Numbers 1 and 2 of the life without an id, and 1 to 3 of the next one."""
    first = [make_read_record(seq, seq=seq) for seq in (1, 2)]
    second = [make_read_record(10 + seq, seq=seq, life=NEW) for seq in (1, 2, 3)]
    add(store, *first, *second, now_us=NOW_US)


def remove_by_hand(store, record) -> None:
    change = "UPDATE records SET payload = NULL" if store.db.is_sqlite else "DELETE FROM records"
    with store.transaction():
        store.db.driver_sql(f"{change} WHERE record_id = {literal(record.envelope.record_id, store)}")


def literal(data: bytes, store) -> str:
    return f"x'{data.hex()}'" if store.db.is_sqlite else f"'\\x{data.hex()}'::bytea"


def test_a_purge_tells_the_lives_of_a_unit_apart(store):
    """A unit that was written anew counts from 1 again: the same numbers are purged twice."""
    lives(store)
    assert purger(store).run(plan(), "days=60").records == 5
    ranges = store.holds.ranges(1)
    assert ranges == [PurgedRange(UNIT, 1, 2, OLD), PurgedRange(UNIT, 1, 3, NEW)]
    (row,) = store.holds.purges()
    told = parse_document(row.certificate, PurgeCertificate)
    assert (told.by_life, told.ranges) == (True, ranges_hash(ranges))
    assert list(store.holds.unproven()) == []


def test_a_purge_in_one_life_proves_nothing_of_another(store):
    """Somebody removes number 2 of the new life, and a purge deleted number 2 of the earlier one."""
    add(store, make_read_record(1, seq=1), make_read_record(2, seq=2), now_us=NOW_US)
    purger(store).run(plan(), "days=60")
    record = make_read_record(12, seq=2, life=NEW)
    add(store, record, now_us=LATER_US)
    assert list(store.holds.unproven()) == []
    remove_by_hand(store, record)
    assert list(store.holds.unproven()) == [PurgedRange(UNIT, 2, 2, NEW)]


def test_numbers_of_an_earlier_purge_are_of_any_life(store):
    """Its certificate has no lives, and proves what it proved before."""
    lives(store)
    ranges = [PurgedRange(UNIT, 1, 3, ANY_LIFE)]
    text = ranges_text(((r.unit, r.life, r.first, r.last) for r in ranges), by_life=False)
    assert text == f"{UNIT} 1 3\n".encode()
    old = PurgeCertificate(
        number=1, utc_us=NOW_US, who="c", reason="r", rules=(), classes=(), records=5, pictures=0, days=(), held=0,
        holds=(), ranges=hashlib.sha256(text).hexdigest(),
    ).encode()  # fmt: skip
    assert b'"lives"' not in old
    for record in (make_read_record(2, seq=2), make_read_record(12, seq=2, life=NEW)):
        remove_by_hand(store, record)
    with store.transaction():
        store.holds.add_purge(PurgeRow(1, old), ranges)
    assert list(store.holds.unproven()) == []
    examined = LogExamination((), {})
    examined.document(PurgeCertificate.KIND, old)
    for found in store.holds.ranges(1):
        examined.ranges(1, found.unit, [(found.first, found.last)], found.life)
    faults = examined.end(0).faults
    assert not [fault for fault in faults if "the numbers of purge" in fault]


def test_contents_that_were_removed_by_hand_are_unproven(store):
    add(store, *(make_read_record(seq, seq=seq) for seq in (1, 2, 3)), now_us=NOW_US)
    with store.transaction():
        if store.db.is_sqlite:
            store.db.driver_sql("UPDATE records SET payload = NULL WHERE seq = 2")
        else:
            store.db.driver_sql("DELETE FROM records WHERE seq = 2")
    assert list(store.holds.unproven()) == [PurgedRange(UNIT, 2, 2)]
