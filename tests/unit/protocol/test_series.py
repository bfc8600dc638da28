"""A series proves that it is complete and unaltered, or shows exactly where it is not."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import verify
from protocol.errors import WireError
from protocol.seal import SigningKey
from protocol.seal.evidence import START, Evidence, decode_signed, digest_of, link_of, sign
from protocol.seal.series import Proof, examine, make_header, read_series, write_series
from protocol.wire.codec import MAX_MESSAGE_BYTES, pack, unpack, unpack_each
from protocol.wire.enums import Lost, LostReason
from protocol.wire.records.audit import AUDIT_START
from tests.builders import make_audit, make_read_record, make_record, make_tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OWN = SigningKey.generate()
KEYS = {"unit-07": [OWN.public]}
HEADER = make_header("station", 5, (("unit-07", OWN.public.raw),))


def a_read(seq: int) -> bytes:
    return make_read_record(seq, seq=seq).payload


def a_tombstone(seq: int, reason: LostReason, *ranges: tuple[int, int]) -> bytes:
    return make_record(make_tombstone(*ranges, lost=Lost.RECORD, reason=reason), seq=seq).payload


def chain(records: dict[int, bytes], prev: bytes = START) -> list[Proof]:
    proofs = []
    for seq, record in records.items():
        signed, prev = sign(OWN, "unit-07", seq, prev, record=record, salt=seq.to_bytes(16, "big"))
        inner = decode_signed(signed)
        proofs.append(Proof(inner.evidence("unit-07", seq), inner.salt, inner.record))
    return proofs


SERIES = chain({seq: a_read(seq) for seq in range(1, 9)})


def long_chain(count: int) -> Iterator[Proof]:
    """One read under many numbers: what a series costs to read does not depend on what the reads say."""
    template, prev = a_read(1), START
    for seq in range(1, count + 1):
        record = with_seq(template, seq)
        digest = digest_of(bytes(16), record)
        link = link_of("unit-07", seq, prev, digest, OWN.public.id)
        evidence = Evidence("unit-07", seq, prev, digest, OWN.public.id, OWN.sign(link))
        yield Proof(evidence, bytes(16), record)
        prev = link


def with_seq(record: bytes, seq: int) -> bytes:
    return pack({**unpack(record), "seq": seq})


def look(proofs: Iterable[Proof]):
    (found,) = examine(proofs, KEYS)
    return found


def test_complete_series_verifies():
    found = look(SERIES)
    assert found.is_right
    assert (found.first, found.last, found.records, found.reads) == (1, 8, 8, 8)


@given(st.integers(0, 7))
def test_removed_record_is_detected(index):
    found = look(SERIES[:index] + SERIES[index + 1 :])
    if index == 7:
        assert found.last == 7, "a cut tail shows in the highest number only"
    else:
        assert found.missing == [(index + 1, index + 1)]
        assert not found.is_right


@given(st.integers(0, 7), st.integers(0, 1000))
def test_changed_record_is_detected(index, where):
    record = bytearray(SERIES[index].record)
    record[where % len(record)] ^= 1
    changed = replace(SERIES[index], record=bytes(record))
    found = look([*SERIES[:index], changed, *SERIES[index + 1 :]])
    assert found.changed == [index + 1]
    assert not found.broken


@given(st.permutations(range(8)))
def test_reordered_records_are_detected(order):
    found = look([SERIES[i] for i in order])
    assert found.is_right is (list(order) == list(range(8)))
    assert not found.missing
    assert not found.changed


def test_record_of_another_chain_is_detected():
    """The unit's key signed it and the number fits, but it continues another chain."""
    forked = chain({seq: a_read(seq) for seq in range(4, 6)}, prev=b"x" * 32)
    found = look([*SERIES[:3], *forked, *SERIES[5:]])
    assert found.broken == [4, 6]


def test_duplicate_record_is_detected():
    assert look([*SERIES, SERIES[3]]).doubled == [4]


def test_foreign_signature_is_detected():
    (found,) = examine(SERIES, {"unit-07": [SigningKey.generate().public]})
    assert found.unknown_key == list(range(1, 9))


def test_what_the_unit_declared_lost_is_not_missing():
    records = {1: a_read(1), 2: a_read(2), 5: a_read(5), 6: a_tombstone(6, LostReason.BUDGET, (3, 3))}
    found = look(chain(records))
    assert found.declared == [(3, 3)]
    assert found.missing == [(4, 4)]


def test_new_chain_is_valid_only_after_declared_damage():
    first = chain({1: a_read(1), 2: a_read(2)})
    declared = chain({3: a_tombstone(3, LostReason.DAMAGE), 4: a_read(4)})
    found = look(first + declared)
    assert found.restarts == [3]
    assert found.is_right
    silent = look(first + chain({3: a_read(3), 4: a_read(4)}))
    assert silent.broken == [3]


def test_purged_contents_keep_the_chain_valid():
    proofs = [*SERIES[:2], replace(SERIES[2], salt=None, record=None), *SERIES[3:]]
    found = look(proofs)
    assert found.is_right
    assert (found.deleted, found.reads) == (1, 7)


def written(proofs: Iterable[Proof]) -> bytes:
    out = io.BytesIO()
    write_series(out, HEADER, proofs)
    return out.getvalue()


def test_series_file_round_trip():
    purged = [*SERIES[:4], replace(SERIES[4], salt=None, record=None), *SERIES[5:]]
    header, proofs = read_series(io.BytesIO(written(purged)))
    assert list(proofs) == purged
    assert header == HEADER


def test_a_checkpoint_is_never_ignored(tmp_path: Path):
    """A series has nothing to compare it with: "complete and unaltered" would be taken for that comparison."""
    file = tmp_path / "series.lpr"
    file.write_bytes(written(SERIES))
    assert verify.run(file, []) == 0
    with pytest.raises(verify.VerifyError, match="--checkpoint is for an audit log, and this is none"):
        verify.run(file, [], [tmp_path / "witness.json"])


@pytest.mark.parametrize("count", [10, 1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_series_of_any_length_verifies(tmp_path: Path, count):
    file = tmp_path / "series.lpr"
    with file.open("wb") as out:
        assert write_series(out, HEADER, long_chain(count)) == count
    assert (file.stat().st_size > MAX_MESSAGE_BYTES) is (count > 80)
    with file.open("rb") as series:
        found = look(read_series(series)[1])
    assert found.is_right
    assert (found.records, found.reads, found.first, found.last) == (count, count, 1, count)


def test_reading_a_series_takes_no_more_memory_for_a_longer_one():
    """One map and one block at a time."""

    def peak_bytes(count: int) -> int:
        data = io.BytesIO(written(long_chain(count)))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_series(data)[1]) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)
    assert peak_bytes(1_200) < peak_bytes(200) + MAX_MESSAGE_BYTES


class Dribble(io.BytesIO):
    """A file whose reads return less than what was asked for."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self._sizes = sizes
        self._turn = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._turn += 1
        return super().read(min(size or 0, self._sizes[self._turn % len(self._sizes)]))


@given(
    st.lists(st.integers(0, 3_000) | st.integers(MAX_MESSAGE_BYTES - 4, MAX_MESSAGE_BYTES), max_size=12),
    st.lists(st.integers(1, 40) | st.integers(200, MAX_MESSAGE_BYTES), min_size=1, max_size=6),
)
def test_series_parser_handles_short_reads(sizes, reads):
    maps = [{"n": number, "rec": bytes(size)} for number, size in enumerate(sizes)]
    data = b"".join(pack(item) for item in maps)
    if len(data) > 2_000 * max(reads):
        reads = [*reads, MAX_MESSAGE_BYTES]
    assert list(unpack_each(Dribble(data, reads), max_item_bytes=2 * MAX_MESSAGE_BYTES)) == maps
    if data:
        with pytest.raises(WireError, match="in the middle of a record"):
            list(unpack_each(Dribble(data[:-1], reads), max_item_bytes=2 * MAX_MESSAGE_BYTES))


def test_the_largest_record_of_the_wire_fits_a_series():
    largest = Proof(replace(SERIES[0].evidence, unit="u" * 36), bytes(16), bytes(MAX_MESSAGE_BYTES))
    assert list(read_series(io.BytesIO(written([largest, *SERIES])))[1]) == [largest, *SERIES]


@pytest.mark.parametrize(
    "endless",
    [b"\xdd\x7f\xff\xff\xff" + b"\xc0" * 600_000, b"\xdc\x08\x00" * 200_000, b"\x81\xa1a\xc5\xff\xff" * 90_000],
)
def test_oversized_series_item_is_refused_early(endless):
    whole = written(SERIES)
    proofs = read_series(io.BytesIO(whole + endless))[1]
    assert [next(proofs) for _ in SERIES] == SERIES
    with pytest.raises(WireError):
        next(proofs)


@pytest.mark.parametrize("cut", [1, 100_000])
def test_truncated_or_damaged_series_is_reported(cut):
    whole = written(long_chain(300))
    with pytest.raises(WireError, match="in the middle of a record"):
        list(read_series(io.BytesIO(whole[:-cut]))[1])
    with pytest.raises(WireError):
        list(read_series(io.BytesIO(whole[:-cut] + b"\xc1" + whole[-cut:]))[1])


def test_series_header_key_limit():
    keys = tuple((f"unit-{n:031}", OWN.public.raw) for n in range(2_048))
    out = io.BytesIO()
    write_series(out, make_header("station", 5, keys), SERIES)
    header, proofs = read_series(io.BytesIO(out.getvalue()))
    assert (header.keys, list(proofs)) == (keys, SERIES)
    with pytest.raises(WireError, match="export one unit at a time"):
        make_header("station", 5, (*keys, keys[0]))


@given(st.data())
def test_series_truncated_at_any_byte(data):
    whole = written(SERIES)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        _, proofs = read_series(io.BytesIO(cut))
        assert len(list(proofs)) < len(SERIES)
    except WireError:
        pass


@given(st.binary(max_size=400))
def test_garbage_series_raises_wire_error(garbage):
    with pytest.raises(WireError):
        list(read_series(io.BytesIO(garbage))[1])


def audit_log(count: int) -> list:
    entries, prev = [], AUDIT_START
    for n in range(1, count + 1):
        entries.append(make_audit(n, prev=prev, obj=f"plate {n}"))
        prev = entries[-1].digest()
    return entries


def with_entries(entries: list, *others: bytes) -> dict[int, bytes]:
    records = [make_record(entry, seq=seq).payload for seq, entry in enumerate(entries, 1)]
    return dict(enumerate([*records, *others], 1))


def test_audit_log_is_verified_with_the_series():
    found = look(chain(with_entries(audit_log(4), a_read(5))))
    assert found.is_right
    assert (found.audit_entries, found.reads) == (4, 1)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_missing_audit_entry_is_noticed(gone):
    """Even by a unit that signs a complete series without it."""
    entries = audit_log(4)
    del entries[gone]
    found = look(chain(with_entries(entries)))
    assert not found.missing
    assert found.audit_missing == [(gone + 1, gone + 1)]
    assert not found.is_right


def test_altered_audit_entry_is_noticed():
    entries = audit_log(4)
    entries[1] = entries[1].model_copy(update={"obj": "another plate"})
    found = look(chain(with_entries(entries)))
    assert found.audit_broken == [3]
    assert not found.is_right


def test_audit_number_used_twice_is_noticed():
    entries = audit_log(3)
    assert look(chain(with_entries([*entries, entries[2]]))).audit_broken == [3]


def test_audit_log_that_begins_anew_without_damage_is_noticed():
    """The small file with the head was deleted."""
    entries = [*audit_log(2), make_audit(3)]
    assert look(chain(with_entries(entries))).audit_broken == [3]


def test_audit_log_begins_anew_after_declared_damage():
    entries = audit_log(2)
    records = with_entries(entries, a_tombstone(3, LostReason.DAMAGE), make_record(make_audit(3), seq=4).payload)
    assert not look(chain(records)).audit_broken


def test_audit_entries_whose_contents_were_deleted_are_not_missing():
    proofs = chain(with_entries(audit_log(4)))
    proofs[1] = replace(proofs[1], salt=None, record=None)
    found = look(proofs)
    assert found.is_right
    assert (found.audit_entries, found.deleted) == (3, 1)


def test_a_record_that_the_unit_did_not_sign_is_changed():
    """Its contents and its place in the chain may be right: without the signature anybody could have made it."""
    forged = replace(SERIES[3], evidence=replace(SERIES[3].evidence, signature=bytes(64)))
    (found,) = examine([*SERIES[:3], forged, *SERIES[4:]], KEYS)
    assert (found.changed, found.is_right) == ([4], False)
