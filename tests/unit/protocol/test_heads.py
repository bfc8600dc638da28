"""A signed head shows how far a series came, whatever the file still has."""

from __future__ import annotations

from itertools import chain

import pytest

from protocol.errors import KeyUnknownError, SealError, WireError
from protocol.seal import SigningKey
from protocol.seal.head import Head, HeadState, sign_head, verify_head
from protocol.seal.series import examine
from protocol.wire.codec import decode, pack, unpack
from tests.builders import BOOT
from tests.unit.protocol.test_series import KEYS, OWN, SERIES, long_chain

TRUSTED = {OWN.id: OWN.public}


def make_head(seq, link, *, done=None, life=b"", own=OWN):
    state = HeadState(seq, seq if done is None else done, link, life, BOOT, 60_000_000, 1_780_000_000_000_000)
    return sign_head(own, "unit-07", state)


def test_a_head_is_what_the_unit_signed():
    payload = make_head(8, SERIES[-1].evidence.link, life=bytes(range(16)))
    head = verify_head(payload, TRUSTED)
    assert (head.seq, head.done, head.life, head.link) == (8, 8, bytes(range(16)), SERIES[-1].evidence.link)
    with pytest.raises(KeyUnknownError, match="unknown key"):
        verify_head(payload, {})
    other = SigningKey.generate()
    with pytest.raises(SealError, match="signature"):
        verify_head(make_head(8, bytes(32), own=OWN), {OWN.id: _renamed(other)})


def _renamed(key):
    class Renamed:
        id = OWN.id
        is_signed = key.public.is_signed

    return Renamed()


@pytest.mark.parametrize("name", ["dev", "seq", "done", "link", "boot", "mono", "t", "life"])
def test_every_key_of_a_head_is_signed(name):
    fields = unpack(make_head(8, bytes(32), life=bytes(16)))
    value = fields[name]
    changed = (
        value + 1 if isinstance(value, int) else (value[:-1] + b"\x01" if isinstance(value, bytes) else "unit-08")
    )
    with pytest.raises(WireError):
        verify_head(pack({**fields, name: changed}), TRUSTED)


def test_a_head_with_another_key_is_refused():
    fields = unpack(make_head(8, bytes(32)))
    with pytest.raises(WireError):
        verify_head(pack({**fields, "more": 1}), TRUSTED)


@pytest.mark.parametrize("count", [10, 1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_records_missing_at_the_end_are_found_at_any_size(count):
    """The newest ten of a series are removed."""
    kept = (proof for proof in long_chain(count) if proof.evidence.seq <= count - 10)
    (found,) = examine(chain(kept, [decode(make_head(count, bytes(32)), Head)]), KEYS)
    assert found.missing == [(count - 9, count)]
    assert not found.is_right


def test_a_whole_series_agrees_with_its_head():
    head = decode(make_head(8, SERIES[-1].evidence.link), Head)
    (found,) = examine([head, *SERIES], KEYS)
    assert (found.is_right, found.head) == (True, 8)


def test_a_series_that_is_newer_than_its_head_is_right():
    head = decode(make_head(5, SERIES[4].evidence.link), Head)
    (found,) = examine([head, *SERIES], KEYS)
    assert (found.is_right, found.head) == (True, 5)


def test_another_record_in_the_place_of_the_latest_is_found():
    head = decode(make_head(8, bytes(32)), Head)
    (found,) = examine([head, *SERIES], KEYS)
    assert (found.is_right, found.head_wrong) == (False, [8])


def test_what_waits_in_the_unit_is_not_called_missing():
    head = decode(make_head(12, bytes(32), done=8), Head)
    (found,) = examine([head, *SERIES], KEYS)
    assert (found.is_right, found.missing, found.unsent) == (False, [], [(9, 12)])


def test_a_forged_head_hides_and_claims_nothing():
    real = decode(make_head(8, SERIES[-1].evidence.link), Head)
    forged = decode(make_head(5, SERIES[4].evidence.link, own=SigningKey.generate()), Head)
    (found,) = examine([real, forged, *SERIES[:6]], KEYS)
    assert (found.is_right, found.head_wrong, found.missing, found.head) == (False, [5], [(7, 8)], 8)


def test_a_head_with_the_signature_of_another_is_wrong():
    """Its key is the unit's, and what it says is not what was signed."""
    real = decode(make_head(8, SERIES[-1].evidence.link), Head)
    (found,) = examine([real.model_copy(update={"seq": 6}), *SERIES[:6]], KEYS)
    assert (found.is_right, found.head_wrong, found.head) == (False, [6], None)


def test_a_unit_without_any_record_is_told_by_its_head():
    (found,) = examine([decode(make_head(8, bytes(32)), Head)], KEYS)
    assert (found.is_right, found.records, found.missing) == (False, 0, [(1, 8)])
