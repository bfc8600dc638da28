"""What every back end of the station's store promises about reports and evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.records import TimeTag
from protocol.wire.codec import I63_MAX
from protocol.wire.enums import DispositionAction, HitStage, TimeSource
from station.store import NewRecord
from station.store.reporting import Period
from station.store.rows import DefinitionRow
from tests.builders import UTC_NS, make_audit, make_purge, make_read_record, make_time_anchor
from tests.contract.test_station_store import make, store  # noqa: F401 - fixtures
from tests.hit_builders import make_disposition, make_hit_body
from tests.signed_series import HIT_ID, READ_ID, SignedUnit

if TYPE_CHECKING:
    from station.store import Store

DAY_US = 86_400_000_000
MAY = Period(UTC_NS // 1000 - DAY_US, UTC_NS // 1000 + DAY_US)
NO_TIME = TimeTag(None, TimeSource.NONE, None)


@pytest.fixture
def unit(store: Store) -> SignedUnit:  # noqa: F811
    return SignedUnit(store)


def test_related_records_are_found_by_every_id(unit):
    """By read, by hit, by one stage, by a disposition: stages and dispositions in order, and of this unit alone."""
    unit.hit_with_story()
    other = SignedUnit(unit.store, "unit-08")
    other.hit_with_story()
    final = unit.store.related("unit-07", READ_ID)[1]
    decided = unit.store.related("unit-07", HIT_ID)[-1]
    for identity in (READ_ID, HIT_ID, final.record_id, decided.record_id):
        assert [row.seq for row in unit.store.related("unit-07", identity)] == [2, 3, 4, 5, 6]
    assert unit.store.related("unit-09", HIT_ID) == []


def test_evidence_of_one_record_is_what_the_unit_signed(unit):
    read = unit.read(1)
    row = unit.store.evidence("unit-07", 1, read.envelope.record_id)
    assert row.record == read.payload
    assert row.evidence.is_signed_by(unit.key.public)
    assert unit.store.evidence("unit-07", 2, read.envelope.record_id) is None


def test_anchor_that_dated_a_record_is_named(unit):
    unit.read(1, when=NO_TIME)
    (near, _) = unit.add(make_time_anchor(5_000_000_000), make_time_anchor(900_000_000_000))
    row = unit.store.record("unit-07", (1).to_bytes(16, "big"))
    assert unit.store.dated_by(row).record_id == near.envelope.record_id
    unit.read(9)
    assert unit.store.dated_by(unit.store.record("unit-07", (9).to_bytes(16, "big"))) is None


def test_reads_are_counted_by_class_and_day_by_their_own_time(unit):
    """Not by their receipt, a day later; a read without a time is in no period; hits of the class do not count."""
    for number, retention in ((1, "nonhit"), (2, "nonhit"), (3, "hit")):
        unit.read(number, retention=retention, pictures=())
    unit.read(4, when=NO_TIME, boot_id=b"another boot....")
    unit.add(make_hit_body())
    counts = unit.store.reporting
    assert counts.reads(MAY) == {"nonhit": 2, "hit": 1}
    assert counts.reads_by_day(MAY) == {1: 3}
    assert counts.reads(Period(MAY.until_us, MAY.until_us + DAY_US)) == {}
    assert counts.undated_reads() == 1
    assert counts.highest_numbers() == [("unit-07", b"", 5)]


def test_numbers_are_those_of_lives(unit):
    """A unit that was written anew counts from 1 again."""
    unit.read(1)
    unit.read(2)
    new = b"second life....."
    with unit.store.transaction():
        unit.store.add_records([NewRecord(make_read_record(7, seq=1, life=new))], MAY.since_us)
    assert unit.store.reporting.highest_numbers() == [("unit-07", b"", 2), ("unit-07", new, 1)]


def test_own_definitions_are_kept_replaced_and_dropped(unit):
    """As people wrote them, with whatever characters."""
    definitions, transaction = unit.store.definitions, unit.store.transaction
    first, second = DefinitionRow("b-2", "id = 'ü\t%s'\n", "clerk", 1), DefinitionRow("a", "", "clerk", 2)
    with transaction():
        definitions.keep(first)
        definitions.keep(second)
    assert definitions.all() == [second, first]
    with transaction():
        definitions.keep(replace(first, text="new", who="other", changed_us=3))
        assert definitions.drop("a")
        assert not definitions.drop("a")
    assert definitions.all() == [DefinitionRow("b-2", "new", "other", 3)]


def hit(
    unit: SignedUnit, number: int, *actions: DispositionAction, stage: HitStage = HitStage.FINAL, **other: object
) -> None:
    hit_id = bytes([number]) * 16
    for one in {HitStage.PREVIEW, stage}:
        unit.add(make_hit_body(hit_id=hit_id, stage=one, **other))
    for action in actions:
        unit.add(make_disposition(action, hit_id=hit_id))


def test_each_hit_is_counted_once_in_its_state(unit):
    """The latest stage, the latest decision: as a person sees it in the table of hits."""
    done = DispositionAction
    hit(unit, 1)
    hit(unit, 2, done.ACKNOWLEDGED)
    hit(unit, 3, done.ACKNOWLEDGED, done.CONFIRMED, done.OUTCOME)
    hit(unit, 4, done.CONFIRMED, done.REJECTED)
    hit(unit, 5, done.EXPIRED)
    hit(unit, 6, stage=HitStage.WITHDRAWN)
    hit(unit, 7, done.REJECTED, stage=HitStage.WITHDRAWN)
    found = {(one.state, one.reason, one.outcome): one.count for one in unit.store.reporting.hits(MAY)}
    assert found == {
        ("new", "", ""): 1, ("acknowledged", "", ""): 1, ("confirmed", "", "recovered"): 1,
        ("rejected", "misread", ""): 2, ("expired", "", ""): 1, ("withdrawn", "", ""): 1,
    }  # fmt: skip
    assert {one.age for one in unit.store.reporting.hits(MAY)} == {"12"}


def test_false_alarms_and_pairs_of_texts(unit):
    """Equal pairs once; texts that differ, of decided hits alone."""
    rejected = DispositionAction.REJECTED
    for number in (1, 2, 3):
        hit(unit, number, rejected, text="8ABC123", listed_text="BABC123" if number < 3 else "8ABC128")
    hit(unit, 4, text="8ABC123", listed_text="BABC999")
    by_state = {one.state: one for one in unit.store.reporting.false_alarms(MAY)}
    assert (by_state["rejected"].count, by_state["rejected"].distinct) == (3, 2)
    pairs = {(one.text, one.listed): one.count for one in unit.store.reporting.text_pairs(MAY)}
    assert pairs == {("8ABC123", "BABC123"): 2, ("8ABC123", "8ABC128"): 1}


def test_purges_and_look_ups_of_units(unit):
    unit.add(
        make_purge(), make_purge(records=(("read/1", 3), ("hit/1", 9)), pictures=1), make_purge(policy="us-yy/1")
    )
    unit.add(make_audit(), make_audit(2, action="sign_on"), make_audit(3, purpose=""))
    counts = unit.store.reporting
    assert counts.unit_purges(MAY) == [("us-xx/3", 15, 25), ("us-yy/1", 12, 24)]
    assert counts.unit_look_ups(MAY) == [("look_up", "", 1), ("look_up", "stolen vehicle", 1)]


def test_numbers_of_a_hostile_unit_do_not_stop_a_report(unit):
    """Each fits into a column, and their sum does not."""
    unit.add(*[make_purge(records=(("read/1", I63_MAX),) * 2, pictures=I63_MAX)] * 2)
    assert unit.store.reporting.unit_purges(MAY) == [("us-xx/3", 2 * I63_MAX, 2 * I63_MAX)]
