"""Read ids: UUIDv7, strictly increasing for any clock, unique even without one."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from agent.read_id import ReadIdMint

UTC_NS = 1_780_000_000_000_000_000
CLOCKS = st.lists(st.none() | st.integers(-(2**63), 2**63) | st.integers(UTC_NS, UTC_NS + 5_000_000), max_size=40)
RANDOM = st.sampled_from([lambda n: b"\xff" * n, lambda n: b"\x00" * n, lambda n: b"\x5a" * n])


@given(CLOCKS, RANDOM)
def test_ids_strictly_increase_and_are_uuids_of_version_7(clock, random_bytes):
    """A clock that stands still, steps back, is absent or absurd; worst-case random bytes."""
    mint = ReadIdMint(random_bytes)
    ids = [mint.mint(utc_ns) for utc_ns in clock]
    assert ids == sorted(set(ids))
    for made in ids:
        assert (uuid.UUID(bytes=made).version, uuid.UUID(bytes=made).variant) == (7, uuid.RFC_4122)


@given(st.integers(0, (1 << 48) * 1_000_000 - 1), RANDOM)
def test_an_id_begins_with_its_millisecond(utc_ns, random_bytes):
    """Sorted by id is sorted by time."""
    assert utc_ns // 1_000_000 == int.from_bytes(ReadIdMint(random_bytes).mint(utc_ns)[:6], "big")


def test_ids_go_on_when_the_clock_steps_back():
    """The time of the ids stands until the clock has caught up."""
    mint = ReadIdMint(lambda n: b"\x5a" * n)
    ahead, behind = mint.mint(UTC_NS), mint.mint(UTC_NS - 3_600_000_000_000)
    assert ahead[:6] == behind[:6]
    assert ahead < behind < mint.mint(UTC_NS + 1_000_000)


def test_two_boots_in_the_same_second_give_different_ids():
    """Without a clock every boot starts at the same instant: randomness alone keeps ids apart."""
    assert ReadIdMint(lambda n: b"\x01" * n).mint(None) != ReadIdMint(lambda n: b"\x02" * n).mint(None)


def test_counter_overflow_within_a_millisecond():
    """A million reads of one millisecond still increase."""
    mint = ReadIdMint(lambda n: b"\xff" * n)
    mint.mint(UTC_NS)
    mint._tail = (1 << 74) - 1
    last = int.from_bytes(mint.mint(UTC_NS), "big")
    assert last >> 80 == UTC_NS // 1_000_000 + 1
