"""A series proves that it is complete and unaltered, or shows exactly where it is not."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sync.convert import read_message
from protocol.errors import WireError
from protocol.seal import SigningKey
from protocol.seal.evidence import START, decode_signed, sign
from protocol.seal.series import Header, Proof, examine, read_series, write_series
from protocol.wire.enums import Lost, LostReason
from protocol.wire.wire import Tombstone, TombstoneMessage, encode_read, encode_tombstone, record_id
from tests.builders import BOOT, make_read

OWN = SigningKey.generate()
KEYS = {"unit-07": [OWN.public]}


def a_read(seq: int) -> bytes:
    return encode_read(read_message(make_read(seq), unit="unit-07", agency="a", boot_id=BOOT, seq=seq))


def a_stone(seq: int, reason: LostReason, *ranges: tuple[int, int]) -> bytes:
    stone = Tombstone(Lost.RECORD, reason, 0, 0, ranges)
    return encode_tombstone(TombstoneMessage("unit-07", "a", BOOT, seq, record_id(BOOT, seq), stone))


def chain(records: dict[int, bytes], prev: bytes = START) -> list[Proof]:
    proofs = []
    for seq, record in records.items():
        signed, prev = sign(OWN, "unit-07", seq, prev, record=record, salt=seq.to_bytes(16, "big"))
        inner = decode_signed(signed)
        proofs.append(Proof(inner.evidence("unit-07", seq), inner.salt, inner.record))
    return proofs


SERIES = chain({seq: a_read(seq) for seq in range(1, 9)})


def look(proofs: list[Proof]):
    (found,) = examine(proofs, KEYS)
    return found


def test_a_whole_series_is_right():
    found = look(SERIES)
    assert found.is_right
    assert (found.first, found.last, found.records, found.reads) == (1, 8, 8, 8)


@given(st.integers(0, 7))
def test_a_record_that_was_taken_out_is_missed(index):
    found = look(SERIES[:index] + SERIES[index + 1 :])
    if index == 7:
        assert found.last == 7, "a cut tail shows in the highest number only"
    else:
        assert found.missing == [(index + 1, index + 1)]
        assert not found.is_right


@given(st.integers(0, 7), st.integers(0, 1000))
def test_a_changed_record_is_named(index, where):
    record = bytearray(SERIES[index].record)
    record[where % len(record)] ^= 1
    changed = replace(SERIES[index], record=bytes(record))
    found = look([*SERIES[:index], changed, *SERIES[index + 1 :]])
    assert found.changed == [index + 1]
    assert not found.broken


@given(st.permutations(range(8)))
def test_another_order_is_seen(order):
    found = look([SERIES[i] for i in order])
    assert found.is_right is (list(order) == list(range(8)))
    assert not found.missing
    assert not found.changed


def test_a_record_of_another_chain_breaks_this_one():
    """The unit's key signed it and the number fits, but it continues something else."""
    forked = chain({seq: a_read(seq) for seq in range(4, 6)}, prev=b"x" * 32)
    found = look([*SERIES[:3], *forked, *SERIES[5:]])
    assert found.broken == [4, 6]


def test_twice_is_seen():
    assert look([*SERIES, SERIES[3]]).doubled == [4]


def test_a_strangers_signature_is_seen():
    (found,) = examine(SERIES, {"unit-07": [SigningKey.generate().public]})
    assert found.unknown_key == list(range(1, 9))


def test_what_the_unit_declared_lost_is_not_missing():
    records = {1: a_read(1), 2: a_read(2), 5: a_read(5), 6: a_stone(6, LostReason.BUDGET, (3, 3))}
    found = look(chain(records))
    assert found.declared == [(3, 3)]
    assert found.missing == [(4, 4)]


def test_a_chain_may_begin_anew_only_after_declared_damage():
    first = chain({1: a_read(1), 2: a_read(2)})
    declared = chain({3: a_stone(3, LostReason.DAMAGE), 4: a_read(4)})
    found = look(first + declared)
    assert found.restarts == [3]
    assert found.is_right
    silent = look(first + chain({3: a_read(3), 4: a_read(4)}))
    assert silent.broken == [3]


def test_contents_deleted_under_retention_leave_the_chain_whole():
    proofs = [*SERIES[:2], replace(SERIES[2], salt=None, record=None), *SERIES[3:]]
    found = look(proofs)
    assert found.is_right
    assert (found.deleted, found.reads) == (1, 7)


def written(proofs: list[Proof]) -> bytes:
    out = io.BytesIO()
    write_series(out, Header("station", 5, (("unit-07", OWN.public.raw),)), proofs)
    return out.getvalue()


def test_a_series_goes_through_a_file():
    purged = [*SERIES[:4], replace(SERIES[4], salt=None, record=None), *SERIES[5:]]
    header, proofs = read_series(io.BytesIO(written(purged)))
    assert list(proofs) == purged
    assert header == Header("station", 5, (("unit-07", OWN.public.raw),))


@given(st.data())
def test_a_file_cut_anywhere_is_said_or_shorter(data):
    whole = written(SERIES)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        _, proofs = read_series(io.BytesIO(cut))
        assert len(list(proofs)) < len(SERIES)
    except WireError:
        pass


@given(st.binary(max_size=400))
def test_garbage_raises_the_one_error(garbage):
    with pytest.raises(WireError):
        list(read_series(io.BytesIO(garbage))[1])
